/**
 * The contract of BetStore for the sealed draw, as tests: digests of books, the entries of the
 * seal, signed notes, and a number that follows them. The test of each kind of store calls
 * `sealingConformance`.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import {
  Draw,
  type ExpectedAgencies,
  fixedNumber,
  type NumberSource
} from "../../../src/domain/Draw.ts"
import { MARK_BYTES } from "../../../src/domain/seal/MarkedDigest.ts"
import { sealedSource } from "../../../src/domain/seal/NumberRule.ts"
import { roundAtOrAfter, timeOfRound } from "../../../src/domain/seal/Quicknet.ts"
import { entriesOf, type Seal } from "../../../src/domain/seal/Seal.ts"
import {
  type BetStore,
  BetStoreReader,
  type StoredBooks
} from "../../../src/server/store/BetStore.ts"
import type { DrawTerms } from "../../../src/server/store/StoredDraw.ts"
import { SEAL_VKEY } from "../../support/sealKey.ts"
import { whole } from "../../support/wholeBook.ts"
import {
  bets,
  bookOf,
  bytesOf,
  drawOf,
  runsOn,
  type Stores,
  send,
  storedDraw
} from "./BetStore.conformance.ts"

type Store = BetStore["Service"]

const OTHER_KEY = "auditor.example+15cfbe2c+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
const ANNOUNCED: NumberSource = { _tag: "announced" }
const NO_EVIDENCE = { entries: undefined, seal: undefined, result: undefined }
/** A book of this many bets has a mark. */
const LONG = 2000

const HOUR_SECONDS = 3600
const now = Math.floor(Date.now() / 1000)
const comingRound = roundAtOrAfter(now + HOUR_SECONDS)
const drand = (at: Extract<NumberSource, { _tag: "drand" }>["at"]): NumberSource => ({
  _tag: "drand",
  at
})

const sealedDraw = (
  agencies: ExpectedAgencies,
  source: NumberSource = ANNOUNCED,
  sealKey = SEAL_VKEY
) => new Draw({ id: "default", agencies, source, sealKey })

const unsealedDraw = (agencies: ExpectedAgencies, source: NumberSource) =>
  new Draw({ id: "default", agencies, source })

/** Draws of which no two have the same terms. */
const TERMS = [
  drawOf([1]),
  sealedDraw([1], fixedNumber(7574)),
  sealedDraw([1]),
  sealedDraw([1], ANNOUNCED, OTHER_KEY),
  unsealedDraw([1], drand({ round: comingRound })),
  sealedDraw([1], drand({ round: comingRound })),
  unsealedDraw([1], drand({ round: comingRound + 1 })),
  unsealedDraw([1], drand({ delaySeconds: 300 })),
  unsealedDraw([1], drand({ delaySeconds: 301 }))
]

/** The seal of the books as they are stored; an agency without a finished book is excluded. */
export const sealOf = Effect.fnUntraced(function* (
  store: Store,
  { agencies, id = "default", source }: DrawTerms & { readonly id?: string },
  { salt = "0a", sealedAt = now } = {}
) {
  const digests = yield* store.digests
  return {
    draw: id,
    sealedAt,
    source: sealedSource(source, sealedAt),
    agencies: agencies.map((agency) => {
      const digest = digests.get(agency)
      return digest === undefined ? { agency } : { agency, ...digest, salt: salt.repeat(16) }
    })
  } satisfies Seal
})

const textOf = (seal: Seal): string => entriesOf(seal).join("")

export const sealingConformance = (name: string, stores: Stores): void => {
  const { within, withStore } = runsOn(stores)

  /** Checks the store, now, in another process, and after it is opened again. */
  const afterwards = Effect.fnUntraced(function* <A, E>(
    place: string,
    check: (books: StoredBooks) => Effect.Effect<A, E>
  ) {
    const read = Effect.flatMap(BetStoreReader, check)
    yield* Effect.provide(read, stores.layerReader(place, "default"))
    yield* within(place, check)
  })

  describe(`${name} keeps the contract of BetStore for sealing`, () => {
    it.live("stores the digest of a book in the step that finishes it", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const long = bets(3, 0, LONG)
        expect(long.byteLength).toBeGreaterThan(MARK_BYTES)
        const digests = [
          [1, { bets: 0, ...whole() }],
          [3, { bets: LONG, ...whole(long) }],
          [5, { bets: 7, ...whole(bets(5, 0, 7)) }]
        ]
        const hasDigests = (books: StoredBooks) =>
          Effect.map(books.digests, (found) => expect([...found]).toEqual(digests))
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.digests).toEqual(new Map())
            yield* store.append(5, 0, bets(5, 0, 4))
            yield* store.append(5, 4, bets(5, 4, 3), { last: whole(bets(5, 0, 7)) })
            yield* store.append(3, 0, long)
            yield* store.append(2, 0, bets(2, 0, 4))
            const refused = store.finish(2, 5, whole(bets(2, 0, 5)))
            expect(yield* Effect.flip(refused)).toMatchObject({ _tag: "BookMismatch" })
            yield* store.finish(3, LONG, whole(long))
            yield* store.finish(1, 0, whole())
            // The first digest stands.
            yield* store.finish(5, 7, whole(bets(5, 1, 7)))
            yield* hasDigests(store)
            expect(yield* store.evidence).toEqual(NO_EVIDENCE)
          })
        )
        yield* afterwards(place, hasDigests)
      })
    )

    it.live("stores the digest of the book that follows a discarded one", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(sealedDraw([1, 2]))
          yield* send(store, 1, LONG)
          yield* store.discard(1, "act")
          expect(yield* store.digests).toEqual(new Map())
          yield* send(store, 1, 5, 100)
          const digest = { bets: 5, ...whole(bets(1, 100, 5)) }
          expect([...(yield* store.digests)]).toEqual([[1, digest]])
        })
      )
    )

    it.live("records the entries of one seal, and no book changes afterwards", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = sealedDraw([1, 2, 3])
        const expected = { ...storedDraw(draw), sealedAt: now }
        const seal = yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            const unopened = yield* sealOf(store, draw)
            expect(yield* Effect.flip(store.recordEntries(unopened))).toMatchObject({
              _tag: "NotAllFinished",
              missing: []
            })
            expect(yield* store.openDraw(draw)).toEqual(storedDraw(draw))
            yield* send(store, 1, LONG)
            yield* store.exclude([2])
            const early = yield* sealOf(store, draw)
            expect(yield* Effect.flip(store.recordEntries(early))).toMatchObject({
              _tag: "NotAllFinished",
              missing: [3]
            })
            yield* send(store, 3, 5)
            const first = yield* sealOf(store, draw)
            const second = yield* sealOf(store, draw, { salt: "0b", sealedAt: now + 1 })
            expect(yield* store.recordEntries(first)).toBe(true)
            expect(yield* store.recordEntries(second)).toBe(false)

            expect(yield* Effect.flip(store.discard(1, "act"))).toMatchObject({
              _tag: "BookKept",
              because: "sealed"
            })
            expect(yield* Effect.flip(store.exclude([1]))).toMatchObject({ why: "closed" })
            expect(yield* store.exclude([2])).toEqual([])
            const moving = store.moveClose(1000 * (now + HOUR_SECONDS))
            expect(yield* Effect.flip(moving)).toMatchObject({ why: "closed" })
            expect(yield* store.closeIfDue).toEqual([])
            expect((yield* bookOf(1)).text).toBe(bytesOf([bets(1, 0, LONG)]))
            return first
          })
        )
        yield* afterwards(
          place,
          Effect.fnUntraced(function* (books) {
            expect(yield* books.draw).toEqual(Option.some(expected))
            expect(yield* books.evidence).toEqual({ ...NO_EVIDENCE, entries: textOf(seal) })
          })
        )
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            expect(yield* store.openDraw(draw)).toEqual(expected)
            expect(yield* store.recordEntries(yield* sealOf(store, draw))).toBe(false)
            expect(yield* Effect.flip(store.discard(1, "act"))).toMatchObject({
              because: "sealed"
            })
          })
        )
      })
    )

    it.live("refuses the entries of a book that has changed since", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const draw = sealedDraw([1, 2, 3])
          yield* store.openDraw(draw)
          for (const agency of draw.agencies) yield* send(store, agency, 3)
          const refuses = Effect.fnUntraced(function* (seal: Seal, agency: number) {
            expect(yield* Effect.flip(store.recordEntries(seal))).toMatchObject({
              _tag: "EntriesOutdated",
              agency
            })
          })
          const before = yield* sealOf(store, draw)
          yield* store.discard(2, "act")
          yield* send(store, 2, 3, 100)
          yield* refuses(before, 2)
          const seal = yield* sealOf(store, draw)
          const [one, two, three] = seal.agencies
          yield* refuses({ ...seal, agencies: [one!, { ...two!, bets: 4 }, three!] }, 2)
          yield* refuses({ ...seal, agencies: [one!, two!, { agency: 3 }] }, 3)
          yield* refuses({ ...seal, agencies: [one!, two!] }, 3)
          yield* store.discard(3, "again")
          yield* store.exclude([3])
          yield* refuses(seal, 3)
          expect(yield* store.evidence).toEqual(NO_EVIDENCE)
          expect(yield* store.draw).toEqual(Option.some(storedDraw(draw)))
          expect(yield* store.recordEntries(yield* sealOf(store, draw))).toBe(true)
        })
      )
    )

    it.live("records one of two seals that are made at once", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const draw = sealedDraw([1])
          yield* store.openDraw(draw)
          yield* send(store, 1, 3)
          const seals = yield* Effect.forEach(["0a", "0b"], (salt) => sealOf(store, draw, { salt }))
          const recorded = yield* Effect.forEach(seals, store.recordEntries, {
            concurrency: "unbounded"
          })
          expect(recorded.filter(Boolean)).toHaveLength(1)
          const entries = textOf(seals[recorded.indexOf(true)]!)
          expect(yield* store.evidence).toEqual({ ...NO_EVIDENCE, entries })
        })
      )
    )

    it.live("either records the entries or discards the book if both are requested at once", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const draw = sealedDraw([1])
          yield* store.openDraw(draw)
          yield* send(store, 1, 3)
          const seal = yield* sealOf(store, draw)
          const [entries, discarded] = yield* Effect.all(
            [Effect.result(store.recordEntries(seal)), Effect.result(store.discard(1, "act"))],
            { concurrency: "unbounded" }
          )
          expect(Result.isSuccess(entries)).toBe(Result.isFailure(discarded))
          const sealed = Option.getOrThrow(yield* store.draw).sealedAt !== undefined
          expect(sealed).toBe(Result.isSuccess(entries))
          expect((yield* store.progressOf(1)).finished).toBe(sealed)
          expect((yield* store.digests).has(1)).toBe(sealed)
        })
      )
    )

    it.live("keeps the first signed seal and the first signed result", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = sealedDraw([1])
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            yield* store.openDraw(draw)
            yield* send(store, 1, 3)
            const number = Effect.flip(store.recordNumber(1234))
            expect(yield* number).toMatchObject({ _tag: "NotSealed" })
            yield* store.recordEntries(yield* sealOf(store, draw))
            expect(yield* number).toMatchObject({ _tag: "NotSealed" })
            yield* store.recordNote("seal", "first seal\n\n— é\n")
            yield* store.recordNote("seal", "second seal\n")
            expect(yield* store.recordNumber(1234)).toBe(true)
            expect(yield* store.recordDraw).toBe(true)
            yield* store.recordNote("result", "first result\n")
            yield* store.recordNote("result", "second result\n")
          })
        )
        yield* afterwards(
          place,
          Effect.fnUntraced(function* (books) {
            expect(yield* books.evidence).toMatchObject({
              seal: "first seal\n\n— é\n",
              result: "first result\n"
            })
            expect(yield* books.draw).toEqual(
              Option.some({
                ...storedDraw(draw),
                sealedAt: now,
                sealed: true,
                winningNumber: 1234,
                drawn: true
              })
            )
          })
        )
      })
    )

    it.live("records a fixed number only after the seal, if the draw has a key", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const draw = sealedDraw([1], fixedNumber(7574))
          yield* store.openDraw(draw)
          yield* send(store, 1, 3)
          expect(yield* Effect.flip(store.recordNumber(7574))).toMatchObject({ _tag: "NotSealed" })
          yield* store.recordEntries(yield* sealOf(store, draw))
          yield* store.recordNote("seal", "seal\n")
          expect(yield* store.recordNumber(7574)).toBe(true)
        })
      )
    )

    it.live("records the round of a number from drand, after the entries", () =>
      Effect.gen(function* () {
        const place = yield* stores.place
        const draw = unsealedDraw([1], drand({ delaySeconds: HOUR_SECONDS }))
        const beacon = { round: comingRound, signature: "ab".repeat(48) }
        yield* within(
          place,
          Effect.fnUntraced(function* (store) {
            yield* store.openDraw(draw)
            yield* send(store, 1, 3)
            const number = store.recordNumber(6286, beacon)
            expect(yield* Effect.flip(number)).toMatchObject({ _tag: "NotSealed" })
            yield* store.recordEntries(yield* sealOf(store, draw))
            expect(yield* number).toBe(true)
            expect(yield* store.recordNumber(6286, { ...beacon, round: 1 })).toBe(false)
          })
        )
        const numbered = { ...storedDraw(draw), sealedAt: now, winningNumber: 6286, beacon }
        yield* afterwards(place, (books) =>
          Effect.map(books.draw, (found) => expect(found).toEqual(Option.some(numbered)))
        )
      })
    )

    it.live("refuses entries once the round of the number is published", () =>
      Effect.forEach(
        [
          { source: drand({ round: 1000 }), sealedAt: now, round: 1000 },
          // The server made the seal a day ago and only now records it.
          {
            source: drand({ delaySeconds: 60 }),
            sealedAt: now - 86_400,
            round: roundAtOrAfter(now - 86_400 + 60)
          }
        ],
        ({ round, sealedAt, source }) =>
          withStore(
            Effect.fnUntraced(function* (store) {
              const draw = sealedDraw([1], source)
              yield* store.openDraw(draw)
              yield* send(store, 1, 3)
              const seal = yield* sealOf(store, draw, { sealedAt })
              expect(yield* Effect.flip(store.recordEntries(seal))).toMatchObject({
                _tag: "DrawMissed",
                drawId: "default",
                round
              })
              expect(yield* store.draw).toEqual(Option.some(storedDraw(draw)))
              expect(yield* store.evidence).toEqual(NO_EVIDENCE)
            })
          )
      )
    )

    it.live("refuses entries whose own time is not before the round of the number", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          const draw = sealedDraw([1], drand({ round: comingRound }))
          yield* store.openDraw(draw)
          yield* send(store, 1, 3)
          const late = yield* sealOf(store, draw, { sealedAt: timeOfRound(comingRound) })
          expect(yield* Effect.flip(store.recordEntries(late))).toMatchObject({
            _tag: "DrawMissed",
            round: comingRound
          })
          expect(yield* store.evidence).toEqual(NO_EVIDENCE)
          const inTime = { ...late, sealedAt: late.sealedAt - 1 }
          expect(yield* store.recordEntries(inTime)).toBe(true)
        })
      )
    )

    it.live("keeps the source of the number and the key, and refuses others", () =>
      Effect.forEach(TERMS, (draw) =>
        Effect.gen(function* () {
          const place = yield* stores.place
          yield* within(place, (store) => store.openDraw(draw))
          yield* within(
            place,
            Effect.fnUntraced(function* (store) {
              for (const other of TERMS) {
                const opening = store.openDraw(other)
                if (other === draw) expect(yield* opening).toEqual(storedDraw(draw))
                else expect(yield* Effect.flip(opening)).toMatchObject({ _tag: "DrawMismatch" })
              }
            })
          )
        })
      )
    )

    it.live("names the keys of a draw that is opened with another one", () =>
      withStore(
        Effect.fnUntraced(function* (store) {
          yield* store.openDraw(sealedDraw([1]))
          const refused = (draw: Draw) =>
            Effect.map(Effect.flip(store.openDraw(draw)), ({ message }) => message)
          expect(yield* refused(unsealedDraw([1], ANNOUNCED))).toBe(
            "the draw default was opened with agency 1 and an announced winning number, " +
              "sealed by lottery.example (key 9b6c648b), but this server was started with " +
              "agency 1 and an announced winning number, not sealed; " +
              "use the same terms, or start another draw with --draw or --store"
          )
          expect(yield* refused(sealedDraw([1], ANNOUNCED, OTHER_KEY))).toContain(
            "started with agency 1 and an announced winning number, " +
              "sealed by auditor.example (key 15cfbe2c);"
          )
        })
      )
    )
  })
}
