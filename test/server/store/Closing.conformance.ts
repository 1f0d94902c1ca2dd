/**
 * The contract of BetStore for closing books, drawing in steps and discarding by act, as tests. The
 * test of each kind of store calls `closingConformance`. Times are hours away from now, so that no
 * test waits for one.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import { Draw, type ExpectedAgencies, fixedNumber } from "../../../src/domain/Draw.ts"
import { roundAtOrAfter, timeOfRound } from "../../../src/domain/seal/Quicknet.ts"
import { type BetStore, BetStoreReader, NO_PROGRESS } from "../../../src/server/store/BetStore.ts"
import { whole } from "../../support/wholeBook.ts"
import {
  bets,
  bookOf,
  bytesOf,
  drawOf,
  runsOn,
  type Stores,
  send,
  storedDraw,
  winnersIn
} from "./BetStore.conformance.ts"

type Store = BetStore["Service"]

const HOUR = 3_600_000
/** Not a whole second. */
const later = Math.floor(Date.now() / 1000) * 1000 + HOUR + 123
const passed = later - 2 * HOUR

const drawThatCloses = (agencies: ExpectedAgencies, closeAt: number) =>
  new Draw({ id: "default", agencies, source: fixedNumber(7574), closeAt })

const announcedDraw = (agencies: ExpectedAgencies) =>
  new Draw({ id: "default", agencies, source: { _tag: "announced" } })

const excludedWith = (stored: number) => ({ ...NO_PROGRESS, bets: stored, excluded: true })

/** Requests both at once of two servers: one succeeds, and the other says why not. */
export const finishOrExclude = Effect.fnUntraced(function* (
  agency: number,
  one: Store,
  other: Store
) {
  const finish = Effect.result(one.finish(agency, 0, whole()))
  const exclude = Effect.result(other.exclude([agency]))
  // An exclusion takes several statements in PostgreSQL, a finish only one.
  const late = Effect.delay(finish, `${(agency % 8) * 2} millis`)
  const [excluded, finished] = yield* Effect.all([exclude, agency % 8 === 0 ? finish : late], {
    concurrency: "unbounded"
  })
  const progress = yield* one.progressOf(agency)
  const isFinished = Result.isSuccess(finished)
  expect(progress).toEqual({ ...NO_PROGRESS, finished: isFinished, excluded: !isFinished })
  if (isFinished) {
    expect(excluded).toMatchObject({ failure: { why: "finished", agencies: [agency] } })
  } else {
    expect(finished).toMatchObject({ failure: { _tag: "Excluded", agency } })
    expect(excluded).toMatchObject({ success: [{ agency, bets: 0 }] })
  }
  return isFinished
})

export const closingConformance = (name: string, stores: Stores): void => {
  const { within, withStore } = runsOn(stores)

  const read = <A, E>(
    place: string,
    of: (reader: BetStoreReader["Service"]) => Effect.Effect<A, E>
  ) => Effect.provide(Effect.flatMap(BetStoreReader, of), stores.layerReader(place, "default"))

  describe(`${name} keeps the contract of BetStore for closing`, () => {
    it.live("refuses an excluded agency's bets, and keeps those that are stored", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const state = new Map([
          [1, { ...NO_PROGRESS, bets: 3, finished: true }],
          [2, excludedWith(5)],
          [3, excludedWith(0)]
        ])
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            yield* store.openDraw(drawOf([1, 2, 3, 4]))
            yield* send(store, 1, 3)
            yield* store.append(2, 0, bets(2, 0, 5))
            expect(yield* store.exclude([2, 3])).toEqual([
              { agency: 2, bets: 5 },
              { agency: 3, bets: 0 }
            ])
            expect(yield* store.exclude([2])).toEqual([])
            const refused: ReadonlyArray<Effect.Effect<void, unknown>> = [
              store.append(2, 5, bets(2, 5, 1)),
              store.append(2, 5, bets(2, 5, 1), { last: whole(bets(2, 0, 6)), edition: 0 }),
              store.append(3, 0, bets(3, 0, 1)),
              store.finish(2, 5, whole(bets(2, 0, 5))),
              store.finish(3, 0, whole())
            ]
            for (const write of refused) {
              expect(yield* Effect.flip(write)).toMatchObject({ _tag: "Excluded" })
            }
            expect(yield* store.progress).toEqual(state)
            expect(yield* store.progressOf(2)).toEqual(excludedWith(5))
          })
        )
        expect(yield* read(place, ({ progress }) => progress)).toEqual(state)
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.progress).toEqual(state)
            expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 5)]))
            expect(yield* Effect.flip(store.append(2, 5, bets(2, 5, 1)))).toMatchObject({
              _tag: "Excluded",
              agency: 2
            })
            yield* store.append(4, 0, bets(4, 0, 1))
          })
        )
      })
    )

    it.live("excludes none of the agencies if one of them stands against it", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const refused = (agencies: ReadonlyArray<number>) => Effect.flip(store.exclude(agencies))
          expect(yield* refused([1])).toMatchObject({ _tag: "NotExcluded", why: "unopened" })
          yield* store.openDraw(drawOf([1, 2, 3]))
          yield* send(store, 1, 3)
          expect(yield* refused([2, 9])).toMatchObject({ why: "unknown", agencies: [9] })
          expect(yield* refused([2, 1])).toMatchObject({ why: "finished", agencies: [1] })
          expect((yield* store.progressOf(2)).excluded).toBe(false)
          yield* store.discard(1, "act")
          expect(yield* refused([1, 2, 3])).toMatchObject({ why: "last" })
          expect(yield* store.exclude([2, 2])).toEqual([{ agency: 2, bets: 0 }])
          expect(yield* refused([1, 2, 3])).toMatchObject({ why: "last" })
          yield* send(store, 1, 3)
          yield* send(store, 3, 1)
          yield* store.recordNumber(7574)
          expect(yield* refused([3])).toMatchObject({ why: "closed" })
          yield* store.recordDraw
          expect(yield* store.exclude([2])).toEqual([])
        })
      )
    )

    it.live("finishes a book or excludes its agency if both are requested at once", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const agencies = Array.from({ length: 40 }, (_, index) => index + 1)
          yield* store.openDraw(drawOf([...agencies, 99] as unknown as ExpectedAgencies))
          for (const agency of agencies) yield* finishOrExclude(agency, store, store)
        })
      )
    )

    it.live("excludes every unfinished agency once the close time has come", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          expect(yield* store.closeIfDue).toEqual([])
          yield* store.openDraw(drawThatCloses([1, 2, 3, 4], later))
          yield* send(store, 1, 3)
          yield* store.append(2, 0, bets(2, 0, 5))
          yield* store.exclude([4])
          expect(yield* store.closeIfDue).toEqual([])
          yield* store.moveClose(passed)
          expect(yield* store.closeIfDue).toEqual([
            { agency: 2, bets: 5 },
            { agency: 3, bets: 0 }
          ])
          expect(yield* store.closeIfDue).toEqual([])
          expect(yield* Effect.flip(store.append(2, 5, bets(2, 5, 1)))).toMatchObject({
            _tag: "Excluded"
          })
          yield* store.finish(1, 3, whole(bets(1, 0, 3)))
          expect(yield* store.recordNumber(7574)).toBe(true)
          expect(yield* store.closeIfDue).toEqual([])
        })
      )
    )

    it.live("never closes a draw without a close time", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(drawOf([1, 2]))
          yield* send(store, 1, 3)
          expect(yield* store.closeIfDue).toEqual([])
        })
      )
    )

    it.live("waits after the close time for the first finished book", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(drawThatCloses([1, 2, 3], passed))
          yield* store.append(1, 0, bets(1, 0, 3))
          yield* store.append(2, 0, bets(2, 0, 5))
          yield* store.append(1, 3, bets(1, 3, 2))
          expect(yield* store.closeIfDue).toEqual([])
          yield* store.finish(1, 5, whole(bets(1, 0, 5)))
          expect(yield* store.closeIfDue).toEqual([
            { agency: 2, bets: 5 },
            { agency: 3, bets: 0 }
          ])
        })
      )
    )

    it.live("moves the close time until it has come", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = drawThatCloses([1, 2], later)
        const closesAt = later + 5
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* Effect.flip(store.moveClose(later))).toMatchObject({
              _tag: "CloseNotMoved",
              why: "unopened"
            })
            expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw))
            yield* store.moveClose(undefined)
            expect(yield* store.draw).toEqual(
              Option.some({ ...storedDraw(draw), closesAt: undefined })
            )
            yield* store.moveClose(closesAt)
            yield* store.moveClose(closesAt)
          })
        )
        const moved = { ...storedDraw(draw), closesAt }
        expect(yield* read(place, (reader) => reader.draw)).toEqual(Option.some(moved))
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.openDraw(draw)).toEqual(moved)
            expect(yield* store.openDraw(drawThatCloses([1, 2], closesAt))).toEqual(moved)
            for (const other of [drawOf([1, 2]), drawThatCloses([1, 2], later + 1)]) {
              expect(yield* Effect.flip(store.openDraw(other))).toMatchObject({
                _tag: "DrawMismatch",
                stored: moved
              })
            }
            yield* store.moveClose(passed)
            yield* store.moveClose(passed)
            for (const time of [later, undefined]) {
              expect(yield* Effect.flip(store.moveClose(time))).toMatchObject({
                _tag: "CloseNotMoved",
                why: "passed",
                closesAt: passed
              })
            }
          })
        )
      })
    )

    it.live("does not move the close time to less than a minute before the round", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const round = roundAtOrAfter(later / 1000)
          const last = 1000 * (timeOfRound(round) - 60)
          const source = { _tag: "drand", at: { round } } as const
          const terms = { id: "default", agencies: [1, 2], source, closeAt: last - 1000 } as const
          yield* store.openDraw(new Draw(terms))
          for (const time of [last + 1000, undefined]) {
            expect(yield* Effect.flip(store.moveClose(time))).toMatchObject({
              _tag: "CloseNotMoved",
              why: "late",
              closesAt: last
            })
          }
          yield* store.moveClose(last)
        })
      )
    )

    it.live("does not move the close time once the number is recorded", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(drawThatCloses([1], later))
          yield* send(store, 1, 3)
          yield* store.recordNumber(7574)
          const moving = store.moveClose(later + 1)
          expect(yield* Effect.flip(moving)).toMatchObject({ why: "closed" })
          yield* store.moveClose(later)
        })
      )
    )

    it.live("records an announced number once every book is finished or excluded", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = announcedDraw([1, 2, 3])
        const numbered = { ...storedDraw(draw), winningNumber: 1234 }
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            const refused = (number: number) => Effect.flip(store.recordNumber(number))
            expect(yield* refused(1234)).toMatchObject({ _tag: "NotAllFinished", missing: [] })
            expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw))
            yield* send(store, 3, 3)
            expect(yield* refused(1234)).toMatchObject({ missing: [1, 2] })
            yield* store.exclude([2])
            expect(yield* refused(1234)).toMatchObject({ missing: [1] })
            yield* send(store, 1, 3)
            expect(yield* Effect.flip(store.recordDraw)).toMatchObject({ _tag: "NotNumbered" })
            expect(yield* store.recordNumber(1234)).toBe(true)
            expect(yield* store.recordNumber(1234)).toBe(false)
            expect(yield* refused(7574)).toMatchObject({ _tag: "OtherNumber", winningNumber: 1234 })
            expect(yield* store.draw).toEqual(Option.some(numbered))
            expect(yield* winnersIn(store)).toEqual([])
          })
        )
        expect(yield* read(place, (reader) => reader.draw)).toEqual(Option.some(numbered))
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.openDraw(draw)).toEqual(numbered)
            expect(yield* store.recordDraw).toBe(true)
            expect(yield* store.recordNumber(1234)).toBe(false)
            expect(yield* store.recordDraw).toBe(false)
            expect(yield* store.draw).toEqual(Option.some({ ...numbered, drawn: true }))
            expect(yield* Effect.flip(store.openDraw(drawOf([1, 2, 3], 1234)))).toMatchObject({
              _tag: "DrawMismatch"
            })
          })
        )
      })
    )

    it.live("records no other number than a fixed one", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(drawOf([1]))
          yield* send(store, 1, 3)
          expect(yield* Effect.flip(store.recordNumber(1234))).toMatchObject({
            _tag: "OtherNumber",
            winningNumber: 7574
          })
          expect(yield* store.draw).toEqual(Option.some(storedDraw(drawOf([1]))))
        })
      )
    )

    it.live("records the winners, without an excluded agency's", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = drawOf([1, 2, 3])
        const wins = (agency: number, positions: ReadonlyArray<number>) => [
          agency,
          bytesOf(positions.map((position) => bets(agency, position, 1)))
        ]
        const expected = [wins(1, [3, 13]), wins(3, [3])]
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            yield* store.openDraw(draw)
            yield* send(store, 3, 9)
            yield* store.append(2, 0, bets(2, 0, 50))
            yield* send(store, 1, 20)
            yield* store.exclude([2])
            yield* store.recordNumber(7574)
            expect(yield* winnersIn(store)).toEqual([])
            expect(yield* store.recordDraw).toBe(true)
            expect(yield* winnersIn(store)).toEqual(expected)
          })
        )
        expect(yield* read(place, winnersIn)).toEqual(expected)
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw, true))
            expect(yield* winnersIn(store)).toEqual(expected)
          })
        )
      })
    )

    it.live("keeps a book that the draw counts, or goes without", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(drawOf([1, 2]))
          yield* send(store, 1, 3)
          yield* store.append(2, 0, bets(2, 0, 5))
          yield* store.exclude([2])
          const refused = (agency: number, act: string) => Effect.flip(store.discard(agency, act))
          const kept = { _tag: "BookKept", drawId: "default" }
          expect(yield* refused(2, "a")).toMatchObject({ ...kept, because: "excluded" })
          yield* store.recordNumber(7574)
          expect(yield* refused(1, "b")).toMatchObject({ ...kept, because: "numbered" })
          yield* store.recordDraw
          expect(yield* refused(1, "b")).toMatchObject({ ...kept, because: "drawn" })
          expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 3)]))
          expect((yield* bookOf(2)).text).toBe(bytesOf([bets(2, 0, 5)]))
        })
      )
    )

    it.live("discards a book once for each act, and never the corrected book", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            yield* store.openDraw(drawOf([1, 2]))
            yield* send(store, 1, 7)
            expect(yield* store.discard(1, "one")).toBe(7)
            expect(yield* store.discard(1, "none")).toBe(0)
            const { edition } = yield* store.progressOf(1)
            yield* store.append(1, 0, bets(1, 70_000, 4))
            expect(yield* store.discard(1, "one")).toBe(7)
            expect(yield* store.discard(1, "none")).toBe(0)
            expect(yield* store.progressOf(1)).toEqual({ ...NO_PROGRESS, bets: 4, edition })
          })
        )
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.discard(1, "one")).toBe(7)
            expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 70_000, 4)]))
            expect(yield* store.discard(1, "two")).toBe(4)
            yield* send(store, 1, 2)
            yield* send(store, 2, 2)
            yield* store.recordNumber(7574)
            yield* store.recordDraw
            expect(yield* store.discard(1, "two")).toBe(4)
            expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, 2)]))
          })
        )
      })
    )
  })
}
