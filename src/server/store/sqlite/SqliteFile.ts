/**
 * The SQLite file itself: its tables, how it is opened, and what SQLite's errors mean. Synchronous
 * and free of libraries, for the store's worker.
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
import { createPrivate, foreign, mayWrite } from "../embedded/PrivateFile.ts"

/** Which file, and how it is opened. */
export interface FileSettings {
  /** Canonical. */
  readonly path: string
  /** The draw whose bets are read or written. */
  readonly drawId: string
  readonly readOnly: boolean
  /** How long a write waits for another process that writes the file. */
  readonly busyTimeoutMillis: number
}

/** "LOTT": marks the file as ours. */
const APPLICATION_ID = 0x4c4f5454
const SCHEMA_VERSION = 1

const TABLES = `
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
`

const MARKS = `
  pragma application_id = ${APPLICATION_ID};
  pragma user_version = ${SCHEMA_VERSION};
`

export const SCHEMA = `${TABLES}${MARKS}`

const CORRUPT = 11
const NOT_A_DATABASE = 26
const IOERR_FSYNC = 1034
const IOERR_DIR_FSYNC = 1290

/** What is thrown here: by SQLite with its code, by Node and ourselves without. */
type ThrownError = Error & { readonly errcode?: number }

/** Why nothing was done; a broken store commits nothing any more. */
export interface Failure {
  readonly kind: "unavailable" | "broken"
  readonly reason: string
}

/** What an error of SQLite means: after a failed sync it is unknown what is on the disk. */
export const failureOf = (error: unknown): Failure => {
  const { errcode, message } = error as ThrownError
  const broken = errcode === IOERR_FSYNC || errcode === IOERR_DIR_FSYNC
  const shown = errcode === undefined ? "" : ` (SQLite ${errcode})`
  return { kind: broken ? "broken" : "unavailable", reason: `${message}${shown}` }
}

/** The file cannot be opened as a store. */
class NotOurs extends Error {}

const syncFolder = (folder: string): void => {
  const descriptor = openSync(folder, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const single = (database: DatabaseSync, sql: string): unknown =>
  Object.values(database.prepare(sql).get() ?? {})[0]

const definitionOf = (sql: unknown): string => String(sql).trim().replaceAll(/\s+/g, " ")

/** Whether it has our tables, each exactly as we create it. */
const hasOurTables = (database: DatabaseSync): boolean => {
  const tables = database.prepare("select sql from sqlite_schema where type = 'table'").all()
  const there = new Set(tables.map(({ sql }) => definitionOf(sql).toLowerCase()))
  const ours = TABLES.split(";").map(definitionOf)
  return ours.every((sql) => sql === "" || there.has(sql))
}

/**
 * Fails if a restored store lacks bets that its agencies have, or agencies of its bets: that would
 * not be noticed before the draw.
 */
const checkRestored = (database: DatabaseSync): void => {
  const damaged = database
    .prepare(
      `select coalesce(said.agency, found.agency) as agency,
          coalesce(said.bets, 0) as said, coalesce(found.bets, 0) as found
        from agencies as said
        full join (
          select draw, agency, iif(max(position) < count(*), count(*), -1) as bets
          from bets group by draw, agency
        ) as found on found.draw = said.draw and found.agency = said.agency
        where coalesce(said.bets, 0) <> coalesce(found.bets, 0) limit 1`
    )
    .get()
  if (damaged === undefined) return
  const { agency, found, said } = damaged
  const there = found === -1 ? "some are missing between others" : `${found} are there`
  throw new NotOurs(`it was restored in part: agency ${agency} has ${said} bets, but ${there}`)
}

/**
 * What the file is: ours, new and empty, or ours without its marks, which the shell's `.dump` does
 * not keep. Throws if it is anything else.
 */
const kindOf = (database: DatabaseSync): "ours" | "restored" | "empty" => {
  const application = single(database, "pragma application_id")
  const version = Number(single(database, "pragma user_version"))
  if (application === APPLICATION_ID && version === SCHEMA_VERSION) return "ours"
  if (application === APPLICATION_ID && version > SCHEMA_VERSION) {
    throw new NotOurs(
      `it is a store of version ${version}, and this program knows ${SCHEMA_VERSION} at most: ` +
        "use the lottery that wrote it, or a newer one"
    )
  }
  const isUnmarked =
    (application === 0 || application === APPLICATION_ID) &&
    (version === 0 || version === SCHEMA_VERSION)
  if (isUnmarked && single(database, "select count(*) from sqlite_schema") === 0) return "empty"
  if (isUnmarked && hasOurTables(database)) return "restored"
  throw new NotOurs("it is a database of something else, not a store of bets")
}

const openToWrite = (database: DatabaseSync, path: string): void => {
  // Looks before it touches: a database of something else stays as it was.
  if (kindOf(database) === "restored") checkRestored(database)
  database.exec("pragma journal_mode = wal")
  // The log is copied by `checkpoint`, which learns of a failed sync; SQLite's own would hide it.
  database.exec("pragma synchronous = full; pragma wal_autocheckpoint = 0")
  database.exec("begin immediate")
  const kind = kindOf(database)
  if (kind === "empty") database.exec(SCHEMA)
  if (kind === "restored") database.exec(MARKS)
  database.exec("commit")
  // What a killed server left in the log may not be synced yet, but counts as stored from now on.
  database.exec("pragma wal_checkpoint(passive)")
  syncFolder(dirname(path))
  // Only now: another user may have put the log there just before it was opened.
  const { uid } = lstatSync(`${path}-wal`)
  if (!mayWrite(uid, statSync(path))) throw new NotOurs(`${path}-wal ${foreign(uid)}`)
}

/**
 * Where SQLite opens a store to read it. Even a reader needs a file of SQLite's own next to it. If
 * no server writes the store and we cannot, that file would keep the store's owner out, or cannot
 * be made at all. SQLite does without if it is told that the store does not change.
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
  const kind = kindOf(database)
  if (kind === "empty") throw new NotOurs("it is empty")
  if (kind === "restored") checkRestored(database)
  const names = database.prepare("select name from draws order by id").all()
  // A store that a server has just made holds no draw yet.
  if (names.length === 0 || names.some(({ name }) => name === drawId)) return
  throw new NotOurs(`it holds no draw ${drawId}, only ${names.map(({ name }) => name).join(", ")}`)
}

const checkReadable = (path: string): void => {
  try {
    accessSync(path, constants.R_OK)
  } catch {
    const reason = "permission denied; run the command as the store's owner"
    throw new NotOurs(existsSync(path) ? reason : "there is no such file")
  }
}

/** Why a file cannot be opened, in one line. */
const openFailure = (error: unknown): string => {
  const { errcode } = error as ThrownError
  const { reason } = failureOf(error)
  if (errcode === NOT_A_DATABASE) return "it is not an SQLite database"
  if (errcode === CORRUPT) {
    return `damaged: ${reason}; restore a copy, or save what sqlite3 .recover can`
  }
  return reason
}

/** Opens the file, and creates the store if it is new; says why if it throws. */
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
    throw new NotOurs(openFailure(error))
  }
}
