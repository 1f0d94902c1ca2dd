/** One server per embedded store, seen with processes of their own. */
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

/** Waits for the first line of the holder; fails with what it says of an error. */
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

/** Lets the test's time go on, and the files of the lock be asked meanwhile. */
const goOn = Effect.andThen(TestClock.adjust("50 millis"), pause(5))

const awaitWithTime = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function* () {
    while (fiber.pollUnsafe() === undefined) yield* goOn
    return yield* Fiber.join(fiber)
  })

describe("StoreLock", () => {
  it.live("is held also while a log lies beside it, which SQLite would lock instead", () =>
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
    it.live(`keeps a second server from a ${scheme} store, until the first is killed`, () =>
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

  it.effect("is asked for again for half a second, in which its holder may go away", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const holder = yield* Scope.make()
      yield* Scope.provide(StoreLock.acquire(path, path), holder)
      const temporary = `${path}.1.tmp`
      writeFileSync(temporary, "the holder's")
      const asking = yield* Effect.forkScoped(StoreLock.acquire(path, path))
      for (let times = 0; times < 9; times++) yield* goOn
      expect(asking.pollUnsafe()).toBeUndefined()
      expect(existsSync(temporary)).toBe(true)
      yield* Scope.close(holder, Exit.void)
      yield* awaitWithTime(asking)
    })
  )

  it.effect("is waited for while another is just writing its name, or reads who holds it", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      // There is no table at first, then it cannot be read, and then not be written.
      for (const begin of ["begin immediate", "begin exclusive", "begin; select * from holder"]) {
        const holder = new DatabaseSync(`${path}.lock`, { timeout: 0 })
        holder.exec(begin)
        const asking = yield* Effect.forkChild(Effect.scoped(StoreLock.acquire(path, path)))
        yield* goOn
        yield* goOn
        expect(asking.pollUnsafe()).toBeUndefined()
        holder.close()
        yield* awaitWithTime(asking)
      }
    })
  )

  it.live("takes two spellings of a file for one store, also before it exists", () =>
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

  it.live("says what is wrong where no lock can be made", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "missing/lottery.db")
      const error = yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))
      expect(error.reason).toBe(
        `its folder ${join(folder, "missing")} does not exist or cannot be written to`
      )
    })
  )

  it.live("says what to do with a lock file that was damaged, and takes the store for in use", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      yield* Effect.scoped(StoreLock.acquire(path, path))
      writeFileSync(`${path}.lock`, readFileSync(`${path}.lock`).subarray(0, 600))
      const error = yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))
      expect(error.reason).toMatch(/lottery.db.lock cannot be used: .*; remove it if no server has/)
      expect(yield* StoreLock.isInUse(path)).toBe(true)
    })
  )

  it.live("is seen by who only reads, without a file of its own", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "lottery.db")
      expect(yield* StoreLock.isInUse(path)).toBe(false)
      expect(readdirSync(folder)).toEqual([])
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* StoreLock.acquire(path, path)
          expect(yield* StoreLock.isInUse(path)).toBe(true)
          // Looking took nothing away.
          expect(yield* StoreLock.isInUse(path)).toBe(true)
        })
      )
      expect(yield* StoreLock.isInUse(path)).toBe(false)
    })
  )

  it.live("is laid beside no folder, which nobody reads as a store either", () =>
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

  it.live("is given to one of many who ask at once, and to the next after it", () =>
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
