/**
 * Checks the files next to an embedded store, in a folder where other users may be able to create
 * files. One that is not a regular file, or whose owner cannot write the store, is not opened.
 */
import { lstat, readdir, stat, unlink } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Effect } from "effect"
import { TEMPORARY_END } from "../../../domain/TemporaryName.ts"
import { StoreOpenError } from "../BetStore.ts"
import { foreign, mayWrite } from "./PrivateFile.ts"

/** Queries the file system; undefined if that fails. */
export const orUndefined = <A>(ask: () => Promise<A>): Effect.Effect<A | undefined> =>
  Effect.orElseSucceed(Effect.tryPromise(ask), () => undefined)

/** Whether a user can write a store. If it does not exist yet, only this user and root can. */
export const canWrite = (user: number, canonical: string): Effect.Effect<boolean> =>
  Effect.map(
    orUndefined(() => stat(canonical)),
    (store) => mayWrite(user, store)
  )

export const NOT_A_FILE = "is not a regular file; remove it"

/** SQLite reads these next to any database. If the lock has a log, SQLite locks the log instead. */
const OF_SQLITE = ["-wal", "-shm", "-journal"]
const OF_CSV = [".state.json", ".winners.csv", ".entries", ".marks"]
const SUFFIXES = [...OF_SQLITE, ".lock", ...OF_SQLITE.map((end) => `.lock${end}`), ...OF_CSV]

/** Fails if a store or a file next to it is not a regular file or is not trusted. */
export const checkFiles = Effect.fnUntraced(function* (path: string, canonical: string) {
  const fail = (reason: string) => Effect.fail(new StoreOpenError({ store: path, reason }))
  const [named, store, ...files] = yield* Effect.forEach(
    [path, canonical, ...SUFFIXES.map((suffix) => `${canonical}${suffix}`)],
    (file) => orUndefined(() => lstat(file)),
    { concurrency: "unbounded" }
  )
  if (named?.isSymbolicLink() && !mayWrite(named.uid, store)) {
    return yield* fail(`it is a link that ${foreign(named.uid)}`)
  }
  if (store?.isFile() === false) return yield* fail("it is not a file")
  for (const [index, found] of files.entries()) {
    const file = `${canonical}${SUFFIXES[index]}`
    if (found?.isFile() === false) return yield* fail(`${file} ${NOT_A_FILE}`)
    if (found === undefined || mayWrite(found.uid, store)) continue
    return yield* fail(`${file} ${foreign(found.uid)}`)
  }
})

/** The store, and the files next to it that are written under a temporary name. */
const REPLACED = /^(\.state\.json|\.winners\.csv|\.entries|\.marks|\.cut-\d+)?$/

/** Removes the temporary files of killed processes. The caller holds the lock. */
export const removeTemporaries = Effect.fnUntraced(function* (canonical: string) {
  const [folder, store] = [dirname(canonical), basename(canonical)]
  const names = (yield* orUndefined(() => readdir(folder))) ?? []
  for (const name of names) {
    const rest = name.replace(TEMPORARY_END, "")
    const isOurs = rest.startsWith(store) && REPLACED.test(rest.slice(store.length))
    if (isOurs && rest !== name) yield* orUndefined(() => unlink(join(folder, name)))
  }
})
