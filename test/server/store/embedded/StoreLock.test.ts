/** One server per embedded store, tested with separate processes. */
import { type ChildProcess, spawn } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { BetStore, BetStoreReader } from "../../../../src/server/store/BetStore.ts"
import * as StoreLock from "../../../../src/server/store/embedded/StoreLock.ts"
import * as StoreUrl from "../../../../src/server/store/StoreUrl.ts"
import { pause } from "../../../support/stores/HeldTransaction.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const root = join(import.meta.dirname, "../../../..")

/** Waits for the holder's first line of output; fails with its standard error. */
const firstLine = (child: ChildProcess) =>
  Effect.callback<string, Error>((resume) => {
    let errors = ""
    child.stderr?.on("data", (data) => {
      errors += data
    })
    child.stdout?.once("data", (data) => resume(Effect.succeed(String(data).trim())))
    child.once("exit", () => resume(Effect.fail(new Error(errors))))
  })

const kill = (child: ChildProcess) =>
  Effect.callback<void>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resume(Effect.void)
      return
    }
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

const holder = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(
        join(root, "node_modules/.bin/node"),
        [join(root, "test/support/processes/holdStore.ts"), url],
        {
          stdio: ["ignore", "pipe", "pipe"]
        }
      )
    ),
    kill
  )

const advance = Effect.andThen(TestClock.adjust("50 millis"), pause(5))

const awaitWithTime = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function* () {
    while (fiber.pollUnsafe() === undefined) yield* advance
    return yield* Fiber.join(fiber)
  })

describe("StoreLock", () => {
  it.live("is not taken while it has a write-ahead log, which SQLite would lock instead", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "store")
      const lock = `${path}.lock`
      yield* StoreLock.acquire(path, path)
      writeFileSync(`${lock}-wal`, "not empty")
      const error = yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))
      expect(error.reason).toBe(
        `its lock ${lock} cannot be used: it has a write-ahead log; remove ${lock}-wal`
      )
      expect(yield* StoreLock.isInUse(path)).toBe(true)
    })
  )

  for (const [scheme, file] of [
    ["sqlite", "lottery.db"],
    ["csv", "bets.csv"]
  ] as const) {
    it.live(`keeps a second server out of a ${scheme} store until the first is killed`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const path = join(folder, file)
        const first = yield* holder(`${scheme}:${path}`)
        expect(yield* firstLine(first)).toBe("holding 1")

        const bets = Effect.gen(function* () {
          const store = yield* BetStore
          return (yield* store.progressOf(1)).bets
        }).pipe(Effect.provide(StoreUrl.layer({ _tag: scheme, path }, "default")))
        expect(yield* Effect.flip(bets)).toMatchObject({
          _tag: "StoreOpenError",
          store: path,
          reason: `in use by process ${first.pid}`
        })

        yield* kill(first)
        expect(yield* bets).toBe(1)
        const next = yield* holder(`${scheme}:${path}`)
        expect(yield* firstLine(next)).toBe("holding 2")
      })
    )
  }

  it.effect("is tried again for half a second in case its holder releases it", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const holder = yield* Scope.make()
      yield* Scope.provide(StoreLock.acquire(path, path), holder)
      const temporary = `${path}.1.tmp`
      writeFileSync(temporary, "the holder's")
      const asking = yield* Effect.forkScoped(StoreLock.acquire(path, path))
      for (let times = 0; times < 9; times++) yield* advance
      expect(asking.pollUnsafe()).toBeUndefined()
      expect(existsSync(temporary)).toBe(true)
      yield* Scope.close(holder, Exit.void)
      yield* awaitWithTime(asking)
    })
  )

  it.effect("is waited for while another process writes or reads the holder", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      // First there is no table, then it cannot be read, then it cannot be written.
      for (const begin of ["begin immediate", "begin exclusive", "begin; select * from holder"]) {
        const holder = new DatabaseSync(`${path}.lock`, { timeout: 0 })
        holder.exec(begin)
        const asking = yield* Effect.forkChild(Effect.scoped(StoreLock.acquire(path, path)))
        yield* advance
        yield* advance
        expect(asking.pollUnsafe()).toBeUndefined()
        holder.close()
        yield* awaitWithTime(asking)
      }
    })
  )

  it.live("treats two spellings of a path as one store, even before the file exists", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "a"))
      symlinkSync(join(folder, "a"), join(folder, "b"))
      symlinkSync("a/lottery.db", join(folder, "link.db"))
      symlinkSync("link.db", join(folder, "second.db"))
      const canonical = yield* StoreLock.canonicalPath(join(folder, "a/lottery.db"))
      for (const spelling of ["b/lottery.db", "a/../b/./lottery.db", "link.db", "second.db"]) {
        expect(yield* StoreLock.canonicalPath(join(folder, spelling))).toBe(canonical)
      }
    })
  )

  it.live("reports why a lock cannot be created", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "missing/lottery.db")
      const error = yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))
      expect(error.reason).toBe(
        `its folder ${join(folder, "missing")} does not exist or cannot be written to`
      )
    })
  )

  it.live("says what to do about a damaged lock file and treats the store as in use", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      yield* Effect.scoped(StoreLock.acquire(path, path))
      writeFileSync(`${path}.lock`, readFileSync(`${path}.lock`).subarray(0, 600))
      const error = yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))
      expect(error.reason).toMatch(/lottery.db.lock cannot be used: .*; remove it if no server has/)
      expect(yield* StoreLock.isInUse(path)).toBe(true)
    })
  )

  it.live("is visible to a reader, which creates no lock file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "lottery.db")
      expect(yield* StoreLock.isInUse(path)).toBe(false)
      expect(readdirSync(folder)).toEqual([])
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* StoreLock.acquire(path, path)
          expect(yield* StoreLock.isInUse(path)).toBe(true)
          // The check did not release it.
          expect(yield* StoreLock.isInUse(path)).toBe(true)
        })
      )
      expect(yield* StoreLock.isInUse(path)).toBe(false)
    })
  )

  it.live("is not created for a folder, which cannot be read as a store either", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "folder")
      mkdirSync(path)
      for (const scheme of ["sqlite", "csv"] as const) {
        const store = { _tag: scheme, path } as const
        const reason = "it is not a file"
        const writer = Effect.provide(BetStore, StoreUrl.layer(store, "default"))
        expect(yield* Effect.flip(writer)).toMatchObject({ reason })
        const reader = Effect.provide(BetStoreReader, StoreUrl.layerReader(store, "default"))
        expect(yield* Effect.flip(reader)).toMatchObject({ reason })
      }
      expect(existsSync(`${path}.lock`)).toBe(false)
    })
  )

  it.live("goes to one of many simultaneous servers, and later to the next", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "lottery.db")
      const acquired = yield* Effect.forEach(
        [1, 2, 3, 4],
        () => Effect.option(StoreLock.acquire(path, path)),
        { concurrency: "unbounded" }
      ).pipe(Effect.scoped)
      expect(acquired.filter((each) => each._tag === "Some")).toHaveLength(1)
      yield* Effect.scoped(StoreLock.acquire(path, path))
    })
  )
})
