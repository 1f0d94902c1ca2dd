/**
 * Goal: a draw is sealed, then numbered, then held, each once, whatever the source of its number is
 * and whenever a server dies; a draw that is not sealed before its round is missed. Method:
 * lotteries without ports on real stores, a drand endpoint on a socket, and the test clock.
 */
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Option, Redacted, Result, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { type Draw, fixedNumber, type NumberSource } from "../../../src/domain/Draw.ts"
import { roundAtOrAfter, timeOfRound } from "../../../src/domain/seal/Quicknet.ts"
import { isBook } from "../../../src/domain/seal/Seal.ts"
import { openResult } from "../../../src/protocol/notes/DrawResult.ts"
import { openReceipt } from "../../../src/protocol/notes/Receipt.ts"
import { openProof } from "../../../src/protocol/notes/TlogProof.ts"
import type { Lottery } from "../../../src/server/lottery/Lottery.ts"
import * as Sealing from "../../../src/server/lottery/sealed/Sealing.ts"
import { BetStore, DamagedBet, type Evidence } from "../../../src/server/store/BetStore.ts"
import type { StoreUrl } from "../../../src/server/store/StoreUrl.ts"
import {
  AGENCIES,
  BOOKS,
  drawOf,
  type Flaw,
  finish,
  finishAll,
  recordedSeal,
  serve
} from "../../support/model/SealedLottery.ts"
import {
  advance,
  GENUINE,
  HANG,
  SIGNATURES,
  settle,
  startDrand,
  until
} from "../../support/peers/DrandEnd.ts"
import { sealKey, verifierKey } from "../../support/sealKey.ts"
import { hold } from "../../support/stores/HeldTransaction.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const ROUND = 1000
const BEACON = { round: ROUND, signature: SIGNATURES[ROUND] }
/** The number of round 1000 in the draw `default`. */
const NUMBER = 6286
/** The document of the only bet on that number. */
const WINNER = "3143"
const PUBLISHED = 1000 * timeOfRound(ROUND)

const AT_ROUND: NumberSource = { _tag: "drand", at: { round: ROUND } }
const DELAYED: NumberSource = { _tag: "drand", at: { delaySeconds: 100 } }
const ANNOUNCED: NumberSource = { _tag: "announced" }

const SCHEMES = ["sqlite", "csv"] as const
const urlIn = (scheme: "sqlite" | "csv"): Effect.Effect<StoreUrl, never, Scope.Scope> =>
  Effect.map(temporaryFolder, (folder) => ({ _tag: scheme, path: join(folder, "store") }))

/** Sets the clock to one hundred seconds before the round. */
const beforeRound = TestClock.setTime(PUBLISHED - 100_000)

/** Lets the round be published and fetched. */
const untilRound = Effect.andThen(TestClock.adjust("101 seconds"), advance(5))

const drawIn = (store: BetStore["Service"]) => Effect.map(store.draw, Option.getOrThrow)

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")

/** Waits until the store has recorded it. */
const untilRecorded = (store: BetStore["Service"], what: keyof Evidence) =>
  Effect.gen(function* () {
    while ((yield* store.evidence)[what] === undefined) yield* settle
  })

/** Checks what an agency gets: the proofs of one seal, its winners, and the signed result. */
const expectEvidence = Effect.fnUntraced(function* (
  { evidence, winnersOf }: Lottery["Service"],
  store: BetStore["Service"],
  number: number
) {
  // The result is recorded before the winners are told.
  yield* Effect.forEach(AGENCIES, winnersOf)
  const { seal, tree } = yield* recordedSeal(store)
  const { beacon } = yield* drawIn(store)
  for (const agency of AGENCIES) {
    const [head, own] = yield* evidence!.proofsOf(agency)
    const opened = [head, own].map((proof) =>
      Result.getOrThrow(openProof(proof, "default", verifierKey))
    )
    expect(opened[0]!.entry).toMatch(/^lottery-seal\/v1 default 3 /)
    expect(opened[1]!.entry).toMatch(new RegExp(`^book ${agency} ${BOOKS[agency]!.count} `))
    for (const { checkpoint } of opened) expect(base64(checkpoint.root)).toBe(base64(tree.root))
    const { documents, result = "", winningNumber } = yield* winnersOf(agency)
    expect(winningNumber).toBe(number)
    const { root, ...said } = Result.getOrThrow(openResult(result, verifierKey))
    expect(base64(root)).toBe(base64(tree.root))
    expect(said).toEqual({
      draw: "default",
      number,
      beacon,
      winners: [{ agency, count: documents.length }]
    })
  }
  const { result = "" } = yield* store.evidence
  const whole = Result.getOrThrow(openResult(result, verifierKey))
  expect(base64(whole.root)).toBe(base64(tree.root))
  expect(whole.winners.map(({ agency }) => agency)).toEqual([...AGENCIES])
  expect(seal.agencies.every(isBook)).toBe(true)
  return { seal, winners: whole.winners.map(({ count }) => count) }
})

describe.each(SCHEMES)("a sealed draw in a %s store", (scheme) => {
  it.effect("with an announced number is sealed first, and held once the number is there", () =>
    Effect.gen(function* () {
      const server = yield* serve(yield* urlIn(scheme), drawOf(ANNOUNCED))
      const { logged, lottery, store } = server
      const waiting = yield* Effect.forkScoped(lottery.evidence!.proofsOf(1))
      yield* finish(store, 1)
      yield* finish(store, 2)
      yield* lottery.lookAgain
      yield* until(() => lottery.standings.now().finished === 2)
      expect(lottery.overview()).toMatchObject({ state: "taking bets", round: undefined })
      expect(yield* Effect.flip(store.recordNumber(1234))).toMatchObject({ missing: [7] })
      expect(waiting.pollUnsafe()).toBeUndefined()

      yield* finish(store, 7)
      yield* lottery.lookAgain
      yield* Fiber.join(waiting)
      yield* until(() => logged("waiting_for_number").length > 0)
      const { tree } = yield* recordedSeal(store)
      const root = base64(tree.root)
      expect(logged("draw_sealed")).toEqual([
        "action: draw_sealed | result: success | draw: default | agencias: 3 | cantidad: 5001 | " +
          `root: ${root}`
      ])
      expect(lottery.overview().state).toBe("sealed")
      yield* lottery.lookAgain
      yield* settle
      expect(logged("draw_sealed").length + logged("waiting_for_number").length).toBe(2)

      yield* store.recordNumber(1234)
      yield* lottery.lookAgain
      expect(yield* expectEvidence(lottery, store, 1234)).toMatchObject({ winners: [0, 0, 1] })
      expect(lottery.overview().state).toBe("drawn")
      expect(logged("sorteo")).toHaveLength(1)
    })
  )

  it.effect("with a fixed number is sealed and held at once", () =>
    Effect.gen(function* () {
      const server = yield* serve(yield* urlIn(scheme), drawOf(fixedNumber(7574)))
      yield* finishAll(server)
      const { seal, winners } = yield* expectEvidence(server.lottery, server.store, 7574)
      expect(seal.source).toEqual(fixedNumber(7574))
      expect(winners).toEqual([1, 0, 1])
    })
  )

  it.effect("promises its rule in the receipts before it is sealed", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const { lottery } = yield* serve(yield* urlIn(scheme), drawOf(DELAYED))
      const { sha256 } = { sha256: "0".repeat(64) }
      const receipt = lottery.evidence!.receiptOf(7, { bets: 5000, sha256 })
      expect(Result.getOrThrow(openReceipt(receipt, verifierKey))).toEqual({
        draw: "default",
        agency: 7,
        bets: 5000,
        sha256,
        source: DELAYED
      })
    })
  )

  it.effect.each([
    ["fixed", AT_ROUND],
    ["delayed", DELAYED]
  ] as const)("with a %s round of drand waits for it", ([, source]) =>
    Effect.gen(function* () {
      yield* beforeRound
      const drand = yield* startDrand(GENUINE)
      const options = { drandUrls: [drand.url] }
      const server = yield* serve(yield* urlIn(scheme), drawOf(source), options)
      const { logged, lottery, store } = server
      yield* finishAll(server)
      yield* until(() => logged("waiting_for_round").length > 0)
      expect(logged("waiting_for_round")).toEqual([
        expect.stringContaining(`round: ${ROUND} | round_at: 2023-08-23T15:59:24`)
      ])
      expect(logged("draw_sealed")).toEqual([expect.stringContaining(`round: ${ROUND} | round_at`)])
      expect(lottery.overview()).toMatchObject({
        state: "sealed",
        round: ROUND,
        roundAt: PUBLISHED
      })
      yield* advance(100)
      expect(drand.paths).toEqual([])
      expect(yield* drawIn(store)).toMatchObject({ winningNumber: undefined, beacon: undefined })
      yield* advance(5)
      const { seal, winners } = yield* expectEvidence(lottery, store, NUMBER)
      expect(seal.sealedAt).toBe(timeOfRound(ROUND) - 100)
      expect(seal.source).toEqual({ _tag: "drand", round: ROUND })
      expect(winners).toEqual([0, 0, 1])
      expect(yield* lottery.winnersOf(7)).toMatchObject({ documents: [WINNER] })
      expect(yield* drawIn(store)).toMatchObject({ beacon: BEACON, winningNumber: NUMBER })
      expect(drand.paths).toHaveLength(1)
    })
  )

  it.effect("ends the fetch once another server or an operator has given the number", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const drand = yield* startDrand(HANG)
      const options = { drandUrls: [drand.url] }
      const server = yield* serve(yield* urlIn(scheme), drawOf(DELAYED), options)
      yield* finishAll(server)
      yield* until(() => server.logged("waiting_for_round").length > 0)
      yield* untilRound
      yield* until(() => drand.open() === 1)
      yield* server.lottery.lookAgain
      yield* settle
      // Another look does not ask again.
      expect(drand.paths).toHaveLength(1)
      yield* server.store.recordNumber(NUMBER, BEACON)
      yield* server.lottery.lookAgain
      yield* expectEvidence(server.lottery, server.store, NUMBER)
      yield* until(() => drand.open() === 0)
      expect(server.logged("beacon")).toEqual([])
    })
  )

  it.effect("is sealed again from the start if a book changes meanwhile", () =>
    Effect.gen(function* () {
      let discarded = 0
      const flaw: Flaw = (store) => ({
        ...store,
        recordEntries: (seal) =>
          Effect.gen(function* () {
            if (discarded++ === 0) {
              yield* Effect.orDie(store.discard(1, "8c8a2b1e-0f6b-4a52-9a8e-5a3d1c3f0d11"))
              yield* Effect.orDie(finish(store, 1, BOOKS[2]))
            }
            return yield* store.recordEntries(seal)
          })
      })
      const server = yield* serve(yield* urlIn(scheme), drawOf(ANNOUNCED), {}, flaw)
      yield* finishAll(server)
      yield* until(() => server.logged("sorteo").length > 0)
      expect(server.logged("sorteo")).toEqual([expect.stringContaining("agency 1 changed")])
      yield* TestClock.adjust("1 second")
      yield* untilRecorded(server.store, "seal")
      const { seal } = yield* recordedSeal(server.store)
      expect(seal.agencies[0]).toMatchObject({ agency: 1, bets: 0 })
    })
  )

  it.effect("goes without the excluded agencies", () =>
    Effect.gen(function* () {
      const { lottery, store } = yield* serve(yield* urlIn(scheme), drawOf(fixedNumber(7574)))
      yield* finish(store, 1)
      yield* finish(store, 7)
      yield* store.exclude([2])
      yield* lottery.lookAgain
      const { result = "" } = yield* lottery.winnersOf(1)
      expect(Result.getOrThrow(openResult(result, verifierKey)).winners).toEqual([
        { agency: 1, count: 1 }
      ])
      const { seal } = yield* recordedSeal(store)
      expect(seal.agencies[1]).toEqual({ agency: 2 })
      const proofs = Effect.flip(lottery.evidence!.proofsOf(2))
      expect(yield* proofs).toMatchObject({ _tag: "Excluded", agency: 2 })
      const { result: whole = "" } = yield* store.evidence
      expect(Result.getOrThrow(openResult(whole, verifierKey)).winners).toEqual([
        { agency: 1, count: 1 },
        { agency: 7, count: 1 }
      ])
    })
  )
})

describe("a draw without a key", () => {
  it.effect("has no evidence, and with drand its books are closed all the same", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const drand = yield* startDrand(GENUINE)
      const options = { drandUrls: [drand.url] }
      const server = yield* serve(yield* urlIn("csv"), drawOf(DELAYED, false), options)
      yield* finishAll(server)
      yield* until(() => server.logged("waiting_for_round").length > 0)
      expect(server.lottery.evidence).toBeUndefined()
      expect(server.lottery.overview()).toMatchObject({
        state: "waiting for the number",
        round: ROUND
      })
      expect(yield* drawIn(server.store)).toMatchObject({
        sealedAt: timeOfRound(ROUND) - 100,
        sealed: false
      })
      yield* untilRound
      const winners = { documents: [WINNER], winningNumber: NUMBER, result: undefined }
      expect(yield* server.lottery.winnersOf(7)).toEqual(winners)
      expect(yield* server.store.evidence).toMatchObject({ seal: undefined, result: undefined })
      expect(server.logged("draw_sealed")).toEqual([])
    })
  )

  it.effect("has no entries if its number does not come from drand", () =>
    Effect.gen(function* () {
      const server = yield* serve(yield* urlIn("csv"), drawOf(fixedNumber(7574), false))
      yield* finishAll(server)
      expect(yield* server.lottery.winnersOf(1)).toMatchObject({ result: undefined })
      expect(yield* server.store.evidence).toEqual({
        entries: undefined,
        seal: undefined,
        result: undefined
      })
      expect(yield* drawIn(server.store)).toMatchObject({ sealedAt: undefined })
    })
  )
})

describe.each(SCHEMES)("a draw that is not sealed before its round, in a %s store", (scheme) => {
  const missed = {
    _tag: "DrawMissed",
    message: expect.stringContaining(`drand round ${ROUND} was published`)
  }

  const expectMissed = Effect.fnUntraced(function* (server: Effect.Success<typeof serving>) {
    const { logged, lottery, store } = server
    expect(yield* Effect.flip(lottery.winnersOf(1))).toMatchObject(missed)
    expect(yield* Effect.flip(lottery.allTold)).toMatchObject(missed)
    expect(lottery.overview()).toMatchObject({ state: "missed", round: ROUND })
    // Bets are still taken, and nothing comes of them.
    yield* Effect.forEach([2, 7], (agency) => finish(store, agency))
    yield* lottery.lookAgain
    yield* until(() => lottery.standings.now().finished === AGENCIES.length)
    yield* advance(60)
    expect(logged("draw_missed")).toHaveLength(1)
    expect(yield* store.evidence).toMatchObject({ entries: undefined })
    expect(yield* drawIn(store)).toMatchObject({ sealedAt: undefined, winningNumber: undefined })
  })

  const serving = Effect.gen(function* () {
    const drand = yield* startDrand(GENUINE)
    return yield* serve(yield* urlIn(scheme), drawOf(AT_ROUND), { drandUrls: [drand.url] })
  })

  it.effect("is missed while the server runs, at the second of the round", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const server = yield* serving
      yield* finish(server.store, 1)
      yield* server.lottery.lookAgain
      const told = yield* Effect.forkScoped(Effect.exit(server.lottery.allTold))
      yield* TestClock.adjust("99 seconds")
      yield* settle
      expect(told.pollUnsafe()).toBeUndefined()
      expect(server.lottery.overview().state).toBe("taking bets")
      yield* TestClock.adjust("1 second")
      yield* until(() => told.pollUnsafe() !== undefined)
      yield* expectMissed(server)
    })
  )

  it.effect("is missed at once when a server starts", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(PUBLISHED)
      const server = yield* serving
      yield* finish(server.store, 1)
      yield* expectMissed(server)
    })
  )

  it.effect("is missed if the round comes while it is being sealed", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const flaw: Flaw = (store) => ({
        ...store,
        digests: Effect.tap(store.digests, () => TestClock.setTime(PUBLISHED))
      })
      const server = yield* serve(yield* urlIn(scheme), drawOf(AT_ROUND), {}, flaw)
      yield* finishAll(server)
      expect(yield* Effect.flip(server.lottery.winnersOf(1))).toMatchObject(missed)
      expect(yield* drawIn(server.store)).toMatchObject({ sealedAt: undefined })
    })
  )

  it.effect("with a delay gets a later round if one comes while it is being sealed", () =>
    Effect.gen(function* () {
      yield* beforeRound
      let left = 1
      const lateOnce = Effect.suspend(() =>
        left-- > 0 ? TestClock.setTime(PUBLISHED) : Effect.void
      )
      const flaw: Flaw = (store) => ({
        ...store,
        recordEntries: (seal) => Effect.andThen(lateOnce, store.recordEntries(seal))
      })
      const server = yield* serve(yield* urlIn(scheme), drawOf(DELAYED), {}, flaw)
      yield* finishAll(server)
      yield* until(() => left === 0)
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(TestClock.adjust("1 second"), settle)))
      yield* until(() => server.lottery.overview().state === "sealed")
      const { round = 0 } = server.lottery.overview()
      expect(round).toBeGreaterThan(ROUND)
    })
  )

  it.effect("is not missed if another server seals it in time while this one looks", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const draw = drawOf(AT_ROUND)
      let isSealed = false
      const flaw: Flaw = (store) => {
        const sealInTime = Effect.gen(function* () {
          if (isSealed || (yield* store.digests).size < AGENCIES.length) return
          isSealed = true
          yield* Effect.provideService(Sealing.recordEntries(draw), BetStore, store)
          yield* TestClock.setTime(PUBLISHED)
        })
        return { ...store, progress: Effect.tap(store.progress, Effect.orDie(sealInTime)) }
      }
      const drand = yield* startDrand(GENUINE)
      const server = yield* serve(yield* urlIn(scheme), draw, { drandUrls: [drand.url] }, flaw)
      yield* finishAll(server)
      yield* until(() => server.logged("waiting_for_round").length > 0)
      yield* advance(5)
      yield* expectEvidence(server.lottery, server.store, NUMBER)
      expect(server.logged("draw_missed")).toEqual([])
    })
  )

  it.effect("is not missed if it was sealed before, however late a server starts", () =>
    Effect.gen(function* () {
      yield* beforeRound
      const url = yield* urlIn(scheme)
      const first = yield* serve(url, drawOf(AT_ROUND))
      yield* finishAll(first)
      yield* untilRecorded(first.store, "seal")
      yield* first.stop
      yield* TestClock.setTime(PUBLISHED + 86_400_000)
      const drand = yield* startDrand(GENUINE)
      const second = yield* serve(url, drawOf(AT_ROUND), { drandUrls: [drand.url] })
      yield* advance(5)
      yield* expectEvidence(second.lottery, second.store, NUMBER)
    })
  )
})

/** The steps after which a server may die. */
const STEPS = ["recordEntries", "seal", "recordNumber", "recordDraw", "result"] as const
type Step = (typeof STEPS)[number]

/** Hangs for ever once a step is recorded. */
const dyingAfter =
  (step: Step, died: Latch.Latch): Flaw =>
  (store) => {
    const after = <A, E>(done: Step, effect: Effect.Effect<A, E>) =>
      done === step ? effect.pipe(Effect.andThen(died.open), Effect.andThen(Effect.never)) : effect
    return {
      ...store,
      recordEntries: (seal) => after("recordEntries", store.recordEntries(seal)),
      recordNote: (kind, note) => after(kind, store.recordNote(kind, note)),
      recordNumber: (...given) => after("recordNumber", store.recordNumber(...given)),
      recordDraw: after("recordDraw", store.recordDraw)
    }
  }

const SOURCES: Readonly<Record<string, readonly [Draw, number]>> = {
  fixed: [drawOf(fixedNumber(NUMBER)), NUMBER],
  announced: [drawOf(ANNOUNCED), NUMBER],
  drand: [drawOf(AT_ROUND), NUMBER],
  delayed: [drawOf(DELAYED), NUMBER]
}

const DEATHS = SCHEMES.flatMap((scheme) =>
  Object.keys(SOURCES).flatMap((source) => STEPS.map((step) => [scheme, source, step] as const))
)

describe("a server that dies", () => {
  it.effect.each(DEATHS)(
    "in %s, with the number %s, after %s is continued by the next one",
    ([scheme, source, step]) =>
      Effect.gen(function* () {
        yield* beforeRound
        const [draw, number] = SOURCES[source]!
        const url = yield* urlIn(scheme)
        const drand = yield* startDrand(GENUINE)
        const options = { drandUrls: [drand.url] }
        const died = yield* Latch.make()
        const first = yield* serve(url, draw, options, dyingAfter(step, died))
        yield* finishAll(first)
        const come = Effect.gen(function* () {
          if (STEPS.indexOf(step) < STEPS.indexOf("recordNumber")) return
          yield* untilRecorded(first.store, "seal")
          if (source === "announced") {
            yield* Effect.forkScoped(first.store.recordNumber(number))
            while ((yield* drawIn(first.store)).winningNumber === undefined) yield* settle
            yield* first.lottery.lookAgain
          }
          if (source === "drand" || source === "delayed") {
            yield* until(() => first.logged("waiting_for_round").length > 0)
            yield* untilRound
          }
        })
        yield* come
        yield* died.await
        const before = yield* first.store.evidence
        const sealedAt = (yield* drawIn(first.store)).sealedAt
        yield* first.stop

        yield* TestClock.adjust("10 seconds")
        const second = yield* serve(url, draw, options)
        yield* untilRecorded(second.store, "seal")
        if (source === "announced" && STEPS.indexOf(step) < 2) {
          yield* second.store.recordNumber(number)
          yield* second.lottery.lookAgain
        }
        yield* untilRound
        yield* expectEvidence(second.lottery, second.store, number)
        const after = yield* second.store.evidence
        expect(after.entries).toBe(before.entries)
        if (before.seal !== undefined) expect(after.seal).toBe(before.seal)
        if (before.result !== undefined) expect(after.result).toBe(before.result)
        expect(yield* drawIn(second.store)).toMatchObject({ sealedAt, winningNumber: number })
        yield* second.stop

        const third = yield* serve(url, draw, options)
        yield* expectEvidence(third.lottery, third.store, number)
        expect(yield* third.store.evidence).toEqual(after)
        expect(third.log.filter((line) => line.includes("draw_sealed"))).toEqual([])
      })
  )
})

describe("the key", () => {
  it.effect("must be the one of the draw", () =>
    Effect.gen(function* () {
      for (const [draw, key] of [
        [drawOf(ANNOUNCED), undefined],
        [drawOf(ANNOUNCED, false), sealKey]
      ] as const) {
        const exit = yield* Effect.exit(serve(yield* urlIn("csv"), draw, { sealKey: key }))
        expect(String(exit)).toContain("the key that signs is not the key of the draw")
      }
    })
  )
})

describe("damaged winners", () => {
  it.effect("of one agency leave the others their results, and the draw without one", () =>
    Effect.gen(function* () {
      const damage = new DamagedBet({ agency: 1, position: 0, reason: "no document" })
      const flaw: Flaw = (store) => ({
        ...store,
        winners: Effect.map(store.winners, (winners) => new Map([...winners, [1, damage]]))
      })
      const draw = drawOf(fixedNumber(7574))
      const server = yield* serve(yield* urlIn("csv"), draw, {}, flaw)
      yield* finishAll(server)
      expect(yield* Effect.flip(server.lottery.winnersOf(1))).toBe(damage)
      const { result = "" } = yield* server.lottery.winnersOf(7)
      expect(Result.getOrThrow(openResult(result, verifierKey)).winners).toEqual([
        { agency: 7, count: 1 }
      ])
      expect((yield* server.store.evidence).result).toBeUndefined()
    })
  )
})

describePostgres("two servers on one PostgreSQL", (database) => {
  it.live("do not miss a draw that one of them is sealing when the round comes", () =>
    Effect.gen(function* () {
      const url = yield* freshSchema((yield* database).url)
      const round = roundAtOrAfter(Date.now() / 1000 + 3)
      const draw = drawOf({ _tag: "drand", at: { round } })
      const server = yield* serve({ _tag: "postgres", url: Redacted.make(url) }, draw)
      const seal = "sealed_by = 'another server', sealed_at = now(), entries = 'its entries'"
      const held = yield* hold(
        url,
        "select id from draws for no key update",
        `update draws set ${seal}`
      )
      const told = yield* held.keepsWaiting(Effect.exit(server.lottery.allTold))
      expect(Date.now() / 1000).toBeGreaterThanOrEqual(timeOfRound(round))
      yield* held.commit
      yield* finishAll(server)
      yield* until(() => server.logged("draw_sealed").length > 0)
      expect(told.pollUnsafe()).toBeUndefined()
    })
  )

  it.live("have one seal and one result, and give agencies the same evidence", () =>
    Effect.gen(function* () {
      const url = yield* freshSchema((yield* database).url)
      const store: StoreUrl = { _tag: "postgres", url: Redacted.make(url) }
      const draw = drawOf(ANNOUNCED)
      const servers = yield* Effect.all([serve(store, draw), serve(store, draw)], {
        concurrency: 2
      })
      const [first, second] = servers
      yield* finishAll(first)
      yield* second.lottery.lookAgain
      const proofs = yield* Effect.forEach(servers, ({ lottery }) => lottery.evidence!.proofsOf(7))
      expect(proofs[0]).toEqual(proofs[1])
      yield* second.store.recordNumber(NUMBER)
      const results = yield* Effect.forEach(servers, ({ lottery }) => lottery.winnersOf(7))
      expect(results[0]).toEqual(results[1])
      for (const server of servers) {
        yield* expectEvidence(server.lottery, server.store, NUMBER)
        expect(server.logged("draw_sealed")).toHaveLength(1)
      }
      expect(first.logged("sorteo").length + second.logged("sorteo").length).toBe(1)
    })
  )
})
