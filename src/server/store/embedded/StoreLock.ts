/**
 * The lock that allows one server per embedded store. Node has no `flock`, so the lock is an open
 * transaction on a tiny SQLite database next to the store, `<store>.lock`. The kernel drops its
 * `fcntl` lock when the process dies, and other processes can still read the holder's pid.
 */
import { accessSync, constants } from "node:fs"
import { readlink, realpath } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { Data, Effect, Random, Schedule } from "effect"
import { StoreOpenError } from "../BetStore.ts"
import { lockHolder } from "./LockHolder.ts"
import { createPrivate } from "./PrivateFile.ts"
import { checkFiles, orUndefined, removeTemporaries } from "./StoreFiles.ts"

const SQLITE_BUSY = 5
const SQLITE_CANTOPEN = 14
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26
const DAMAGED: ReadonlyArray<number | undefined> = [SQLITE_CORRUPT, SQLITE_NOTADB]
const RETRY_MILLIS = 50
/** Half a second, far longer than a holder takes from writing its name to keeping the lock. */
const RETRIES = 10

class LockFailure extends Data.TaggedError("LockFailure")<{
  readonly errcode: number | undefined
  readonly reason: string
}> {}

/** Another process holds the lock or is taking it. */
class Held extends Data.TaggedError("Held")<{ readonly pid: unknown }> {}

const attempt = <A>(run: () => A) =>
  Effect.try({
    try: run,
    catch: (error) => {
      const { errcode, message } = error as Error & { readonly errcode?: number }
      return new LockFailure({ errcode, reason: message })
    }
  })

/** Returns the code of the error that prevents this user from opening a file. */
const accessErrorOf = (path: string): string | undefined => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

const reasonOf = ({ errcode, reason }: LockFailure, canonical: string): string => {
  const lock = `${canonical}.lock`
  if (errcode === SQLITE_CANTOPEN && accessErrorOf(lock) === "EACCES") {
    return `this user may not open its lock ${lock}; run the command as the store's owner`
  }
  if (errcode === SQLITE_CANTOPEN) {
    return `its folder ${dirname(canonical)} does not exist or cannot be written to`
  }
  const cannot = `its lock ${lock} cannot be used: ${reason}`
  return DAMAGED.includes(errcode) ? `${cannot}; remove it if no server has the store open` : cannot
}

const sqlite = (): typeof import("node:sqlite") => process.getBuiltinModule("node:sqlite")

/** Linux's limit. */
const MAX_LINKS = 40

/**
 * Resolves all links of a store's path, even if the file does not exist yet, so that two spellings
 * of one file are one store.
 */
export const canonicalPath = Effect.fnUntraced(function* (path: string) {
  let at = resolve(path)
  for (let links = 0; links < MAX_LINKS; links++) {
    const real = yield* orUndefined(() => realpath(at))
    if (real !== undefined) return real
    const target = yield* orUndefined(() => readlink(at))
    if (target === undefined) break
    at = resolve(dirname(at), target)
  }
  const folder = yield* orUndefined(() => realpath(dirname(at)))
  return folder === undefined ? at : join(folder, basename(at))
})

const holderOf = (database: DatabaseSync) => database.prepare("select pid, token from holder").get()

/**
 * Takes the lock. Fails if the file has a write-ahead log: SQLite would lock that instead, and let
 * in another server.
 */
const hold = (database: DatabaseSync): void => {
  database.exec("begin immediate")
  if (database.prepare("pragma journal_mode").get()?.journal_mode !== "wal") return
  throw new Error(`it has a write-ahead log; remove ${database.location()}-wal`)
}

/** Writes this process as the holder, takes the lock, and checks that the holder is the same. */
const claim = (database: DatabaseSync, token: string): boolean => {
  hold(database)
  database.exec("create table if not exists holder (pid integer not null, token text not null)")
  database.exec(
    `delete from holder; insert into holder values (${process.pid}, '${token}'); commit`
  )
  hold(database)
  return holderOf(database)?.token === token
}

/** Returns undefined if another process has the lock or is creating the table. */
const unlessBusy = <A>(run: () => A) =>
  Effect.catchIf(
    attempt(run),
    ({ errcode, reason }) => errcode === SQLITE_BUSY || reason.includes("no such table"),
    () => Effect.succeed(undefined)
  )

const acquireOnce = Effect.fnUntraced(function* (database: DatabaseSync, token: string) {
  if (yield* unlessBusy(() => claim(database, token))) return
  const holder = yield* unlessBusy(() => {
    if (database.isTransaction) database.exec("rollback")
    return holderOf(database)
  })
  return yield* new Held({ pid: holder?.token === token ? undefined : holder?.pid })
})

const openLock = (canonical: string) =>
  Effect.acquireRelease(
    attempt(() => {
      createPrivate(`${canonical}.lock`, canonical)
      return new (sqlite().DatabaseSync)(`${canonical}.lock`, { timeout: 0 })
    }),
    // Closing rolls back the open transaction.
    (opened) => Effect.sync(() => opened.close())
  )

/** Fails with the process that has the store open. `pid` comes from the lock file. */
const inUse = Effect.fnUntraced(function* (store: string, canonical: string, { pid }: Held) {
  const holder = yield* lockHolder(canonical)
  if (holder?.intruder === undefined) {
    const reason = `in use by process ${holder?.pid ?? pid ?? "unknown"}`
    return yield* new StoreOpenError({ store, reason, inUse: true })
  }
  const reason =
    `its lock is held by process ${holder.pid} of user ${holder.intruder}, who cannot write the ` +
    `store; end that process, and let only the owner open the lock: chmod 600 ${canonical}.lock`
  return yield* new StoreOpenError({ store, reason })
})

/**
 * Holds the lock of a store until the scope closes. `canonical` comes from `canonicalPath`; errors
 * name `store`, the path as the user typed it.
 */
export const acquire = Effect.fnUntraced(
  function* (store: string, canonical: string) {
    yield* checkFiles(store, canonical)
    const token = `${process.pid}-${yield* Random.nextInt}`
    const database = yield* openLock(canonical)
    yield* Effect.retry(acquireOnce(database, token), {
      while: (error) => error._tag === "Held",
      schedule: Schedule.spaced(RETRY_MILLIS),
      times: RETRIES
    })
    yield* removeTemporaries(canonical)
  },
  (effect, store, canonical) =>
    Effect.catchTags(effect, {
      Held: (held) => inUse(store, canonical, held),
      LockFailure: (error) =>
        Effect.fail(new StoreOpenError({ store, reason: reasonOf(error, canonical) }))
    })
)

/** Holds the lock of a store until the scope closes. Returns the store's canonical path. */
export const lock = (store: string) =>
  Effect.tap(canonicalPath(store), (canonical) => acquire(store, canonical))

/** Whether a server has the store open; true if unknown. Creates no lock file. */
export const isInUse = (canonical: string): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const accessError = accessErrorOf(`${canonical}.lock`)
    if (accessError !== undefined) return Effect.succeed(accessError !== "ENOENT")
    return openLock(canonical).pipe(
      Effect.flatMap((database) => attempt(() => hold(database))),
      Effect.scoped,
      Effect.match({ onSuccess: () => false, onFailure: () => true })
    )
  })
