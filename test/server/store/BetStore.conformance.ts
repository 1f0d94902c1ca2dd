/**
 * The contract of BetStore, as tests. The test of each kind of store calls `conformance` with its
 * layers. Each test has its own store.
 */
import { randomUUID } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Effect,
  Exit,
  type Layer,
  Metric,
  Option,
  Result,
  Schema,
  type Scope,
  Stream
} from "effect"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch, BetBatchSchema } from "../../../src/domain/BetBatch.ts"
import { Draw, type ExpectedAgencies, fixedNumber } from "../../../src/domain/Draw.ts"
import {
  BetStore,
  BetStoreReader,
  NO_PROGRESS,
  type StoredBooks,
  type StoreOpenError
} from "../../../src/server/store/BetStore.ts"
import * as CommitMetrics from "../../../src/server/store/CommitMetrics.ts"
import type { StoredDraw } from "../../../src/server/store/StoredDraw.ts"
import { whole } from "../../support/wholeBook.ts"

export interface Stores {
  /** Creates a path or URL for a new store. */
  readonly place: Effect.Effect<string, never, Scope.Scope>
  readonly layer: (place: string, drawId: string) => Layer.Layer<BetStore, StoreOpenError>
  readonly layerReader: (
    place: string,
    drawId: string
  ) => Layer.Layer<BetStoreReader, StoreOpenError>
  readonly manyDraws: boolean
  readonly isEmbedded: boolean
}

const NAMES = [
  ["Ana", "López"],
  ["María José", 'O"Hara, the 2nd'],
  ["\ufeffIñigo", "Peña"],
  ["王", "小明"],
  ['"', ","],
  [" lead", "trail "],
  ["a'b", "c;d"]
] as const

/** A different bet at each position, so that a shortened or shuffled book is noticed. */
export const bets = (agency: number, from: number, count: number): BetBatch =>
  BetBatch.fromBets(
    Array.from({ length: count }, (_, index) => {
      const position = from + index
      const [firstName, lastName] = NAMES[position % NAMES.length]!
      const document = String(agency * 100_000 + position).padStart(9, "0")
      const number = position % 10 === 3 ? 7574 : position % 7000
      return new Bet({ firstName, lastName, document, birthdate: "1990-02-28", number })
    })
  )

export const drawOf = (agencies: ExpectedAgencies, winningNumber = 7574, id = "default") =>
  new Draw({ id, agencies, source: fixedNumber(winningNumber) })

export const storedDraw = (
  { agencies, closeAt, sealKey, source }: Draw,
  drawn = false
): StoredDraw => ({
  agencies,
  source,
  closeAt,
  closesAt: closeAt,
  sealKey,
  sealedAt: undefined,
  sealed: false,
  beacon: undefined,
  winningNumber: drawn && source._tag === "fixed" ? source.number : undefined,
  drawn
})

/** Records a number and the draw. Returns true if this call recorded the draw. */
export const holdDraw = (store: BetStore["Service"], winningNumber = 7574) =>
  Effect.andThen(store.recordNumber(winningNumber), store.recordDraw)

export const bytesOf = (batches: ReadonlyArray<BetBatch>): string =>
  Buffer.concat(batches.map((batch) => batch.bytes)).toString("utf8")

export const bookOf = (agency: number, from = 0) =>
  Effect.gen(function* () {
    const store = yield* BetStore
    const batches = yield* Stream.runCollect(store.book(agency, from))
    return { text: bytesOf(batches), batches }
  })

/** The recorded winners as rows, by agency. */
export const winnersIn = ({ winners }: Pick<StoredBooks, "winners">) =>
  Effect.map(winners, (all) =>
    [...all].map(([agency, won]) => [
      agency,
      won instanceof BetBatch ? bytesOf([won]) : won.message
    ])
  )

export const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, A, R> =>
  Effect.flip(effect)

/** Stores and finishes a book. */
export const send = (store: BetStore["Service"], agency: number, count: number, from = 0) => {
  const batch = bets(agency, from, count)
  return store.append(agency, 0, batch, { last: whole(batch) })
}

type Run<A, E> = (store: BetStore["Service"]) => Effect.Effect<A, E, BetStore | Scope.Scope>

/** Opens a store for writing, at a place or at a new one, while it runs something. */
export const runsOn = (stores: Stores) => {
  const within = <A, E>(place: string, run: Run<A, E>): Effect.Effect<A, E | StoreOpenError> =>
    Effect.flatMap(BetStore, run).pipe(
      Effect.provide(stores.layer(place, "default")),
      Effect.scoped
    )
  const withStore = <A, E>(run: Run<A, E>): Effect.Effect<A, E | StoreOpenError> =>
    Effect.scoped(Effect.flatMap(stores.place, (place) => within(place, run)))
  return { within, withStore }
}

export const conformance = (name: string, stores: Stores): void => {
  const within = <A, E, R>(place: string, effect: Effect.Effect<A, E, R>, drawId = "default") =>
    Effect.provide(effect, stores.layer(place, drawId))

  const withStore = <A, E>(
    run: (store: BetStore["Service"]) => Effect.Effect<A, E, BetStore>
  ): Effect.Effect<A, E | StoreOpenError> =>
    Effect.scoped(
      Effect.flatMap(stores.place, (place) => within(place, Effect.flatMap(BetStore, run)))
    )

  const itOfOneServer = stores.isEmbedded ? it.live : undefined

  describe(`${name} keeps the contract of BetStore`, () => {
    it.live("appends only where the last batch ended", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.append(1, 0, bets(1, 0, 120))
          yield* store.append(1, 120, bets(1, 120, 3))
          expect(yield* errorOf(store.append(1, 124, bets(1, 124, 1)))).toMatchObject({
            _tag: "Conflict",
            agency: 1,
            position: 124,
            expected: 123
          })
          expect(yield* errorOf(store.append(1, 0, bets(1, 0, 1)))).toMatchObject({
            _tag: "Conflict",
            expected: 123
          })
          expect(yield* store.progressOf(1)).toEqual({
            bets: 123,
            finished: false,
            excluded: false,
            told: false,
            edition: 0
          })
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 123)]))
        })
      )
    )

    it.live("reads a page of the stored bets, and nothing of another edition", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.append(1, 0, bets(1, 0, 120))
          yield* store.append(2, 0, bets(2, 0, 20))
          yield* store.append(1, 120, bets(1, 120, 30))
          const page = (agency: number, from: number, until: number, edition = 0) =>
            Effect.map(store.page(agency, { from, until, edition }), (batch) => bytesOf([batch]))
          expect(yield* page(1, 0, 1)).toBe(bytesOf([bets(1, 0, 1)]))
          expect(yield* page(1, 100, 140)).toBe(bytesOf([bets(1, 100, 40)]))
          expect(yield* page(1, 149, 500)).toBe(bytesOf([bets(1, 149, 1)]))
          expect(yield* page(1, 150, 500)).toBe("")
          expect(yield* page(3, 0, 1)).toBe("")
          expect(yield* page(1, 0, 1, 1)).toBe("")
          yield* store.discard(1, randomUUID())
          expect(yield* page(1, 0, 1)).toBe("")
          yield* store.append(1, 0, bets(1, 70_000, 9))
          expect(yield* page(1, 0, 1)).toBe("")
          expect(yield* page(1, 2, 4, 1)).toBe(bytesOf([bets(1, 70_002, 2)]))
          expect(yield* page(2, 5, 7)).toBe(bytesOf([bets(2, 5, 2)]))
        })
      )
    )

    it.live("stores one of two batches for the same position and refuses the other", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const exits = yield* Effect.all(
            [
              Effect.exit(store.append(1, 0, bets(1, 0, 5))),
              Effect.exit(store.append(1, 0, bets(1, 0, 5)))
            ],
            { concurrency: "unbounded" }
          )
          expect(exits.filter(Exit.isSuccess)).toHaveLength(1)
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 5)]))
        })
      )
    )

    it.live("keeps each of several equal rows", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const one = bets(1, 3, 1)
          yield* store.append(1, 0, one)
          yield* store.append(1, 1, one)
          expect((yield* bookOf(1)).text).toBe(bytesOf([one, one]))
          yield* store.openDraw(drawOf([1]))
          yield* store.finish(1, 2, whole(one, one))
          yield* holdDraw(store)
          expect(yield* winnersIn(store)).toEqual([[1, bytesOf([one, one])]])
        })
      )
    )

    it.live("tells the reader of another draw which draw it holds", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = drawOf([1], 1, "one")
        yield* within(
          place,
          Effect.flatMap(BetStore, (store) => store.openDraw(draw)),
          "one"
        )
        const error = yield* errorOf(
          Effect.provide(BetStoreReader, stores.layerReader(place, "two"))
        )
        expect(error.message).toMatch(
          /: it (contains the|has no) draw (one|two)(, not|; its draws:) (one|two)/
        )
      })
    )

    it.live("finishes a book with its last batch, or stores nothing of that batch", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.append(1, 0, bets(1, 0, 3))
          expect(
            yield* errorOf(store.append(1, 2, bets(1, 2, 2), { last: whole(bets(1, 0, 4)) }))
          ).toMatchObject({
            _tag: "Conflict",
            expected: 3
          })
          expect(yield* store.progressOf(1)).toEqual({
            bets: 3,
            finished: false,
            excluded: false,
            told: false,
            edition: 0
          })
          yield* store.append(1, 3, bets(1, 3, 2), { last: whole(bets(1, 0, 5)) })
          expect(yield* store.progressOf(1)).toEqual({
            bets: 5,
            finished: true,
            excluded: false,
            told: false,
            edition: 0
          })
          expect(yield* errorOf(store.append(1, 5, bets(1, 5, 1)))).toMatchObject({
            _tag: "AlreadyFinished",
            bets: 5
          })
          yield* store.finish(1, 5, whole(bets(1, 0, 5)))
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 5)]))
        })
      )
    )

    it.live("finishes a book only with the number of stored bets, and permanently", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.append(2, 0, bets(2, 0, 10))
          expect(yield* errorOf(store.finish(2, 9, whole(bets(2, 0, 9))))).toMatchObject({
            _tag: "BookMismatch",
            agency: 2,
            bets: 9,
            stored: 10
          })
          yield* store.append(2, 10, bets(2, 10, 1))
          yield* store.finish(2, 11, whole(bets(2, 0, 11)))
          yield* store.finish(2, 11, whole(bets(2, 0, 11)))
          expect(yield* errorOf(store.finish(2, 12, whole(bets(2, 0, 12))))).toMatchObject({
            _tag: "BookMismatch"
          })
          expect(yield* errorOf(store.append(2, 11, bets(2, 11, 1)))).toMatchObject({
            _tag: "AlreadyFinished",
            agency: 2,
            bets: 11
          })
          expect(yield* store.progressOf(2)).toEqual({
            bets: 11,
            finished: true,
            excluded: false,
            told: false,
            edition: 0
          })
        })
      )
    )

    it.live("finishes an empty book and then accepts no bets", () =>
      withStore((store) =>
        Effect.gen(function* () {
          expect(yield* errorOf(store.finish(3, 1, whole(bets(3, 0, 1))))).toMatchObject({
            _tag: "BookMismatch",
            stored: 0
          })
          yield* store.finish(3, 0, whole())
          expect(yield* errorOf(store.append(3, 0, bets(3, 0, 1)))).toMatchObject({
            _tag: "AlreadyFinished"
          })
          expect(yield* store.progressOf(3)).toEqual({
            bets: 0,
            finished: true,
            excluded: false,
            told: false,
            edition: 0
          })
        })
      )
    )

    it.live("reports the progress of every agency in ascending order", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.append(30, 0, bets(30, 0, 2))
          yield* store.append(4, 0, bets(4, 0, 1))
          yield* store.finish(4, 1, whole(bets(4, 0, 1)))
          yield* store.told(4)
          yield* store.told(4)
          expect([...(yield* store.progress)]).toEqual([
            [4, { bets: 1, finished: true, excluded: false, told: true, edition: 0 }],
            [30, { bets: 2, finished: false, excluded: false, told: false, edition: 0 }]
          ])
          expect(yield* store.progressOf(5)).toEqual(NO_PROGRESS)
        })
      )
    )

    it.live("reads a book from any position, in batches, among the rows of other agencies", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const total = 6_000
          const step = 250
          for (let from = 0; from < total; from += step) {
            yield* store.append(1, from, bets(1, from, step))
            yield* store.append(2, from, bets(2, from, step))
            yield* store.append(3, from / step, bets(3, from / step, 1))
          }
          for (const from of [0, 1, 249, 250, 251, 2_399, 2_400, 4_801, total - 1]) {
            const { text, batches } = yield* bookOf(2, from)
            expect(text).toBe(bytesOf([bets(2, from, total - from)]))
            expect(batches.reduce((count, batch) => count + batch.count, 0)).toBe(total - from)
            expect(Math.max(...batches.map((batch) => batch.bytes.length))).toBeLessThan(2 ** 20)
          }
          expect((yield* bookOf(2, total)).text).toBe("")
          expect((yield* bookOf(2, total + 5)).text).toBe("")
          expect((yield* bookOf(9)).text).toBe("")
          expect((yield* bookOf(3)).text).toBe(bytesOf([bets(3, 0, total / step)]))
        })
      )
    )

    it.live.each([0, 4, 7, 7574, 9999])(
      "finds the same winning bets as a check of each bet: %i",
      (number) =>
        withStore((store) =>
          Effect.gen(function* () {
            yield* store.openDraw(drawOf([1, 2, 3], number))
            const books = [bets(1, 0, 300), bets(2, 0, 25), bets(3, 0, 2)]
            yield* store.append(2, 0, books[1]!)
            yield* store.append(1, 0, bets(1, 0, 3))
            yield* store.append(1, 3, bets(1, 3, 297))
            yield* store.append(3, 0, books[2]!)
            for (const [index, book] of books.entries()) {
              yield* store.finish(index + 1, book.count, whole(book))
            }
            expect(yield* winnersIn(store)).toEqual([])
            expect(yield* holdDraw(store, number)).toBe(true)
            const won = books
              .map((book) => BetBatch.fromBets([...book].filter((bet) => bet.number === number)))
              .flatMap((of, index) => (of.count === 0 ? [] : [[index + 1, bytesOf([of])]]))
            expect(won.length > 0).toBe(number !== 9999)
            expect(yield* winnersIn(store)).toEqual(won)
          })
        )
    )

    it.live("stores the draw when it is first opened, and refuses other terms later", () =>
      withStore((store) =>
        Effect.gen(function* () {
          expect(Option.isNone(yield* store.draw)).toBe(true)
          const draw = drawOf([1, 5])
          expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw))
          expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw))
          for (const requested of [drawOf([1]), drawOf([1, 5], 1)]) {
            expect(yield* errorOf(store.openDraw(requested))).toMatchObject({
              _tag: "DrawMismatch",
              drawId: "default",
              stored: storedDraw(draw),
              requested
            })
          }
          expect(yield* store.draw).toEqual(Option.some(storedDraw(draw)))
        })
      )
    )

    it.live("records the draw once, after every expected agency has finished", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const draw = drawOf([1, 2, 3])
          yield* store.openDraw(draw)
          yield* store.append(1, 0, bets(1, 0, 4))
          yield* store.finish(1, 4, whole(bets(1, 0, 4)))
          yield* store.finish(7, 0, whole())
          expect(yield* errorOf(store.recordNumber(7574))).toMatchObject({
            _tag: "NotAllFinished",
            missing: [2, 3]
          })
          yield* store.finish(2, 0, whole())
          yield* store.finish(3, 0, whole())
          const both = yield* Effect.all([holdDraw(store), holdDraw(store)], {
            concurrency: "unbounded"
          })
          expect(both.toSorted()).toEqual([false, true])
          expect(yield* holdDraw(store)).toBe(false)
          expect(yield* store.draw).toEqual(Option.some(storedDraw(draw, true)))
          expect(yield* errorOf(store.append(1, 4, bets(1, 4, 1)))).toMatchObject({
            _tag: "AlreadyFinished"
          })
        })
      )
    )

    it.live("keeps everything when it is closed and opened again", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = drawOf([1, 2])
        yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            yield* store.openDraw(draw)
            yield* store.append(1, 0, bets(1, 0, 333))
            yield* store.append(2, 0, bets(2, 0, 7))
            yield* store.append(1, 333, bets(1, 333, 400))
            yield* store.finish(1, 733, whole(bets(1, 0, 733)))
          })
        )
        yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw))
            expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 733)]))
            yield* store.append(2, 7, bets(2, 7, 1))
            yield* store.finish(2, 8, whole(bets(2, 0, 8)))
            expect(yield* holdDraw(store)).toBe(true)
            yield* store.told(2)
          })
        )
        yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw, true))
            expect([...(yield* store.progress)]).toEqual([
              [1, { bets: 733, finished: true, excluded: false, told: false, edition: 0 }],
              [2, { bets: 8, finished: true, excluded: false, told: true, edition: 0 }]
            ])
            expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 8)]))
          })
        )
      })
    )

    itOfOneServer?.("commits the batches of 200 agencies together", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const before = yield* Metric.value(CommitMetrics.commits)
          const agencies = Array.from({ length: 200 }, (_, index) => index + 1)
          yield* Effect.forEach(
            agencies,
            (agency) =>
              Effect.gen(function* () {
                for (let from = 0; from < 50; from += 10) {
                  yield* store.append(agency, from, bets(agency, from, 10))
                }
                yield* store.finish(agency, 50, whole(bets(agency, 0, 50)))
              }),
            { concurrency: "unbounded", discard: true }
          )
          const commits =
            Number((yield* Metric.value(CommitMetrics.commits)).count) - Number(before.count)
          expect(commits).toBeGreaterThan(0)
          // 1,200 writes.
          expect(commits).toBeLessThan(60)
          for (const agency of [1, 77, 200]) {
            expect((yield* bookOf(agency)).text).toBe(bytesOf([bets(agency, 0, 50)]))
          }
        })
      )
    )

    it.live("refuses one append of a group and stores the others", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const exits = yield* Effect.forEach(
            [0, 0, 5, 0, 0],
            (position, index) =>
              Effect.exit(store.append(index + 1, position, bets(index + 1, 0, 2))),
            { concurrency: "unbounded" }
          )
          expect(exits.map(Exit.isSuccess)).toEqual([true, true, false, true, true])
          expect(Exit.isFailure(exits[2]!) && Cause.pretty(exits[2]!.cause)).toContain("agency 3")
          expect([...(yield* store.progress).keys()]).toEqual([1, 2, 4, 5])
        })
      )
    )

    it.live("completes an append that is interrupted after it began", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* Effect.timeoutOption(store.append(1, 0, bets(1, 0, 2_000)), 0)
          expect((yield* store.progressOf(1)).bets).toBe(2_000)
        })
      )
    )

    it.live("can be read while another process writes it, and afterwards", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const look = Effect.gen(function* () {
          const reader = yield* BetStoreReader
          const batches = yield* Stream.runCollect(reader.book(1, 2))
          return {
            text: bytesOf(batches),
            progress: yield* reader.progress,
            draw: yield* reader.draw
          }
        }).pipe(Effect.provide(stores.layerReader(place, "default")))
        const seen = {
          text: bytesOf([bets(1, 2, 1)]),
          progress: new Map([
            [1, { bets: 3, finished: true, excluded: false, told: true, edition: 0 }]
          ]),
          draw: Option.some(storedDraw(drawOf([1]), true))
        }
        yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            yield* store.openDraw(drawOf([1]))
            yield* store.append(1, 0, bets(1, 0, 3))
            yield* store.finish(1, 3, whole(bets(1, 0, 3)))
            yield* holdDraw(store)
            yield* store.told(1)
            expect(yield* look).toEqual(seen)
          })
        )
        expect(yield* look).toEqual(seen)
      })
    )

    it.live("is not created by a reader", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const opened = Effect.provide(BetStoreReader, stores.layerReader(place, "default"))
        expect(yield* errorOf(opened)).toMatchObject({ _tag: "StoreOpenError" })
        expect(yield* errorOf(opened)).toMatchObject({ _tag: "StoreOpenError" })
      })
    )

    it.live("keeps draws separate", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        yield* within(
          place,
          Effect.flatMap(BetStore, (store) => store.append(1, 0, bets(1, 0, 3))),
          "monday"
        )
        const other = within(
          place,
          Effect.flatMap(BetStore, (store) => store.progressOf(1)),
          "tuesday"
        )
        if (stores.manyDraws) expect(yield* other).toEqual(NO_PROGRESS)
        else {
          const error = yield* errorOf(other)
          expect(String(error)).toContain("monday")
          expect(String(error)).toContain("tuesday")
        }
      })
    )

    itOfOneServer?.("can be open in only one server", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const second = within(place, BetStore)
        const error = yield* within(place, errorOf(second))
        expect(error).toMatchObject({
          _tag: "StoreOpenError",
          reason: `in use by process ${process.pid}`
        })
        yield* second
      })
    )

    it.live("discards the book of one agency, which can then send another", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const other = bets(1, 70_000, 60)
        yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            yield* store.openDraw(drawOf([1, 2, 3]))
            for (let from = 0; from < 400; from += 100) {
              yield* store.append(1, from, bets(1, from, 100), {
                last: from === 300 ? whole(bets(1, 0, 400)) : undefined
              })
              yield* store.append(2, from, bets(2, from, 100))
            }
            yield* store.append(3, 0, bets(3, 0, 9), { last: whole(bets(3, 0, 9)) })
            expect(yield* store.discard(1, randomUUID())).toBe(400)
            expect(yield* store.progressOf(1)).toEqual({ ...NO_PROGRESS, edition: 1 })
            expect([...(yield* store.progress)]).toEqual([
              [1, { ...NO_PROGRESS, edition: 1 }],
              [2, { bets: 400, finished: false, excluded: false, told: false, edition: 0 }],
              [3, { bets: 9, finished: true, excluded: false, told: false, edition: 0 }]
            ])
            expect((yield* bookOf(1)).text).toBe("")
            expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 400)]))
            expect((yield* bookOf(3)).text).toBe(bytesOf([bets(3, 0, 9)]))
            yield* store.append(2, 400, bets(2, 400, 5), { last: whole(bets(2, 0, 405)) })
            yield* store.append(1, 0, other)
          })
        )
        yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            expect(yield* store.progressOf(1)).toMatchObject({ bets: 60, finished: false })
            yield* store.finish(1, 60, whole(other))
            expect((yield* bookOf(1)).text).toBe(bytesOf([other]))
            expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 405)]))
            expect((yield* bookOf(2, 399)).text).toBe(bytesOf([bets(2, 399, 6)]))
            expect((yield* bookOf(3)).text).toBe(bytesOf([bets(3, 0, 9)]))
            expect(yield* holdDraw(store)).toBe(true)
            const won = BetBatch.fromBets([...other].filter((bet) => bet.number === 7574))
            expect((yield* winnersIn(store))[0]).toEqual([1, bytesOf([won])])
          })
        )
      })
    )

    it.live("keeps a discard across a restart", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const discarding = Effect.gen(function* () {
          const store = yield* BetStore
          yield* store.append(1, 0, bets(1, 0, 20), { last: whole(bets(1, 0, 20)) })
          yield* store.append(2, 0, bets(2, 0, 20), { last: whole(bets(2, 0, 20)) })
          expect(yield* store.discard(1, randomUUID())).toBe(20)
        })
        yield* within(place, discarding)
        const seen = within(
          place,
          Effect.flatMap(BetStore, (store) => store.progress)
        )
        const expected = new Map([[2, { ...NO_PROGRESS, bets: 20, finished: true }]])
        // Servers that share a store must all see the new edition, forever.
        if (!stores.isEmbedded) expected.set(1, { ...NO_PROGRESS, edition: 1 })
        expect([...(yield* seen)].toSorted()).toEqual([...expected].toSorted())
        const reader = Effect.flatMap(BetStoreReader, (books) => books.progress)
        const read = yield* Effect.provide(reader, stores.layerReader(place, "default"))
        expect([...read].toSorted()).toEqual([...expected].toSorted())
      })
    )

    it.live("counts the editions of a book, even when no bets are stored", () =>
      withStore((store) =>
        Effect.gen(function* () {
          expect(yield* store.discard(1, randomUUID())).toBe(0)
          const { edition } = yield* store.progressOf(1)
          expect(yield* store.progress).toEqual(new Map([[1, { ...NO_PROGRESS, edition }]]))
          for (const more of [1, 2]) {
            yield* store.append(1, 0, bets(1, 0, more))
            expect((yield* store.progress).get(1)?.edition).toBe(edition + more - 1)
            expect(yield* store.discard(1, randomUUID())).toBe(more)
            expect((yield* store.progressOf(1)).edition).toBe(edition + more)
          }
          yield* store.finish(1, 0, whole())
          yield* store.told(1)
          expect(yield* store.discard(1, randomUUID())).toBe(0)
          expect(yield* store.progressOf(1)).toMatchObject({
            finished: false,
            excluded: false,
            told: false
          })
          expect((yield* store.progressOf(2)).edition).toBe(0)
        })
      )
    )

    it.live("refuses writes for a discarded edition of a book", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const { edition } = yield* store.progressOf(1)
          yield* store.append(1, 0, bets(1, 0, 5), { edition })
          yield* store.discard(1, randomUUID())
          const next = { edition: (yield* store.progressOf(1)).edition }
          // Late batches at, below and above the length of the next book.
          yield* store.append(1, 0, bets(1, 70_000, 5), next)
          for (const at of [5, 0, 9]) {
            const late = store.append(1, at, bets(1, at, 3), {
              edition,
              last: whole(bets(1, at, 3))
            })
            expect(yield* errorOf(late)).toMatchObject({ _tag: "Discarded", agency: 1 })
          }
          expect(yield* errorOf(store.finish(1, 5, { ...whole(), edition }))).toMatchObject({
            _tag: "Discarded"
          })
          expect(yield* store.progressOf(1)).toMatchObject({ bets: 5, finished: false })
          yield* store.append(1, 5, bets(1, 70_005, 1), next)
          yield* store.finish(1, 6, { ...whole(bets(1, 70_000, 6)), ...next })
          yield* store.finish(1, 6, { ...whole(bets(1, 70_000, 6)), ...next })
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 70_000, 6)]))
        })
      )
    )

    it.live("refuses a discard once the draw has been held", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.openDraw(drawOf([1]))
          yield* store.append(1, 0, bets(1, 0, 5), { last: whole(bets(1, 0, 5)) })
          expect(yield* holdDraw(store)).toBe(true)
          expect(yield* errorOf(store.discard(1, randomUUID()))).toMatchObject({
            _tag: "BookKept",
            agency: 1,
            drawId: "default"
          })
          expect(yield* store.progressOf(1)).toEqual({
            bets: 5,
            finished: true,
            excluded: false,
            told: false,
            edition: 0
          })
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 5)]))
        })
      )
    )

    it.live("either records the draw or discards the book if both are requested at once", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.openDraw(drawOf([1, 2]))
          yield* store.finish(2, 0, whole())
          for (let round = 0; round < 20; round++) {
            yield* store.append(1, 0, bets(1, 0, 50), { last: whole(bets(1, 0, 50)) })
            const asked = [
              Effect.result(holdDraw(store)),
              Effect.result(store.discard(1, randomUUID()))
            ] as const
            const [draw, discard] = yield* round % 2 === 0
              ? Effect.all(asked, { concurrency: "unbounded" })
              : Effect.map(
                  Effect.all([asked[1], asked[0]], { concurrency: "unbounded" }),
                  ([dropped, held]) => [held, dropped] as const
                )
            if (Result.isSuccess(draw)) {
              expect(discard).toMatchObject({ failure: { _tag: "BookKept" } })
              expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 50)]))
              return
            }
            expect(draw.failure).toMatchObject({ _tag: "NotAllFinished", missing: [1] })
            expect(discard).toMatchObject({ success: 50 })
          }
        })
      )
    )

    it.live("records no draw after a discard until the book is finished again", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.openDraw(drawOf([1, 2]))
          yield* store.finish(1, 0, whole())
          yield* store.append(2, 0, bets(2, 0, 2), { last: whole(bets(2, 0, 2)) })
          yield* store.discard(2, randomUUID())
          expect(yield* errorOf(store.recordNumber(7574))).toMatchObject({ missing: [2] })
          yield* store.append(2, 0, bets(2, 9, 1), { last: whole(bets(2, 9, 1)) })
          expect(yield* holdDraw(store)).toBe(true)
        })
      )
    )

    itOfOneServer?.("discards in order, before the other writes that wait", () =>
      withStore((store) =>
        Effect.gen(function* () {
          yield* store.append(1, 0, bets(1, 0, 5))
          const before = yield* Metric.value(CommitMetrics.commits)
          const all = yield* Effect.all(
            [
              // Five commits: the first write, each discard, and all other writes together.
              store.append(9, 0, bets(9, 0, 1)),
              errorOf(store.append(1, 5, bets(1, 5, 5), { last: whole(bets(1, 0, 10)) })),
              store.append(2, 0, bets(2, 0, 3)),
              store.discard(1, randomUUID()),
              errorOf(store.append(1, 0, bets(1, 80, 4), { edition: 0 })),
              store.append(1, 0, bets(1, 80, 4), { edition: 2 }),
              store.append(2, 3, bets(2, 3, 3), { last: whole(bets(2, 0, 6)) }),
              store.discard(3, randomUUID()),
              store.discard(1, randomUUID()),
              store.append(1, 4, bets(1, 90, 2)),
              store.append(3, 0, bets(3, 0, 1))
            ],
            { concurrency: "unbounded" }
          )
          const commits =
            Number((yield* Metric.value(CommitMetrics.commits)).count) - Number(before.count)
          expect(commits).toBe(5)
          expect([all[3], all[7], all[8]]).toEqual([5, 0, 0])
          expect(all[1]).toMatchObject({ _tag: "Conflict", expected: 0 })
          expect(all[4]).toMatchObject({ _tag: "Discarded", agency: 1 })
          expect([...(yield* store.progress)]).toEqual([
            [1, { bets: 6, finished: false, excluded: false, told: false, edition: 2 }],
            [2, { bets: 6, finished: true, excluded: false, told: false, edition: 0 }],
            [3, { bets: 1, finished: false, excluded: false, told: false, edition: 1 }],
            [9, { bets: 1, finished: false, excluded: false, told: false, edition: 0 }]
          ])
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 80, 4), bets(1, 90, 2)]))
          expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 6)]))
        })
      )
    )

    it.live("returns the rest of a book that is discarded while it is read, or an error", () =>
      withStore((store) =>
        Effect.gen(function* () {
          const total = 24_000
          yield* store.append(1, 0, bets(1, 0, total))
          const whole = bytesOf([bets(1, 0, total)])
          const read: Array<BetBatch> = []
          const exit = yield* store.book(1, 0).pipe(
            Stream.runForEach((batch) =>
              Effect.gen(function* () {
                read.push(batch)
                if (read.length > 1) return
                yield* store.discard(1, randomUUID())
                // Rows of the same length, from both agencies, now take the place of the old rows.
                yield* store.append(1, 0, bets(1, 70_000, total))
                yield* store.append(2, 0, bets(2, 0, total))
              })
            ),
            Effect.exit
          )
          expect(read[0]!.count).toBeLessThan(total)
          if (Exit.isSuccess(exit)) expect(bytesOf(read) === whole).toBe(true)
          else {
            expect(Cause.squash(exit.cause)).toMatchObject({ _tag: "StoreUnavailable" })
            expect(whole.startsWith(bytesOf(read))).toBe(true)
          }
          expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, total)]))
        })
      )
    )

    it.live("never shows another process a book that only looks complete", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const total = 24_000
        const whole = bytesOf([bets(1, 0, total)])
        const read: Array<BetBatch> = []
        const reading = (store: BetStore["Service"]) =>
          Effect.gen(function* () {
            const reader = yield* BetStoreReader
            yield* Stream.runForEach(reader.book(1, 0), (batch) =>
              read.push(batch) > 1 ? Effect.void : store.discard(1, randomUUID())
            )
          }).pipe(Effect.provide(stores.layerReader(place, "default")), Effect.exit)
        const exit = yield* within(
          place,
          Effect.gen(function* () {
            const store = yield* BetStore
            yield* store.append(1, 0, bets(1, 0, total))
            // A reader may lag behind a server, but not behind this write.
            yield* store.told(1)
            return yield* reading(store)
          })
        )
        if (Exit.isSuccess(exit)) expect(bytesOf(read) === whole).toBe(true)
        else expect(Cause.squash(exit.cause)).toMatchObject({ _tag: "StoreUnavailable" })
      })
    )

    it.live.prop(
      "returns any bets byte for byte",
      [Schema.Array(BetBatchSchema)],
      ([batches]) =>
        withStore((store) =>
          Effect.gen(function* () {
            let position = 0
            for (const batch of batches) {
              yield* store.append(1, position, batch)
              position += batch.count
            }
            expect((yield* bookOf(1)).text).toBe(bytesOf(batches))
            expect((yield* store.progressOf(1)).bets).toBe(position)
          })
        ),
      { arbitrary: { runs: 15 } }
    )
  })
}
