/**
 * Goal: servers that share a draw seal it once, from the stored books, and never after its round.
 * Method: a real PostgreSQL, with one schema per test. If the order of two transactions matters,
 * the test holds one open until PostgreSQL reports that the store waits for it; otherwise both run
 * at once, many times.
 */
import { randomUUID } from "node:crypto"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, Result } from "effect"
import type { NumberSource } from "../../../../src/domain/Draw.ts"
import { MARK_BYTES } from "../../../../src/domain/seal/MarkedDigest.ts"
import { roundAtOrAfter, timeOfRound } from "../../../../src/domain/seal/Quicknet.ts"
import { parseEntries } from "../../../../src/domain/seal/Seal.ts"
import type { BetStore } from "../../../../src/server/store/BetStore.ts"
import * as PostgresStore from "../../../../src/server/store/postgres/PostgresStore.ts"
import { SEAL_VKEY } from "../../../support/sealKey.ts"
import { DISCARD, hold, until } from "../../../support/stores/HeldTransaction.ts"
import { describePostgres, freshSchema, query } from "../../../support/stores/PostgresCluster.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets } from "../BetStore.conformance.ts"
import { sealOf } from "../Sealing.conformance.ts"

type Store = BetStore["Service"]

const ANNOUNCED: NumberSource = { _tag: "announced" }

/** A server's store that relies on notifications and never polls. */
const open = (url: string) =>
  PostgresStore.make({ url: Redacted.make(url), drawId: "default", pollInterval: "1 hour" })

/** The effect of recording entries. */
const SEAL = [
  "select id from draws for no key update",
  "update draws set sealed_by = 'another server', sealed_at = now(), entries = 'its entries'"
]

describePostgres("PostgresStore, when a draw is sealed,", (database) => {
  /** A draw of agencies 1 to 3, of which 1 and 2 have finished and 3 is excluded. */
  const withBooks = Effect.fnUntraced(function* (source = ANNOUNCED) {
    const url = yield* freshSchema((yield* database).url)
    const store = yield* open(url)
    const draw = { agencies: [1, 2, 3], source, sealKey: SEAL_VKEY }
    yield* store.openDraw(draw)
    yield* store.append(1, 0, bets(1, 0, 3), { last: whole(bets(1, 0, 3)) })
    yield* store.finish(2, 0, whole())
    yield* store.exclude([3])
    return { url, store, draw }
  })

  const evidenceIn = (stores: ReadonlyArray<Store>) =>
    Effect.forEach(stores, ({ evidence }) => evidence)

  it.live("one of many servers that try at once records entries, and one seal and result", () =>
    Effect.gen(function* () {
      const { url, store, draw } = yield* withBooks()
      const servers = [store, yield* open(url), yield* open(url)]
      const seals = yield* Effect.forEach([...servers, ...servers], (server, index) =>
        sealOf(server, draw, { sealedAt: 1_692_806_304 + index })
      )
      const recorded = yield* Effect.all(
        seals.map((seal, index) => servers[index % servers.length]!.recordEntries(seal)),
        { concurrency: "unbounded" }
      )
      expect(recorded.filter((isFirst) => isFirst)).toHaveLength(1)
      const [first, ...others] = yield* evidenceIn(servers)
      expect(others).toEqual([first, first])
      const winner = seals[recorded.indexOf(true)]
      expect(parseEntries(first?.entries ?? "")).toEqual(Result.succeed(winner))
      expect((yield* Effect.flatMap(store.draw, Effect.fromOption)).sealedAt).toBe(winner?.sealedAt)
      for (const kind of ["seal", "result"] as const) {
        yield* Effect.all(
          servers.map((server, index) => server.recordNote(kind, `${kind} of server ${index}`)),
          { concurrency: "unbounded" }
        )
        const [one, ...more] = yield* evidenceIn(servers)
        expect(one?.[kind]).toMatch(new RegExp(`^${kind} of server [012]$`))
        expect(more).toEqual([one, one])
        yield* store.recordNote(kind, "a late note")
        expect(yield* store.evidence).toEqual(one)
      }
    })
  )

  it.live("entries wait for a running discard, and are refused if it succeeds", () =>
    Effect.gen(function* () {
      for (const isDiscarded of [false, true]) {
        const { url, store, draw } = yield* withBooks()
        const seal = yield* sealOf(store, draw)
        const held = yield* hold(url, ...DISCARD)
        const sealing = yield* held.keepsWaiting(Effect.result(store.recordEntries(seal)))
        yield* isDiscarded ? held.commit : held.rollback
        expect(yield* Fiber.join(sealing)).toMatchObject(
          isDiscarded ? { failure: { _tag: "NotAllFinished", missing: [1] } } : { success: true }
        )
        expect((yield* store.evidence).entries !== undefined).toBe(!isDiscarded)
      }
    })
  )

  it.live("a discard waits for running entries, and is refused if they are recorded", () =>
    Effect.gen(function* () {
      const { url, store, draw } = yield* withBooks()
      const held = yield* hold(url, ...SEAL)
      const discarding = yield* held.keepsWaiting(store.discard(1, randomUUID()))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(discarding))).toMatchObject({
        _tag: "BookKept",
        agency: 1,
        because: "sealed"
      })
      expect(yield* Effect.flip(store.exclude([2]))).toMatchObject({ why: "closed" })
      expect(yield* Effect.flip(store.moveClose(4_000_000_000_000))).toMatchObject({
        why: "closed"
      })
      expect(yield* store.recordEntries(yield* sealOf(store, draw))).toBe(false)
      expect((yield* store.evidence).entries).toBe("its entries")
    })
  )

  it.live("never seals a book that is discarded and sent anew at the same time", () =>
    Effect.gen(function* () {
      const { url, store, draw } = yield* withBooks()
      const other = yield* open(url)
      let [seals, refusals] = [0, 0]
      for (let round = 0; round < 60; round++) {
        const seal = yield* sealOf(store, draw)
        const anew = bets(1, 100 * (round + 1), 3)
        const resend = Effect.andThen(
          other.discard(1, randomUUID()),
          other.append(1, 0, anew, { last: whole(anew) })
        )
        // A resend takes longer to begin.
        const sealing = Effect.delay(store.recordEntries(seal), round % 6)
        const [sealed, sent] = yield* Effect.all([Effect.result(sealing), Effect.result(resend)], {
          concurrency: "unbounded"
        })
        expect(Result.isSuccess(sealed)).toBe(Result.isFailure(sent))
        if (Result.isFailure(sealed)) {
          refusals += 1
          expect(["NotAllFinished", "EntriesOutdated"]).toContain(sealed.failure._tag)
          expect((yield* store.evidence).entries).toBeUndefined()
          continue
        }
        seals += 1
        const { bets: count, ...digest } = (yield* store.digests).get(1)!
        const [book] = seal.agencies
        expect(book).toMatchObject({ ...digest, bets: count })
        // Opens the draw again for the next round.
        yield* query(url, "update draws set sealed_by = null, sealed_at = null, entries = null")
      }
      // Each side won sometimes, so both were really tried at once.
      expect(Math.min(seals, refusals)).toBeGreaterThan(0)
    })
  )

  it.live("entries of an older edition, or of another set of agencies, are outdated", () =>
    Effect.gen(function* () {
      const { store, draw } = yield* withBooks()
      const seal = yield* sealOf(store, draw)
      const outdated = (agency: number) => ({ _tag: "EntriesOutdated", agency })
      const without3 = { ...seal, agencies: seal.agencies.slice(0, 2) }
      expect(yield* Effect.flip(store.recordEntries(without3))).toMatchObject(outdated(3))
      const [, , excluded] = seal.agencies
      const without2 = { ...seal, agencies: [seal.agencies[0]!, { agency: 2 }, excluded!] }
      expect(yield* Effect.flip(store.recordEntries(without2))).toMatchObject(outdated(2))
      yield* store.discard(1, randomUUID())
      yield* store.append(1, 0, bets(1, 50, 3), { last: whole(bets(1, 50, 3)) })
      expect(yield* Effect.flip(store.recordEntries(seal))).toMatchObject(outdated(1))
      expect(yield* store.recordEntries(yield* sealOf(store, draw))).toBe(true)
    })
  )

  // On the test clock it is 1970, so only PostgreSQL's clock can tell that a round is published.
  it.effect("refuses entries after a fixed round was published, by PostgreSQL's clock", () =>
    Effect.gen(function* () {
      const round = 1000
      const { store, draw } = yield* withBooks({ _tag: "drand", at: { round } })
      const seal = yield* sealOf(store, draw, { sealedAt: timeOfRound(round) - 60 })
      const missed = { _tag: "DrawMissed", drawId: "default", round }
      expect(yield* Effect.flip(store.recordEntries(seal))).toMatchObject(missed)
      expect(yield* store.evidence).toMatchObject({ entries: undefined })
      yield* store.discard(1, randomUUID())
      expect(yield* Effect.flip(store.recordEntries(seal))).toMatchObject(missed)
    })
  )

  it.live("refuses entries that waited for a discard until the round was published", () =>
    Effect.gen(function* () {
      const round = roundAtOrAfter(Date.now() / 1000 + 2)
      const { url, store, draw } = yield* withBooks({ _tag: "drand", at: { round } })
      const seal = yield* sealOf(store, draw, { sealedAt: timeOfRound(round) - 60 })
      const held = yield* hold(url, "select id from draws for share")
      const sealing = yield* held.keepsWaiting(store.recordEntries(seal))
      const isPublished = `select where clock_timestamp() > to_timestamp(${timeOfRound(round)})`
      yield* until(Effect.map(query(url, isPublished), (rows) => rows.length === 1))
      yield* held.rollback
      expect(yield* Effect.flip(Fiber.join(sealing))).toMatchObject({ _tag: "DrawMissed", round })
    })
  )

  it.live("stores the marks of a large book, and forgets them with the book", () =>
    Effect.gen(function* () {
      const { store } = yield* withBooks()
      const marks = new Uint8Array(32 * 100_000).map((_, index) => (index * 7919) >> 5)
      const digest = { ...whole(bets(1, 0, 3)), bytes: 100_000 * MARK_BYTES + 1, marks }
      yield* store.discard(1, randomUUID())
      expect([...(yield* store.digests).keys()]).toEqual([2])
      yield* store.append(1, 0, bets(1, 0, 3))
      yield* store.finish(1, 3, digest)
      const stored = (yield* store.digests).get(1)
      expect(stored?.marks instanceof Uint8Array && Buffer.compare(stored.marks, marks)).toBe(0)
      expect(stored).toMatchObject({ bets: 3, bytes: digest.bytes, sha256: digest.sha256 })
    })
  )
})
