/**
 * The SQLite file: its tables, how to open it, and what SQLite's errors mean. Runs in the store's
 * worker, so it is synchronous and imports no library.
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

export interface FileSettings {
  /** Canonical path. */
  readonly path: string
  readonly drawId: string
  readonly readOnly: boolean
  /** How long a write waits while another process writes to the file. */
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

class NotUsable extends Error {}

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

/** Whether the database has all our tables, with identical definitions. */
const hasOurTables = (database: DatabaseSync): boolean => {
  const tables = database.prepare("select sql from sqlite_schema where type = 'table'").all()
  const there = new Set(tables.map(({ sql }) => definitionOf(sql).toLowerCase()))
  const ours = TABLES.split(";").map(definitionOf)
  return ours.every((sql) => sql === "" || there.has(sql))
}

/**
 * Fails if the bets of a restored store do not match its agencies. Otherwise nobody would notice
 * before the draw.
 */
const checkRestored = (database: DatabaseSync): void => {
  const damaged = database
    .prepare(
      `select coalesce(recorded.agency, found.agency) as agency,
          coalesce(recorded.bets, 0) as recorded, coalesce(found.bets, 0) as found
        from agencies as recorded
        full join (
          select draw, agency, iif(max(position) < count(*), count(*), -1) as bets
          from bets group by draw, agency
        ) as found on found.draw = recorded.draw and found.agency = recorded.agency
        where coalesce(recorded.bets, 0) <> coalesce(found.bets, 0) limit 1`
    )
    .get()
  if (damaged === undefined) return
  const { agency, found, recorded } = damaged
  const actual = found === -1 ? "their positions have gaps" : `${found} were found`
  throw new NotUsable(
    `it was only partly restored: agency ${agency} should have ${recorded} bets, but ${actual}`
  )
}

/**
 * Identifies the file: ours, empty, or restored (our tables without the marks, which the shell's
 * `.dump` does not keep). Throws on anything else.
 */
const kindOf = (database: DatabaseSync): "ours" | "restored" | "empty" => {
  const application = single(database, "pragma application_id")
  const version = Number(single(database, "pragma user_version"))
  if (application === APPLICATION_ID && version === SCHEMA_VERSION) return "ours"
  if (application === APPLICATION_ID && version > SCHEMA_VERSION) {
    throw new NotUsable(
      `it has version ${version}, but this release supports at most ${SCHEMA_VERSION}: ` +
        "use the release that wrote it, or a newer one"
    )
  }
  const isUnmarked =
    (application === 0 || application === APPLICATION_ID) &&
    (version === 0 || version === SCHEMA_VERSION)
  if (isUnmarked && single(database, "select count(*) from sqlite_schema") === 0) return "empty"
  if (isUnmarked && hasOurTables(database)) return "restored"
  throw new NotUsable("it is another program's database, not a bet store")
}

const openToWrite = (database: DatabaseSync, path: string): void => {
  // Check before the first write, to leave another program's database unchanged.
  if (kindOf(database) === "restored") checkRestored(database)
  database.exec("pragma journal_mode = wal")
  // No automatic checkpoints: they hide a failed sync, which our `checkpoint` reports.
  database.exec("pragma synchronous = full; pragma wal_autocheckpoint = 0")
  database.exec("begin immediate")
  const kind = kindOf(database)
  if (kind === "empty") database.exec(SCHEMA)
  if (kind === "restored") database.exec(MARKS)
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
  const kind = kindOf(database)
  if (kind === "empty") throw new NotUsable("it is empty")
  if (kind === "restored") checkRestored(database)
  const names = database.prepare("select name from draws order by id").all()
  // A store that a server has just created has no draw yet.
  if (names.length === 0 || names.some(({ name }) => name === drawId)) return
  throw new NotUsable(
    `it holds no draw ${drawId}, only ${names.map(({ name }) => name).join(", ")}`
  )
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
