/**
 * Goal: another user of the machine cannot read a store, or affect it with a file next to it.
 * Method: real files of every kind; those of another user only if the tests run as root.
 */

import { spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { BetStoreReader } from "../../../../src/server/store/BetStore.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import * as StoreLock from "../../../../src/server/store/embedded/StoreLock.ts"
import * as StoreUrl from "../../../../src/server/store/StoreUrl.ts"
import * as SqliteStore from "../../../../src/server/store/sqlite/SqliteStore.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { bets, drawOf } from "../BetStore.conformance.ts"

const FOREIGN =
  "belongs to user 12345, who cannot write the store; " +
  "remove it, or give it to the store's owner if you trust it (chown)"

const isRoot = process.geteuid?.() === 0
/** Only root can change the owner of a file. */
const describeAsRoot = (name: string, tests: () => void) =>
  describe.skipIf(!isRoot)(`${name} (as root)`, tests)
const OTHER = 12_345

const newStore = Effect.map(temporaryFolder, (folder) => join(folder, "store"))

const modesIn = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder).map((file) => [
      file,
      (statSync(join(folder, file)).mode & 0o777).toString(8)
    ])
  )

const makeFifo = (file: string): void => {
  expect(spawnSync("mkfifo", [file]).status).toBe(0)
}

/** Not regular files: opening one would follow a link or block. */
const KINDS: Readonly<Record<string, (file: string) => void>> = {
  "a FIFO": makeFifo,
  "a link": (file) => {
    writeFileSync(`${file}-linked`, "")
    symlinkSync(`${file}-linked`, file)
  },
  "a link to nothing": (file) => symlinkSync("nowhere", file),
  "a folder": (file) => mkdirSync(file)
}

for (const [name, stores] of Object.entries({ SqliteStore, CsvStore })) {
  const at = (path: string) => ({ path, drawId: "default" })
  const fill = Effect.fnUntraced(function* (path: string) {
    const store = yield* stores.make(at(path))
    yield* store.openDraw(drawOf([1, 2]))
    for (const agency of [1, 2]) yield* store.append(agency, 0, bets(agency, 0, 5))
    return store
  })
  const filled = Effect.tap(newStore, (path) => Effect.scoped(fill(path)))
  /** Returns why a store can be opened neither for writing nor for reading. */
  const refusal = Effect.fnUntraced(function* (path: string) {
    const { reason } = yield* Effect.flip(Effect.scoped(stores.make(at(path))))
    const url = { _tag: name === "CsvStore" ? "csv" : "sqlite", path } as const
    const reader = Effect.provide(BetStoreReader, StoreUrl.layerReader(url, "default"))
    expect(yield* Effect.flip(reader)).toMatchObject({ reason })
    return reason
  })

  describe(`the files of a ${name}`, () => {
    it.live("are accessible only to their owner, even while it is open", () =>
      Effect.gen(function* () {
        const path = yield* newStore
        const whileOpen = yield* Effect.scoped(Effect.map(fill(path), () => modesIn(dirname(path))))
        for (const modes of [whileOpen, modesIn(dirname(path))]) {
          expect(Object.keys(modes)).toContain("store.lock")
          expect([...new Set(Object.values(modes))]).toEqual([
            (0o600 & ~process.umask()).toString(8)
          ])
        }
      })
    )

    it.live("keep the store's permissions that the operator set", () =>
      Effect.gen(function* () {
        const path = yield* filled
        chmodSync(path, 0o640)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const store = yield* stores.make(at(path))
            yield* store.discard(1, randomUUID())
            yield* store.append(1, 0, bets(1, 0, 1))
          })
        )
        const { "store.lock": lock, ...others } = modesIn(dirname(path))
        expect(lock).toBe("600")
        expect([...new Set(Object.values(others))]).toEqual(["640"])
      })
    )

    it.live("are refused without blocking if they are not regular files", () =>
      Effect.gen(function* () {
        const path = yield* filled
        const ofSqlite = ["-wal", "-shm", "-journal"]
        const ofLock = ["", ...ofSqlite].map((suffix) => `.lock${suffix}`)
        for (const file of [...ofSqlite, ...ofLock, ".state.json", ".entries", ".marks"].map(
          (suffix) => `${path}${suffix}`
        )) {
          const before = lstatSync(file, { throwIfNoEntry: false }) && readFileSync(file)
          for (const make of Object.values(KINDS)) {
            rmSync(file, { force: true })
            make(file)
            expect(yield* refusal(path)).toBe(`${file} is not a regular file; remove it`)
            rmSync(file, { recursive: true })
          }
          if (before !== undefined) writeFileSync(file, before)
        }
        // The path that the operator gives may be a link.
        symlinkSync(path, `${path}-named`)
        yield* Effect.scoped(stores.make(at(`${path}-named`)))
        rmSync(path)
        makeFifo(path)
        expect(yield* refusal(path)).toBe("it is not a file")
      })
    )

    it.live("are not written through a link at a temporary name", () =>
      Effect.gen(function* () {
        const path = yield* filled
        const victim = join(dirname(path), "victim")
        writeFileSync(victim, "mine")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const store = yield* stores.make(at(path))
            for (const rest of ["", ".state.json"]) symlinkSync(victim, `${path}${rest}.tmp`)
            expect(yield* store.discard(1, randomUUID())).toBe(5)
          })
        )
        expect(readFileSync(victim, "utf8")).toBe("mine")
      })
    )

    describeAsRoot("of another user", () => {
      it.live("are not trusted unless that user can write the store", () =>
        Effect.gen(function* () {
          const path = yield* filled
          for (const suffix of ["-wal", "-journal", ".lock", ".lock-wal", ".state.json"]) {
            const file = `${path}${suffix}`
            writeFileSync(file, "", { flag: "a" })
            chownSync(file, OTHER, OTHER)
            expect(yield* refusal(path)).toBe(`${file} ${FOREIGN}`)
            if (suffix === ".lock" || suffix === ".state.json") chownSync(file, 0, 0)
            else rmSync(file)
          }
          chownSync(`${path}.lock`, OTHER, OTHER)
          chmodSync(path, 0o660)
          yield* Effect.scoped(stores.make(at(path)))
          chmodSync(path, 0o600)
          chownSync(path, OTHER, OTHER)
          yield* Effect.scoped(stores.make(at(path)))
        })
      )

      it.live("are not followed as links in the store's place", () =>
        Effect.gen(function* () {
          const path = yield* filled
          const link = `${path}-linked`
          for (const to of [path, "nowhere"]) {
            symlinkSync(to, link)
            lchownSync(link, OTHER, OTHER)
            expect(yield* refusal(link)).toBe(`it is a link that ${FOREIGN}`)
            rmSync(link)
          }
          expect(readdirSync(dirname(path))).not.toContain("nowhere")
          // Unless the link belongs to the store's owner.
          symlinkSync(path, link)
          for (const file of [path, `${path}.lock`]) chownSync(file, OTHER, OTHER)
          lchownSync(link, OTHER, OTHER)
          yield* Effect.scoped(stores.make(at(link)))
        })
      )
    })

    describeAsRoot("that root writes", () => {
      it.live("still belong to the store's owner", () =>
        Effect.gen(function* () {
          const path = yield* filled
          chownSync(path, OTHER, OTHER)
          rmSync(`${path}.lock`)
          rmSync(`${path}.state.json`, { force: true })
          const owners = () =>
            readdirSync(dirname(path)).map((file) => statSync(join(dirname(path), file)).uid)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const store = yield* stores.make(at(path))
              yield* store.discard(1, randomUUID())
              yield* store.append(1, 0, bets(1, 0, 1))
              expect([...new Set(owners())]).toEqual([OTHER])
            })
          )
          expect([...new Set(owners())]).toEqual([OTHER])
        })
      )
    })
  })
}

const modulePath = (name: string): string =>
  join(import.meta.dirname, "../../../../src/server/store", name)

/** Opens a store as another user and prints the error. Loads its modules before it drops root. */
const STRANGER = `
  const [path, lockModule, fileModule] = process.argv.slice(1)
  const { Effect } = await import("effect")
  const { acquire, isInUse } = await import(lockModule)
  const { openFile } = await import(fileModule)
  process.setgid(${OTHER})
  process.setuid(${OTHER})
  const error = await Effect.runPromise(Effect.flip(Effect.scoped(acquire(path, path))))
  console.log(error.reason)
  console.log("in use: " + (await Effect.runPromise(isInUse(path))))
  try {
    openFile({ path, drawId: "default", readOnly: true, busyTimeoutMillis: 0 })
  } catch (error) {
    console.log(error.message)
  }
`

describeAsRoot("a user who may not open the store", () => {
  it.live("gets an error that says so", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      yield* Effect.scoped(SqliteStore.make({ path, drawId: "default" }))
      chmodSync(dirname(path), 0o755)
      const modules = ["embedded/StoreLock.ts", "sqlite/SqliteFile.ts"].map(modulePath)
      const args = ["--input-type=module", "-e", STRANGER, path, ...modules]
      const { stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
      expect(stdout.split("\n"), stderr).toEqual([
        `this user may not open its lock ${path}.lock; run the command as the store's owner`,
        // Unknown counts as in use.
        "in use: true",
        "permission denied; run the command as the store's owner",
        ""
      ])
    })
  )
})

/** Opens an SQLite store as a user other than root and prints the error. */
const OPENER = `
  const [path, module, how] = process.argv.slice(1)
  const { openFile } = await import(module)
  process.setgid(${OTHER})
  process.setuid(${OTHER})
  try {
    openFile({ path, drawId: "default", readOnly: how === "read", busyTimeoutMillis: 0 }).close()
  } catch (error) {
    console.log(error.message)
  }
`
const openAsOther = (path: string, how: "read" | "write") => {
  chmodSync(dirname(path), 0o1777)
  const args = ["--input-type=module", "-e", OPENER, path, modulePath("sqlite/SqliteFile.ts"), how]
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
  expect(status, stderr).toBe(0)
  return stdout
}

describeAsRoot("the log of an SQLite store", () => {
  it.live("is refused if another user creates it during the opening", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      yield* Effect.scoped(SqliteStore.make({ path, drawId: "default" }))
      chownSync(path, OTHER, OTHER)
      // After the check of the files.
      writeFileSync(`${path}-wal`, "")
      chmodSync(`${path}-wal`, 0o666)
      chownSync(`${path}-wal`, OTHER + 1, OTHER + 1)
      expect(openAsOther(path, "write")).toBe(
        `${path}-wal ${FOREIGN.replace(`${OTHER}`, `${OTHER + 1}`)}\n`
      )
    })
  )
})

describeAsRoot("a user who may read the store and write in its folder", () => {
  it.live("leaves no file that the store's owner would not trust", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      const options = { path, drawId: "default" }
      yield* Effect.scoped(SqliteStore.make(options))
      chmodSync(path, 0o644)
      expect(openAsOther(path, "read")).toBe("")
      yield* Effect.scoped(SqliteStore.make(options))
    })
  )
})

/** Holds a lock that it can only read. */
const INTRUDER = `
  process.setgid(${OTHER})
  process.setuid(${OTHER})
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  const lock = new DatabaseSync(process.argv[1], { readOnly: true })
  lock.exec("begin")
  lock.prepare("select * from holder").all()
  console.log("held")
  setInterval(() => {}, 60_000)
`

describe.skipIf(!isRoot || process.platform !== "linux")("a lock (as root, on Linux)", () => {
  it.live("held by a user who cannot write the store is reported as such", () =>
    Effect.gen(function* () {
      const path = yield* newStore
      const lock = `${path}.lock`
      writeFileSync(path, "")
      yield* Effect.scoped(StoreLock.acquire(path, path))
      chmodSync(dirname(path), 0o755)
      // The mode that an earlier version gave it.
      chmodSync(lock, 0o644)
      const intruder = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, ["-e", INTRUDER, lock])),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      yield* Effect.callback<void>((resume) => {
        intruder.stdout.once("data", () => resume(Effect.void))
      })
      const error = yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))
      expect(error).toMatchObject({
        reason:
          `its lock is held by process ${intruder.pid} of user ${OTHER}, who cannot write the ` +
          `store; end that process, and let only the owner open the lock: chmod 600 ${lock}`
      })
      // Otherwise a command would wait until that process answers.
      expect(error.inUse).not.toBe(true)
      chmodSync(path, 0o606)
      expect(yield* Effect.flip(Effect.scoped(StoreLock.acquire(path, path)))).toMatchObject({
        reason: `in use by process ${intruder.pid}`,
        inUse: true
      })
    })
  )
})
