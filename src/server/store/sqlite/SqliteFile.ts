/**
 * The SQLite file: how to open it, and what SQLite's errors mean. Runs in the store's worker, so it
 * is synchronous and imports no library.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  statSync
} from "node:fs"
import { dirname } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { missingDraw } from "../AnyDraw.ts"
import { createPrivate, foreign, mayWrite } from "../embedded/PrivateFile.ts"
import { checkTables, NotUsable, prepareTables, prepareToRead } from "./SqliteSchema.ts"

export interface FileSettings {
  /** Canonical path. */
  readonly path: string
  readonly drawId: string
  readonly readOnly: boolean
  /** How long a write waits while another process writes to the file. */
  readonly busyTimeoutMillis: number
}

const CORRUPT = 11
const NOT_A_DATABASE = 26
const IOERR_FSYNC = 1034
const IOERR_DIR_FSYNC = 1290

/** SQLite's errors have a code; Node's and our own do not. */
type ThrownError = Error & { readonly errcode?: number }

/** Why an operation failed. A broken store commits nothing from then on. */
export interface Failure {
  readonly kind: "unavailable" | "broken"
  readonly reason: string
}

/** Classifies an error: after a failed sync the state on disk is unknown. */
export const failureOf = (error: unknown): Failure => {
  const { errcode, message } = error as ThrownError
  const broken = errcode === IOERR_FSYNC || errcode === IOERR_DIR_FSYNC
  const shown = errcode === undefined ? "" : ` (SQLite ${errcode})`
  return { kind: broken ? "broken" : "unavailable", reason: `${message}${shown}` }
}

const syncFolder = (folder: string): void => {
  const descriptor = openSync(folder, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const openToWrite = (database: DatabaseSync, path: string): void => {
  // Check before the first write, to leave another program's database unchanged.
  checkTables(database)
  database.exec("pragma journal_mode = wal")
  // No automatic checkpoints: they hide a failed sync, which our `checkpoint` reports.
  database.exec("pragma synchronous = full; pragma wal_autocheckpoint = 0")
  database.exec("begin immediate")
  prepareTables(database)
  database.exec("commit")
  // A killed server may have left unsynced data in the log, which counts as stored from now on.
  database.exec("pragma wal_checkpoint(passive)")
  syncFolder(dirname(path))
  // Checked after opening: another user may have created the log just before.
  const { uid } = lstatSync(`${path}-wal`)
  if (!mayWrite(uid, statSync(path))) throw new NotUsable(`${path}-wal ${foreign(uid)}`)
}

/**
 * Chooses how SQLite opens a store for reading. Even a reader creates a file next to the store. If
 * no server is running and we have no write permission, that file cannot be created, or would lock
 * out the store's owner. The `immutable` mode needs no such file.
 */
const locationToRead = (path: string): string | URL => {
  if (existsSync(`${path}-wal`)) return path
  try {
    for (const written of [path, dirname(path)]) accessSync(written, constants.W_OK)
    return path
  } catch {
    const url = pathToFileURL(path)
    url.searchParams.set("immutable", "1")
    return url
  }
}

const openToRead = (database: DatabaseSync, drawId: string): void => {
  prepareToRead(database)
  const rows = database.prepare("select name from draws order by id").all()
  const draws = rows.map(({ name }) => String(name))
  const problem = missingDraw(drawId, draws)
  if (problem !== undefined) throw new NotUsable(problem)
}

const checkReadable = (path: string): void => {
  try {
    accessSync(path, constants.R_OK)
  } catch {
    const reason = "permission denied; run the command as the store's owner"
    throw new NotUsable(existsSync(path) ? reason : "there is no such file")
  }
}

const openFailure = (error: unknown): string => {
  const { errcode } = error as ThrownError
  const { reason } = failureOf(error)
  if (errcode === NOT_A_DATABASE) return "it is not an SQLite database"
  if (errcode === CORRUPT) {
    return `damaged: ${reason}; restore a copy, or recover what you can with sqlite3 .recover`
  }
  return reason
}

/** Opens the file; creates the store if it is new. Throws `NotUsable` with a one-line reason. */
export const openFile = (settings: FileSettings): DatabaseSync => {
  const { busyTimeoutMillis, drawId, path, readOnly } = settings
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  let database: DatabaseSync | undefined
  try {
    if (readOnly) checkReadable(path)
    else createPrivate(path)
    const location = readOnly ? locationToRead(path) : path
    database = new DatabaseSync(location, { readOnly, timeout: busyTimeoutMillis })
    if (readOnly) openToRead(database, drawId)
    else openToWrite(database, path)
    return database
  } catch (error) {
    database?.close()
    throw new NotUsable(openFailure(error))
  }
}
