/**
 * What the state of a CSV store says of the file, when it says so, and what is shown of the store
 * to who reads beside its server.
 */
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger, Scope, Stream } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { BetStoreReader } from "../../../src/server/BetStore.ts"
import { makeReader } from "../../../src/server/store/CsvReader.ts"
import * as CsvStore from "../../../src/server/store/CsvStore.ts"
import { Disk, type Flags, readFile } from "../../../src/server/store/Disk.ts"
import * as StoreLock from "../../../src/server/store/StoreLock.ts"
import * as CrashDisk from "../../support/CrashDisk.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"
import { bets, bytesOf } from "./BetStore.conformance.ts"

const options = (path: string) => ({ path, drawId: "default" })
const inFolder = Effect.map(temporaryFolder, (folder) => join(folder, "bets.csv"))

const stateIn = (path: string) => JSON.parse(readFileSync(`${path}.state.json`, "utf8"))

const progressIn = (path: string) =>
  Effect.flatMap(BetStoreReader, (books) => books.progress).pipe(
    Effect.provide(CsvStore.layerReader(path, "default"))
  )

/** Whoever has something to do with a disk in memory has done it. */
const settle = Effect.repeat(Effect.yieldNow, { times: 100 })

describe("a CSV store notes how much of it is synced", () => {
  it.effect("within a second of the last bet, and when it is closed", () =>
    Effect.gen(function* () {
      const machine = CrashDisk.make("/there")
      const path = "/there/bets.csv"
      const noted = Effect.gen(function* () {
        const bytes = yield* readFile(machine.attach(), `${path}.state.json`)
        return JSON.parse(new TextDecoder().decode(bytes)).synced
      })
      const length = Effect.map(readFile(machine.attach(), path), (bytes) => bytes!.length)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* CsvStore.openStore(machine.attach(), path, options(path))
          yield* store.append(1, 0, bets(1, 0, 5))
          expect(yield* noted).toBe(0)
          yield* TestClock.adjust("1 second")
          yield* settle
          expect(yield* noted).toBe(yield* length)
          // Nothing is written where there is nothing new.
          const { operations } = machine
          const before = operations()
          yield* TestClock.adjust("1 minute")
          yield* settle
          expect(operations()).toBe(before)
          yield* store.append(1, 5, bets(1, 5, 5))
          expect(yield* noted).toBeLessThan(yield* length)
        })
      )
      expect(yield* noted).toBe(yield* length)
    })
  )

  it.effect("and before too much of it is not noted", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const store = yield* CsvStore.make({ ...options(path), unnotedLimitBytes: 500 })
      const noted: Array<boolean> = []
      for (let position = 0; statSync(path).size < 1500; position++) {
        yield* store.append(1, position, bets(1, position, 1))
        const behind = statSync(path).size - stateIn(path).synced
        expect(behind).toBeLessThan(500)
        noted.push(behind === 0)
      }
      expect(noted.filter((isNoted) => isNoted)).toHaveLength(2)
    }).pipe(Effect.scoped)
  )
})

it.effect("a CSV store can be opened wherever the power is cut in a batch that is large", () =>
  Effect.gen(function* () {
    const path = "/there/bets.csv"
    const limits = { ...options(path), tailLimitBytes: 1000 }
    const book = bets(1, 0, 90)
    let hasStopped = true
    for (let operation = 1; hasStopped; operation++) {
      const machine = CrashDisk.make("/there")
      const open = Effect.suspend(() => CsvStore.openStore(machine.attach(), path, limits))
      // What waits for a disk that has stopped waits for ever: it is left to itself.
      const store = yield* Scope.provide(open, Scope.makeUnsafe())
      machine.stopAfter(operation)
      const appending = yield* Effect.forkDetach(store.append(1, 0, book))
      yield* settle
      hasStopped = appending.pollUnsafe() === undefined
      // The disk has written the end of what was not synced, and not its beginning.
      machine.cut("end")
      const again = yield* Effect.provide(open, Logger.layer([]))
      const { bets: held } = yield* again.progressOf(1)
      expect(held > 0 || hasStopped).toBe(true)
      yield* again.append(1, held, book.drop(held))
      expect(bytesOf(yield* Stream.runCollect(again.book(1, 0)))).toBe(bytesOf([book]))
    }
  }).pipe(Effect.scoped)
)

describe("who reads a CSV store", () => {
  it.live("beside a server is shown no batch that is not synced, but all that is noted", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const node = yield* Disk
      const reached = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      let isHeld = false
      const syncData = (file: number) =>
        Effect.suspend(() =>
          isHeld
            ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(release))
            : node.syncData(file)
        )
      yield* Effect.gen(function* () {
        const store = yield* CsvStore.make(options(path))
        yield* store.append(1, 0, bets(1, 0, 5), { last: whole(bets(1, 0, 5)) })
        isHeld = true
        const appending = yield* Effect.forkScoped(store.append(2, 0, bets(2, 0, 7)))
        yield* Deferred.await(reached)
        expect(statSync(path).size).toBeGreaterThan(stateIn(path).synced)
        expect([...(yield* progressIn(path)).keys()]).toEqual([1])
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(appending)
      }).pipe(Effect.provideService(Disk, { ...node, syncData }), Effect.scoped)
      expect((yield* progressIn(path)).get(2)).toMatchObject({ bets: 7 })
      // As a server leaves it that was killed before it noted the last batch.
      const state = stateIn(path)
      writeFileSync(`${path}.state.json`, JSON.stringify({ ...state, synced: state.synced - 300 }))
      expect((yield* progressIn(path)).get(2)).toMatchObject({ bets: 7 })
    })
  )

  it.live("waits while a server replaces the file, and then sees the new one", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      yield* Effect.gen(function* () {
        const store = yield* CsvStore.make(options(path))
        yield* store.append(1, 0, bets(1, 0, 5))
        yield* store.append(2, 0, bets(2, 0, 7))
      }).pipe(Effect.scoped)
      const state = stateIn(path)
      const inMidDiscard = { ...state, synced: 10, discards: 1, discarding: true }
      writeFileSync(`${path}.state.json`, JSON.stringify(inMidDiscard))
      // A crash in the middle leaves it so, and then nobody is waited for.
      expect((yield* progressIn(path)).get(1)).toMatchObject({ bets: 5 })
      yield* Effect.gen(function* () {
        yield* StoreLock.acquire(path, path)
        const reading = yield* Effect.forkScoped(progressIn(path))
        yield* Effect.sleep("100 millis")
        expect(reading.pollUnsafe()).toBeUndefined()
        writeFileSync(`${path}.state.json`, JSON.stringify({ ...state, discards: 1 }))
        expect((yield* Fiber.join(reading)).get(2)).toMatchObject({ bets: 7 })
      }).pipe(Effect.scoped)
    })
  )
})

it.live("who opens a CSV store just before a book is discarded from it reads the new file", () =>
  Effect.gen(function* () {
    const path = yield* inFolder
    yield* Effect.gen(function* () {
      const store = yield* CsvStore.make(options(path))
      yield* store.append(1, 0, bets(1, 0, 5))
      yield* store.append(2, 0, bets(2, 0, 7))
    }).pipe(Effect.scoped)
    const node = yield* Disk
    let isDiscarded = false
    const open = Effect.fnUntraced(function* (file: string, flags: Flags) {
      const opened = yield* node.open(file, flags)
      if (file === path && !isDiscarded) {
        isDiscarded = true
        yield* Effect.orDie(CsvStore.discard(options(path), 1))
      }
      return opened
    })
    const progress = yield* makeReader(options(path)).pipe(
      Effect.flatMap((books) => books.progress),
      Effect.provideService(Disk, { ...node, open }),
      Effect.scoped
    )
    expect([...progress.keys()]).toEqual([2])
  })
)

const ROW = Buffer.from("Ana María,Diaz López,30000001,1990-01-01,12\n")

/** The descriptors of files that were replaced and are still open. */
const replacedFiles = (path: string): number =>
  readdirSync("/proc/self/fd").filter((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === `${path} (deleted)`
    } catch {
      // It was the one of the folder itself.
      return false
    }
  }).length

it.live.runIf(process.platform === "linux")(
  "a discard leaves no file behind, and a book that is being read goes on in the new one",
  () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const store = yield* CsvStore.make(options(path))
      const total = 24_000
      const book = new BetBatch(Buffer.alloc(total * ROW.length, ROW), total)
      yield* store.append(1, 0, book)
      for (let times = 0; times < 3; times++) {
        yield* store.append(2, 0, bets(2, 0, 5))
        yield* store.discard(2)
      }
      expect(replacedFiles(path)).toBe(0)
      const read: Array<BetBatch> = []
      yield* Stream.runForEach(store.book(1, 0), (batch) =>
        Effect.gen(function* () {
          if (read.push(batch) > 1) return
          yield* store.append(2, 0, bets(2, 0, 5))
          yield* store.discard(2)
          expect(replacedFiles(path)).toBe(0)
        })
      )
      expect(read.length).toBeGreaterThan(1)
      expect(bytesOf(read) === bytesOf([book])).toBe(true)
      expect(replacedFiles(path)).toBe(0)
    }).pipe(Effect.scoped)
)
