/** How the state of a CSV store notes synced bytes, and what readers see while a server writes. */
import { randomUUID } from "node:crypto"
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, Scope, Stream } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { type BetStore, NO_PROGRESS } from "../../../../src/server/store/BetStore.ts"
import { makeReader } from "../../../../src/server/store/csv/CsvReader.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import {
  Disk,
  DiskError,
  type Flags,
  readFile
} from "../../../../src/server/store/embedded/Disk.ts"
import * as CrashDisk from "../../../support/stores/CrashDisk.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bytesOf } from "../BetStore.conformance.ts"

const options = (path: string) => ({ path, drawId: "default" })
const inFolder = Effect.map(temporaryFolder, (folder) => join(folder, "bets.csv"))

const stateIn = (path: string) => JSON.parse(readFileSync(`${path}.state.json`, "utf8"))

const progressIn = (path: string) =>
  Effect.scoped(Effect.flatMap(makeReader(options(path)), (books) => books.progress))

/** Lets all fibers that use a disk in memory finish their work. */
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
          // Without new bets nothing is written.
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

  it.effect("and gives up after ten seconds if the disk hangs while it is closed", () =>
    Effect.gen(function* () {
      const machine = CrashDisk.make("/there")
      const path = "/there/bets.csv"
      const disk = { ...machine.attach(), close: () => Effect.void }
      const scope = yield* Scope.make()
      const opened = Scope.provide(CsvStore.openStore(disk, path, options(path)), scope)
      yield* Effect.flatMap(opened, (store) => store.append(1, 0, bets(1, 0, 5)))
      machine.stopAfter(0)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("9 seconds")
      expect(closing.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
    })
  )

  it.effect("before too many bytes are waiting to be noted", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const row = bets(1, 0, 1)
      const unnotedLimitBytes = 10 * (row.byteLength + "1,\r".length)
      const store = yield* CsvStore.make({ ...options(path), unnotedLimitBytes })
      const noted: Array<number> = []
      for (let position = 0; position < 25; position++) {
        yield* store.append(1, position, row)
        if (statSync(path).size === stateIn(path).synced) noted.push(position)
      }
      expect(noted).toEqual([9, 19])
    }).pipe(Effect.scoped)
  )
})

/** Opens a store on a disk in memory, in a scope that is never closed: that could wait forever. */
const openOn = (
  machine: CrashDisk.CrashDisk,
  more: Partial<CsvStore.Options> = {},
  disk = machine.attach()
) =>
  Effect.suspend(() =>
    CsvStore.openStore(disk, "/there/bets.csv", { ...options("bets.csv"), ...more })
  ).pipe(Scope.provide(Scope.makeUnsafe()), Effect.provide(Logger.layer([])))

it.effect.each([0, 1])(
  "an open CSV store is durable after its server was killed at any moment (%i more)",
  (added) =>
    Effect.gen(function* () {
      let hasStopped = true
      for (let operation = 1; hasStopped; operation++) {
        const machine = CrashDisk.make("/there")
        machine.stopAfter(operation)
        const append = (store: BetStore["Service"]) => store.append(1, 0, bets(1, 0, 5))
        yield* Effect.forkDetach(Effect.flatMap(openOn(machine), append))
        yield* settle
        hasStopped = machine.hasStopped()
        machine.kill()
        const store = yield* openOn(machine)
        const { bets: shown } = yield* store.progressOf(1)
        if (added > 0) yield* store.append(1, shown, bets(1, shown, added))
        machine.cut(0)
        const again = yield* openOn(machine)
        expect((yield* again.progressOf(1)).bets).toBe(shown + added)
      }
    })
)

it.effect("a CSV store survives a power cut at any operation of its recovery", () =>
  Effect.gen(function* () {
    let hasStopped = true
    for (let operation = 1; hasStopped; operation++) {
      const machine = CrashDisk.make("/there")
      // The server is killed between a write and its sync.
      const disk = { ...machine.attach(), syncData: () => Effect.never }
      yield* Effect.forkDetach(
        Effect.flatMap(openOn(machine, {}, disk), (store) => store.append(1, 0, bets(1, 0, 5)))
      )
      yield* settle
      machine.kill()
      machine.stopAfter(operation)
      yield* Effect.forkDetach(openOn(machine))
      yield* settle
      hasStopped = machine.hasStopped()
      machine.cut(0)
      const again = yield* openOn(machine)
      expect(hasStopped ? [0, 5] : [5]).toContain((yield* again.progressOf(1)).bets)
    }
  })
)

it.effect("a CSV store survives a power cut at any operation of a large batch", () =>
  Effect.gen(function* () {
    const limits = { tailLimitBytes: 1000 }
    const book = bets(1, 0, 90)
    let hasStopped = true
    for (let operation = 1; hasStopped; operation++) {
      const machine = CrashDisk.make("/there")
      const store = yield* openOn(machine, limits)
      machine.stopAfter(operation)
      const appending = yield* Effect.forkDetach(store.append(1, 0, book))
      yield* settle
      hasStopped = appending.pollUnsafe() === undefined
      // The disk keeps the end of the unsynced bytes, but not the beginning.
      machine.cut("end")
      const again = yield* openOn(machine, limits)
      const { bets: held } = yield* again.progressOf(1)
      expect(held > 0 || hasStopped).toBe(true)
      yield* again.append(1, held, book.drop(held))
      expect(bytesOf(yield* Stream.runCollect(again.book(1, 0)))).toBe(bytesOf([book]))
    }
  })
)

describe("a reader of a CSV store", () => {
  it.live("sees every noted batch of a server, and none that is not synced", () =>
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
    })
  )

  it.live("waits while a server replaces the file, and then sees the new one", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const node = yield* Disk
      const reached = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const rename = (from: string, to: string) =>
        (to === path
          ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(release))
          : Effect.void
        ).pipe(Effect.andThen(node.rename(from, to)))
      yield* Effect.gen(function* () {
        const store = yield* CsvStore.make(options(path))
        yield* store.append(1, 0, bets(1, 0, 5))
        yield* store.append(2, 0, bets(2, 0, 7))
        const discarding = yield* Effect.forkScoped(store.discard(1, randomUUID()))
        yield* Deferred.await(reached)
        const reading = yield* Effect.forkScoped(progressIn(path))
        yield* Effect.sleep("100 millis")
        expect(reading.pollUnsafe()).toBeUndefined()
        // The same files without a server, as after a crash: the reader does not wait.
        copyFileSync(path, `${path}.crashed`)
        copyFileSync(`${path}.state.json`, `${path}.crashed.state.json`)
        expect((yield* progressIn(`${path}.crashed`)).get(1)).toMatchObject({ bets: 5 })
        yield* Deferred.succeed(release, undefined)
        expect(yield* Fiber.join(discarding)).toBe(5)
        expect([...(yield* Fiber.join(reading))]).toEqual([[2, { ...NO_PROGRESS, bets: 7 }]])
      }).pipe(Effect.provideService(Disk, { ...node, rename }), Effect.scoped)
    })
  )

  it.live(
    "sees the last writes of a killed server once they are synced, or on a read-only disk",
    () =>
      Effect.gen(function* () {
        const path = yield* inFolder
        yield* Effect.gen(function* () {
          const store = yield* CsvStore.make(options(path))
          yield* store.append(2, 0, bets(2, 0, 7))
        }).pipe(Effect.scoped)
        // The state of a server that was killed before it noted the last batch.
        writeFileSync(`${path}.state.json`, JSON.stringify({ ...stateIn(path), synced: 0 }))
        const node = yield* Disk
        const readWith = (code: string) => {
          const syncData = () =>
            Effect.fail(new DiskError({ operation: "sync", code, reason: `no sync: ${code}` }))
          return Effect.provideService(progressIn(path), Disk, { ...node, syncData })
        }
        expect((yield* Effect.flip(readWith("EIO"))).message).toContain("no sync: EIO")
        expect((yield* readWith("EROFS")).get(2)).toMatchObject({ bets: 7 })
      })
  )

  it.live("reports no missing bets while a server appends", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const node = yield* Disk
      const store = yield* CsvStore.make(options(path))
      yield* store.append(1, 0, bets(1, 0, 5), { last: whole(bets(1, 0, 5)) })
      const add = Effect.andThen(store.append(2, 0, bets(2, 0, 7)), store.told(1))
      // The server appends just after the reader got the size.
      let file: number | undefined
      const open = (name: string, flags: Flags) =>
        Effect.tap(node.open(name, flags), (opened) =>
          Effect.sync(() => {
            if (name === path) file = opened
          })
        )
      const size = (of: number) =>
        Effect.tap(node.size(of), () => (of === file ? Effect.orDie(add) : Effect.void))
      const disk = { ...node, open, size }
      const reader = yield* Effect.provideService(makeReader(options(path)), Disk, disk)
      file = undefined
      expect([...(yield* reader.progress).keys()]).toEqual([1])
      expect((yield* progressIn(path)).get(2)).toMatchObject({ bets: 7 })
    }).pipe(Effect.scoped)
  )

  it.live("keeps reading its open file after the server replaces it", () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const store = yield* CsvStore.make(options(path))
      yield* store.append(1, 0, bets(1, 0, 5))
      yield* store.append(2, 0, bets(2, 0, 7))
      yield* store.told(2)
      const reader = yield* makeReader(options(path))
      const before = yield* reader.progress
      yield* store.discard(1, randomUUID())
      yield* store.append(2, 7, bets(2, 7, 1), { last: whole(bets(2, 0, 8)) })
      expect(yield* reader.progress).toEqual(before)
      expect(bytesOf(yield* Stream.runCollect(reader.book(1, 0)))).toBe(bytesOf([bets(1, 0, 5)]))
    }).pipe(Effect.scoped)
  )
})

it.live("a reader that opens a CSV store just before a discard reads the new file", () =>
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
        yield* CsvStore.make(options(path)).pipe(
          Effect.flatMap((store) => store.discard(1, randomUUID())),
          Effect.scoped,
          Effect.orDie
        )
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

/** Counts the open descriptors of replaced or temporary files. */
const replacedFiles = (path: string): number =>
  readdirSync("/proc/self/fd").filter((name) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${name}`)
      return file.startsWith(path) && /\.tmp$| \(deleted\)$/.test(file)
    } catch {
      // The descriptor of the folder itself, already closed.
      return false
    }
  }).length

it.live.runIf(process.platform === "linux")(
  "a discard leaves no file behind, and reading a book continues in the new file",
  () =>
    Effect.gen(function* () {
      const path = yield* inFolder
      const node = yield* Disk
      let isFull = true
      const rename = (from: string, to: string) =>
        to === path && isFull
          ? Effect.fail(new DiskError({ operation: "rename", code: "ENOSPC", reason: "full" }))
          : node.rename(from, to)
      const store = yield* CsvStore.make(options(path)).pipe(
        Effect.provideService(Disk, { ...node, rename })
      )
      yield* store.append(2, 0, bets(2, 0, 5))
      expect((yield* Effect.flip(store.discard(2, randomUUID()))).message).toContain("full")
      expect(replacedFiles(path)).toBe(0)
      isFull = false
      yield* store.discard(2, randomUUID())
      const total = 24_000
      const book = new BetBatch(Buffer.alloc(total * ROW.length, ROW), total)
      yield* store.append(1, 0, book)
      for (let times = 0; times < 3; times++) {
        yield* store.append(2, 0, bets(2, 0, 5))
        yield* store.discard(2, randomUUID())
      }
      expect(replacedFiles(path)).toBe(0)
      const read: Array<BetBatch> = []
      yield* Stream.runForEach(store.book(1, 0), (batch) =>
        Effect.gen(function* () {
          if (read.push(batch) > 1) return
          yield* store.append(2, 0, bets(2, 0, 5))
          yield* store.discard(2, randomUUID())
          expect(replacedFiles(path)).toBe(0)
        })
      )
      expect(read.length).toBeGreaterThan(1)
      expect(bytesOf(read) === bytesOf([book])).toBe(true)
      expect(replacedFiles(path)).toBe(0)
    }).pipe(Effect.scoped)
)
