/** Goal: the lottery's rules for writers, the barrier and sent winners, on a real store. */
import { randomUUID } from "node:crypto"
import { it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Latch, Layer, Logger, PubSub, Stream } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { Draw, type ExpectedAgencies, fixedNumber } from "../../../src/domain/Draw.ts"
import type { Superseded } from "../../../src/server/lottery/Book.ts"
import { Lottery } from "../../../src/server/lottery/Lottery.ts"
import type { StoredBatch } from "../../../src/server/lottery/Upload.ts"
import {
  BetStore,
  type Discarded,
  type Excluded,
  StoreUnavailable
} from "../../../src/server/store/BetStore.ts"
import * as CsvStore from "../../../src/server/store/csv/CsvStore.ts"
import { Disk, DiskError } from "../../../src/server/store/embedded/Disk.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

const bet = (document: number, number = 1) =>
  new Bet({
    firstName: "Ana",
    lastName: "Perez",
    document: String(document),
    birthdate: "1999-03-17",
    number
  })
const batchOf = (...bets: ReadonlyArray<Bet>) => BetBatch.fromBets(bets)

const csvStore = (folder: string) =>
  Layer.effect(BetStore, CsvStore.make({ path: `${folder}/bets.csv`, drawId: "default" }))

const withLottery = <A, E>(
  agencies: ExpectedAgencies,
  run: Effect.Effect<A, E, Lottery | BetStore>
) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const draw = new Draw({ id: "default", agencies, source: fixedNumber(7574) })
    const layer = Lottery.layer(draw).pipe(
      Layer.provideMerge(csvStore(folder)),
      Layer.provideMerge(Logger.layer([]))
    )
    return yield* Effect.provide(run, layer)
  }).pipe(Effect.scoped)

const documentsOf = ({ winnersOf }: Lottery["Service"], agency: number) =>
  Effect.map(winnersOf(agency), ({ documents }) => documents)

/** Runs a lottery on a store that another server also writes; only `tick` reports a change. */
const withOthers = <A, E>(
  agencies: ExpectedAgencies,
  run: (
    tick: Effect.Effect<unknown>,
    log: ReadonlyArray<string>
  ) => Effect.Effect<A, E, Lottery | BetStore>,
  flaw: (store: BetStore["Service"]) => BetStore["Service"] = (store) => store
) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
    const log: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void log.push(String(message)))
    const draw = new Draw({ id: "default", agencies, source: fixedNumber(7574) })
    const shared = Layer.effect(
      BetStore,
      Effect.map(BetStore, (store) => flaw({ ...store, changes: Stream.fromPubSub(ticks) }))
    ).pipe(Layer.provide(csvStore(folder)))
    const layer = Lottery.layer(draw).pipe(
      Layer.provideMerge(shared),
      Layer.provideMerge(Logger.layer([logger]))
    )
    return yield* Effect.provide(run(PubSub.publish(ticks, undefined), log), layer)
  }).pipe(Effect.scoped)

const come = Effect.fnUntraced(function* (agency: number, ip: string) {
  const lottery = yield* Lottery
  const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
  return { upload: yield* lottery.upload(agency, { ip, mustLeave, lost: Effect.never }), mustLeave }
})

/** Begins an upload that resumes at the end of the stored book. */
const resumeOf = Effect.fnUntraced(function* (agency: number, ip = "10.0.0.1") {
  const { mustLeave, upload } = yield* come(agency, ip)
  const resumed = yield* upload.resume
  const append = (batch: BetBatch) => upload.append(upload.position(), batch, () => Effect.void)
  return { ...upload, resumed, append, mustLeave }
})

/** Begins an upload that starts over; its `store` returns the acknowledgements. */
const uploadOf = Effect.fnUntraced(function* (agency: number, ip = "10.0.0.1") {
  const { mustLeave, upload } = yield* come(agency, ip)
  const store = Effect.fnUntraced(function* (batch: BetBatch, last: boolean) {
    const answered: Array<StoredBatch> = []
    yield* upload.storeFromStart(batch, last, (stored) =>
      Effect.sync(() => void answered.push(stored))
    )
    return answered
  })
  return { ...upload, store, mustLeave }
})

describe("an upload", () => {
  it.live("that was superseded stores nothing more", () =>
    withLottery(
      [1],
      Effect.gen(function* () {
        const store = yield* BetStore
        const first = yield* uploadOf(1)
        yield* first.store(batchOf(bet(1)), false)
        const second = yield* uploadOf(1)
        expect(yield* second.store(batchOf(bet(1), bet(2)), false)).toEqual([
          { stored: 1, repeated: 1 }
        ])
        const lost = yield* Effect.flip(Deferred.await(first.mustLeave))
        expect(lost._tag).toBe("Superseded")
        expect((yield* Effect.flip(first.store(batchOf(bet(2)), true)))._tag).toBe("Superseded")
        expect(yield* store.progressOf(1)).toMatchObject({ bets: 2, finished: false })
      }).pipe(Effect.scoped)
    )
  )

  it.live("is no longer the writer once its connection is gone", () =>
    withLottery(
      [1],
      Effect.gen(function* () {
        const first = yield* Effect.scoped(
          Effect.tap(uploadOf(1), (upload) => upload.store(batchOf(bet(1)), false))
        )
        const second = yield* uploadOf(1)
        yield* second.store(batchOf(bet(1)), true)
        expect(Deferred.isDoneUnsafe(first.mustLeave)).toBe(false)
      }).pipe(Effect.scoped)
    )
  )
})

describe("an agency that received its winners", () => {
  it.live(
    "is recorded once the store is available again, and only once, however often it has asked",
    () =>
      Effect.gen(function* () {
        const disk = yield* Disk
        let isFull = false
        let attempts = 0
        const full = Effect.suspend(() => {
          attempts++
          return Effect.fail(new DiskError({ operation: "rename", code: "ENOSPC", reason: "full" }))
        })
        const rename: Disk["rename"] = (from, to) => (isFull ? full : disk.rename(from, to))
        const told = Effect.gen(function* () {
          const lottery = yield* Lottery
          const store = yield* BetStore
          const upload = yield* uploadOf(3)
          yield* upload.store(batchOf(bet(1)), true)
          yield* lottery.winnersOf(3)
          isFull = true
          for (let asked = 0; asked < 3; asked++) yield* lottery.told(3)
          expect((yield* store.progressOf(3)).told).toBe(false)
          expect(attempts).toBeLessThan(3)
          // The store may also be unavailable at the first retry.
          while (attempts < 3) yield* Effect.sleep("10 millis")
          isFull = false
          yield* lottery.allTold
          expect((yield* store.progressOf(3)).told).toBe(true)
        })
        yield* Effect.provideService(withLottery([3], Effect.scoped(told)), Disk, {
          ...disk,
          rename
        })
      })
  )
})

describe("the barrier", () => {
  it.live("opens when the last agency finishes, in any order and with an empty book too", () =>
    withLottery(
      [1, 2, 7],
      Effect.gen(function* () {
        const lottery = yield* Lottery
        const waiting = yield* Effect.forEach([7, 1, 2], (agency) =>
          Effect.forkChild(documentsOf(lottery, agency))
        )
        for (const [agency, batch] of [
          [2, batchOf(bet(20, 7574), bet(20, 7574))],
          [7, BetBatch.empty],
          [1, batchOf(bet(10), bet(11, 7574))]
        ] as const) {
          yield* Effect.yieldNow
          expect(waiting.map((fiber) => fiber.pollUnsafe())).toEqual([
            undefined,
            undefined,
            undefined
          ])
          const upload = yield* uploadOf(agency)
          yield* upload.store(batch, true)
        }
        expect(yield* Effect.forEach(waiting, Fiber.join)).toEqual([[], ["11"], ["20", "20"]])
      }).pipe(Effect.scoped)
    )
  )

  it.live("rejects an unexpected agency, and knows when all have their winners", () =>
    withLottery(
      [3],
      Effect.gen(function* () {
        const lottery = yield* Lottery
        const error = yield* Effect.flip(lottery.admit(4))
        expect(error.message).toBe("agency 4 does not take part in the draw, expected one of 3")
        const upload = yield* uploadOf(3)
        yield* upload.store(batchOf(bet(1)), true)
        const all = yield* Effect.forkChild(lottery.allTold)
        yield* Effect.yieldNow
        expect(all.pollUnsafe()).toBeUndefined()
        yield* lottery.told(3)
        yield* Fiber.join(all)
      }).pipe(Effect.scoped)
    )
  )
})

describe("once the draw is held", () => {
  it.live("a request for winners does not read the store", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const draw = new Draw({ id: "default", agencies: [1], source: fixedNumber(7574) })
      let reads = 0
      const counted = Layer.effect(
        BetStore,
        Effect.map(BetStore, (store) => ({
          ...store,
          progressOf: (agency: number) => {
            reads++
            return store.progressOf(agency)
          }
        }))
      ).pipe(Layer.provide(csvStore(folder)))
      const layer = Lottery.layer(draw).pipe(
        Layer.provideMerge(counted),
        Layer.provideMerge(Logger.layer([]))
      )
      const ask = Effect.gen(function* () {
        const lottery = yield* Lottery
        const upload = yield* uploadOf(1)
        yield* upload.store(batchOf(bet(1)), true)
        yield* lottery.winnersOf(1)
        const before = reads
        const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
        yield* lottery.watch(1, { ip: "10.0.0.1", mustLeave, lost: Effect.never })
        expect([before > 0, reads - before]).toEqual([true, 0])
      })
      yield* Effect.provide(Effect.scoped(ask), layer)
    })
  )
})

describe("if the store cannot be read", () => {
  it.live("an upload is refused, and an agency that waits for the draw continues to wait", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const draw = new Draw({ id: "default", agencies: [1], source: fixedNumber(7574) })
      const unread = Layer.effect(
        BetStore,
        Effect.map(BetStore, (store) => ({
          ...store,
          progressOf: () => Effect.fail(new StoreUnavailable({ reason: "it is away" }))
        }))
      ).pipe(Layer.provide(csvStore(folder)))
      const layer = Lottery.layer(draw).pipe(
        Layer.provideMerge(unread),
        Layer.provideMerge(Logger.layer([]))
      )
      const arrive = Effect.gen(function* () {
        const lottery = yield* Lottery
        const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
        yield* lottery.watch(1, { ip: "10.0.0.1", mustLeave, lost: Effect.never })
        expect(yield* Effect.flip(uploadOf(1))).toMatchObject({ _tag: "StoreUnavailable" })
        expect(Deferred.isDoneUnsafe(mustLeave)).toBe(false)
      })
      yield* Effect.provide(Effect.scoped(arrive), layer)
    })
  )
})

describe("with another server on the same store", () => {
  it.live("an agency that finished there counts as finished here, and the draw is held", () =>
    withOthers([1], (_, log) =>
      Effect.gen(function* () {
        const lottery = yield* Lottery
        const store = yield* BetStore
        // The other server died before the draw, so no winners were sent.
        yield* store.append(1, 0, batchOf(bet(10), bet(11, 7574)), {
          last: whole(batchOf(bet(10), bet(11, 7574)))
        })
        expect(lottery.standings.hasFinished(1)).toBe(false)
        yield* resumeOf(1)
        expect(lottery.standings.hasFinished(1)).toBe(true)
        expect(yield* documentsOf(lottery, 1)).toEqual(["11"])
        expect(log.filter((line) => line.includes("sorteo"))).toHaveLength(1)
      }).pipe(Effect.scoped)
    )
  )

  it.live("an upload whose book was finished there must resume again, and is then finished", () =>
    withOthers([1, 2], () =>
      Effect.gen(function* () {
        const store = yield* BetStore
        const late = yield* resumeOf(1)
        yield* late.append(batchOf(bet(10)))
        yield* store.append(1, 1, batchOf(bet(11)), { last: whole(batchOf(bet(11))) })
        expect(yield* Effect.flip(late.append(batchOf(bet(11))))).toMatchObject({
          _tag: "Conflict",
          position: 1,
          expected: 2
        })
        const again = yield* resumeOf(1)
        expect(again.resumed.finished).toBe(true)
      }).pipe(Effect.scoped)
    )
  )

  it.live("winners are sent here after a draw there, which is not held again", () =>
    withOthers([1, 2], (tick, log) =>
      Effect.gen(function* () {
        const lottery = yield* Lottery
        const store = yield* BetStore
        const upload = yield* uploadOf(1)
        yield* upload.store(batchOf(bet(10, 7574)), true)
        const waiting = yield* Effect.forkChild(documentsOf(lottery, 1))
        yield* store.append(2, 0, batchOf(bet(20)), { last: whole(batchOf(bet(20))) })
        yield* store.recordNumber(7574)
        expect(yield* store.recordDraw).toBe(true)
        expect(waiting.pollUnsafe()).toBeUndefined()
        yield* tick
        expect(yield* Fiber.join(waiting)).toEqual(["10"])
        expect(log.filter((line) => line.includes("sorteo"))).toEqual([])
      }).pipe(Effect.scoped)
    )
  )

  it.live("agencies that received their winners there are recorded here too", () =>
    withOthers([1, 2], (tick) =>
      Effect.gen(function* () {
        const lottery = yield* Lottery
        const store = yield* BetStore
        yield* store.append(1, 0, batchOf(bet(10)), { last: whole(batchOf(bet(10))) })
        yield* store.append(2, 0, batchOf(bet(20)), { last: whole(batchOf(bet(20))) })
        yield* tick
        yield* lottery.winnersOf(1)
        yield* store.told(1)
        yield* lottery.told(2)
        const all = yield* Effect.forkChild(lottery.allTold)
        yield* Effect.yieldNow
        expect(all.pollUnsafe()).toBeUndefined()
        yield* tick
        yield* Fiber.join(all)
      }).pipe(Effect.scoped)
    )
  )

  it.live("a book replaced there disconnects its old connections and keeps the new ones", () =>
    withOthers([1, 2], (tick) =>
      Effect.gen(function* () {
        const store = yield* BetStore
        yield* store.append(1, 0, batchOf(bet(10)), { last: whole(batchOf(bet(10))) })
        const before = yield* resumeOf(1)
        yield* store.discard(1, randomUUID())
        yield* store.append(1, 0, batchOf(bet(11)), { last: whole(batchOf(bet(11))) })
        const after = yield* resumeOf(1)
        expect(yield* Effect.flip(Deferred.await(before.mustLeave))).toMatchObject({
          _tag: "Discarded"
        })
        yield* tick
        const lottery = yield* Lottery
        expect(lottery.standings.now()).toEqual({ finished: 1, expected: 2 })
        expect(Deferred.isDoneUnsafe(after.mustLeave)).toBe(false)
        yield* store.discard(1, randomUUID())
        yield* tick
        expect(yield* Effect.flip(Deferred.await(after.mustLeave))).toMatchObject({
          _tag: "Discarded"
        })
      }).pipe(Effect.scoped)
    )
  )

  it.live.each(["upload", "watch"] as const)(
    "late notice of a discard there does not disconnect the next book's connection: %s",
    (way) =>
      withOthers([1, 2], (tick) =>
        Effect.gen(function* () {
          const lottery = yield* Lottery
          const store = yield* BetStore
          yield* store.append(1, 0, batchOf(bet(10)), { last: whole(batchOf(bet(10))) })
          const before = yield* resumeOf(1)
          expect(lottery.standings.hasFinished(1)).toBe(true)
          yield* store.discard(1, randomUUID())
          const mustLeave = yield* Deferred.make<never, Superseded | Discarded | Excluded>()
          yield* lottery[way](1, { ip: "10.0.0.1", mustLeave, lost: Effect.never })
          expect(Deferred.isDoneUnsafe(before.mustLeave)).toBe(true)
          expect(lottery.standings.hasFinished(1)).toBe(false)
          const known = lottery.standings.now()
          // The change of the other agency shows that the tick was processed.
          yield* store.append(2, 0, batchOf(bet(20)), { last: whole(batchOf(bet(20))) })
          yield* tick
          yield* lottery.standings.changedFrom(known)
          expect(Deferred.isDoneUnsafe(mustLeave)).toBe(false)
        }).pipe(Effect.scoped)
      )
  )

  it.live("an agency that finishes during a read of the store stays finished", () =>
    Effect.gen(function* () {
      const begun = yield* Latch.make()
      const free = yield* Latch.make(true)
      const slow = (store: BetStore["Service"]): BetStore["Service"] => ({
        ...store,
        progress: Effect.tap(store.progress, () => Effect.andThen(begun.open, free.await))
      })
      const finishMeanwhile = (tick: Effect.Effect<unknown>) =>
        Effect.gen(function* () {
          const { standings } = yield* Lottery
          const store = yield* BetStore
          const upload = yield* uploadOf(1)
          yield* begun.close
          yield* free.close
          yield* tick
          yield* begun.await
          yield* upload.store(batchOf(bet(10)), true)
          const known = standings.now()
          expect(known.finished).toBe(1)
          // The change of the other agency shows that the store was read again.
          yield* store.append(2, 0, batchOf(bet(20)), { last: whole(batchOf(bet(20))) })
          yield* free.open
          yield* tick
          yield* standings.changedFrom(known)
          expect(standings.now().finished).toBe(2)
          expect(standings.hasFinished(1)).toBe(true)
        }).pipe(Effect.scoped)
      yield* withOthers([1, 2, 3], finishMeanwhile, slow)
    })
  )

  it.live("a defect in the draw is logged, and the next attempt holds the draw", () =>
    Effect.gen(function* () {
      let draws = 0
      const flaw = (store: BetStore["Service"]): BetStore["Service"] => ({
        ...store,
        recordDraw: Effect.suspend(() =>
          draws++ === 0 ? Effect.die(new TypeError("no draw")) : store.recordDraw
        )
      })
      const drawTwice = (tick: Effect.Effect<unknown>, log: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const lottery = yield* Lottery
          yield* (yield* uploadOf(1)).store(batchOf(bet(10)), true)
          const draws = () => log.filter((line) => line.startsWith("action: sorteo"))
          while (draws().length === 0) yield* Effect.sleep("5 millis")
          expect(draws()).toEqual([
            "action: sorteo | result: fail | error: internal error: TypeError: no draw"
          ])
          yield* tick
          expect(yield* documentsOf(lottery, 1)).toEqual([])
        }).pipe(Effect.scoped)
      yield* withOthers([1], drawTwice, flaw)
    })
  )
})
