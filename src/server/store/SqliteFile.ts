/**
 * The SQLite file itself: its tables, how it is opened, and what SQLite's errors mean. Synchronous
 * and free of libraries, for the store's worker.
 */
import { accessSync, closeSync, constants, existsSync, fsyncSync, openSync } from "node:fs"
import { dirname } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"

/** Which file, and how it is opened. */
export interface FileSettings {
  /** The canonical path. */
  readonly path: string
  /** The draw whose bets are read or written. */
  readonly drawId: string
  readonly readOnly: boolean
  /** How long a write waits for another process that writes the file. */
  readonly busyTimeoutMillis: number
}

/** "LOTT": marks the file as ours, beside its tables. */
const APPLICATION_ID = 0x4c4f5454
const SCHEMA_VERSION = 1

export const SCHEMA = `
  create table draws (
    id integer primary key,
    name text not null unique,
    agencies text,
    winning_number integer,
    recorded integer not null
  ) strict;
  create table agencies (
    draw integer not null,
    agency integer not null,
    bets integer not null,
    finished integer not null,
    told integer not null,
    primary key (draw, agency)
  ) strict, without rowid;
  create table bets (
    draw integer not null,
    agency integer not null,
    position integer not null,
    first_name text not null,
    last_name text not null,
    document text not null,
    birthdate text not null,
    number integer not null,
    primary key (draw, agency, position)
  ) strict, without rowid;
  pragma application_id = ${APPLICATION_ID};
  pragma user_version = ${SCHEMA_VERSION};
`

const NOT_A_DATABASE = 26
const IOERR_FSYNC = 1034
const IOERR_DIR_FSYNC = 1290

const errcodeOf = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode
    : undefined

export const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** Why nothing was done. A broken store commits nothing any more. */
export interface Failure {
  readonly kind: "unavailable" | "broken"
  readonly reason: string
}

/** What an error of SQLite means: after a failed sync nobody knows what is on the disk. */
export const failureOf = (error: unknown): Failure => {
  const errcode = errcodeOf(error)
  const broken = errcode === IOERR_FSYNC || errcode === IOERR_DIR_FSYNC
  const shown = errcode === undefined ? "" : ` (SQLite ${errcode})`
  return { kind: broken ? "broken" : "unavailable", reason: `${reasonOf(error)}${shown}` }
}

/** Says why a file cannot be opened as a store. */
class NotOurs extends Error {}

const syncFolder = (folder: string): void => {
  const descriptor = openSync(folder, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const single = (database: DatabaseSync, sql: string): unknown => {
  const row = database.prepare(sql).get()
  return row === undefined ? undefined : Object.values(row)[0]
}

/** Whether the file holds our tables; false where it is new and empty. */
const isOurs = (database: DatabaseSync): boolean => {
  const application = single(database, "pragma application_id")
  const version = single(database, "pragma user_version")
  if (application === APPLICATION_ID) {
    if (version === SCHEMA_VERSION) return true
    throw new NotOurs(`it is a store of version ${version}, not ${SCHEMA_VERSION}`)
  }
  if (application === 0 && single(database, "select count(*) from sqlite_schema") === 0) {
    return false
  }
  throw new NotOurs("it is a database of something else, not a store of bets")
}

const openToWrite = (database: DatabaseSync, settings: FileSettings): void => {
  // Looks before it touches: a database of something else stays as it was.
  isOurs(database)
  database.exec("pragma journal_mode = wal")
  // The log is copied by `checkpoint`, which learns of a failed sync; SQLite's own would hide it.
  database.exec("pragma synchronous = full; pragma wal_autocheckpoint = 0")
  database.exec("begin immediate")
  if (!isOurs(database)) database.exec(SCHEMA)
  database.exec("commit")
  // What a killed server left in the log may not be on the disk yet, and is soon relied upon.
  database.exec("pragma wal_checkpoint(passive)")
  syncFolder(dirname(settings.path))
}

/**
 * Whether a store lies where nothing can be written, and nobody writes it. SQLite needs a file of
 * its own beside it even to read; told that the store does not change, it does without.
 */
const isOnlyToBeRead = (path: string): boolean => {
  if (existsSync(`${path}-wal`)) return false
  try {
    accessSync(dirname(path), constants.W_OK)
    return false
  } catch {
    return true
  }
}

const immutable = (path: string): URL => {
  const url = pathToFileURL(path)
  url.searchParams.set("immutable", "1")
  return url
}

const openToRead = (database: DatabaseSync, { drawId }: FileSettings): void => {
  if (!isOurs(database)) throw new NotOurs("it is empty")
  const names = database.prepare("select name from draws order by id").all()
  // A store that a server has just made holds no draw yet.
  if (names.length === 0 || names.some(({ name }) => name === drawId)) return
  throw new NotOurs(`it holds no draw ${drawId}, only ${names.map(({ name }) => name).join(", ")}`)
}

/** Opens the file, and makes the store where it is new; throws where it cannot be one. */
export const open = (settings: FileSettings): DatabaseSync => {
  const { readOnly, path, busyTimeoutMillis } = settings
  if (readOnly && !existsSync(path)) throw new NotOurs("there is no such file")
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  const location = readOnly && isOnlyToBeRead(path) ? immutable(path) : path
  const database = new DatabaseSync(location, { readOnly, timeout: busyTimeoutMillis })
  try {
    if (readOnly) openToRead(database, settings)
    else openToWrite(database, settings)
  } catch (error) {
    database.close()
    throw error
  }
  return database
}

/** What `open` threw, in one line. */
export const describeOpenFailure = (error: unknown): string => {
  if (errcodeOf(error) === NOT_A_DATABASE) return "it is not an SQLite database"
  return error instanceof NotOurs ? error.message : failureOf(error).reason
}
