/**
 * The tables of a SQLite store and their versions. Runs in the store's worker, so it is synchronous
 * and imports no library.
 */
import type { DatabaseSync } from "node:sqlite"

/** The database cannot be used as a store; the message is one line. */
export class NotUsable extends Error {}

/** "LOTT": marks the file as ours. */
const APPLICATION_ID = 0x4c4f5454
const VERSION = 3

const BET_COLUMNS = `(
    draw integer not null,
    agency integer not null,
    position integer not null,
    first_name text not null,
    last_name text not null,
    document text not null,
    birthdate text not null,
    number integer not null,
    primary key (draw, agency, position)
  ) strict, without rowid`

/**
 * Times are text, such as `2026-12-02T00:00:00.000Z`. The entries come last because they can be
 * large: SQLite reads a row from its beginning.
 */
const DRAWS = `
  create table draws (
    id integer primary key,
    name text not null unique,
    agencies text,
    number_from text,
    fixed_number integer,
    draw_round integer,
    draw_delay integer,
    close_at text,
    closes_at text,
    seal_key text,
    sealed_at text,
    winning_number integer,
    beacon_round integer,
    beacon_signature text,
    drawn integer not null,
    seal_note text,
    result_note text,
    entries text
  ) strict`

/** A finished book has a digest. */
const AGENCIES = `
  create table agencies (
    draw integer not null,
    agency integer not null,
    bets integer not null,
    finished integer not null,
    excluded integer not null,
    told integer not null,
    book_bytes integer,
    sha256 text,
    marks blob,
    primary key (draw, agency)
  ) strict, without rowid`

const BETS = `create table bets ${BET_COLUMNS}`

/** What version 1 did not have. A discard's id is that of an operator's act. */
const ADDED = `
  create table winners ${BET_COLUMNS};
  create table discards (
    id text primary key,
    draw integer not null,
    agency integer not null,
    bets integer not null
  ) strict, without rowid`

const TABLES = `${DRAWS}; ${AGENCIES}; ${BETS}; ${ADDED};`

const FIRST_TABLES = `
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
  ${BETS};`

const SECOND_TABLES = `
  create table draws (
    id integer primary key,
    name text not null unique,
    agencies text,
    number_from text,
    fixed_number integer,
    close_at text,
    closes_at text,
    winning_number integer,
    drawn integer not null
  ) strict;
  create table agencies (
    draw integer not null,
    agency integer not null,
    bets integer not null,
    finished integer not null,
    excluded integer not null,
    told integer not null,
    primary key (draw, agency)
  ) strict, without rowid;
  ${BETS}; ${ADDED};`

const TABLES_OF: Readonly<Record<number, string>> = {
  1: FIRST_TABLES,
  2: SECOND_TABLES,
  3: TABLES
}

const MARKS = `
  pragma application_id = ${APPLICATION_ID};
  pragma user_version = ${VERSION};
`

interface Earlier {
  readonly draws: (table: string) => string
  readonly agencies: (table: string) => string
}

const NO_EVIDENCE = "null as seal_note, null as result_note, null as entries"
const NO_DIGEST = "null as book_bytes, null as sha256, null as marks"

/** The queries that show the tables of earlier versions as those of this version. */
const FIRST: Earlier = {
  draws: (table) => `
    select id, name, agencies, iif(agencies is null, null, 'fixed') as number_from,
      winning_number as fixed_number, null as draw_round, null as draw_delay, null as close_at,
      null as closes_at, null as seal_key, null as sealed_at,
      iif(recorded, winning_number, null) as winning_number, null as beacon_round,
      null as beacon_signature, recorded as drawn, ${NO_EVIDENCE}
    from ${table}`,
  agencies: (table) => `
    select draw, agency, bets, finished, 0 as excluded, told, ${NO_DIGEST} from ${table}`
}
const SECOND: Earlier = {
  draws: (table) => `
    select id, name, agencies, number_from, fixed_number, null as draw_round, null as draw_delay,
      close_at, closes_at, null as seal_key, null as sealed_at, winning_number,
      null as beacon_round, null as beacon_signature, drawn, ${NO_EVIDENCE}
    from ${table}`,
  agencies: (table) => `
    select *, ${NO_DIGEST} from ${table}`
}
const firstWinners = (draws: string) => `
  select bets.* from bets join ${draws} as draws on draws.id = bets.draw
  where draws.recorded and bets.number = draws.winning_number`

/**
 * Copies the tables, because `alter table` would leave other definitions than ours. The pragma
 * keeps people's own views as they are: without it, they would follow the renamed tables.
 */
const migration = (earlier: Earlier, added: string) => `
  pragma legacy_alter_table = on;
  alter table draws rename to old_draws;
  alter table agencies rename to old_agencies;
  ${DRAWS}; ${AGENCIES}; ${added}
  insert into draws ${earlier.draws("old_draws")};
  insert into agencies ${earlier.agencies("old_agencies")};
  drop table old_draws;
  drop table old_agencies;
  pragma legacy_alter_table = off;
`

const MIGRATIONS: Readonly<Record<number, string>> = {
  1: migration(FIRST, `${ADDED}; insert into winners ${firstWinners("old_draws")};`),
  2: migration(SECOND, "")
}

/** Hides the tables of an earlier version from this connection. */
const views = (earlier: Earlier, added: string) => `
  pragma temp_store = memory;
  ${added}
  create temp view agencies as ${earlier.agencies("main.agencies")};
  create temp view draws as ${earlier.draws("main.draws")};
`

const VIEWS: Readonly<Record<number, string>> = {
  1: views(FIRST, `create temp view winners as ${firstWinners("main.draws")};`),
  2: views(SECOND, "")
}

const single = (database: DatabaseSync, sql: string): unknown =>
  Object.values(database.prepare(sql).get() ?? {})[0]

const definitionOf = (sql: unknown): string =>
  String(sql).trim().replaceAll(/\s+/g, " ").toLowerCase()

/** Returns the version whose tables, with identical definitions, are all in the database. */
const versionOfTables = (database: DatabaseSync): number | undefined => {
  const tables = database.prepare("select sql from sqlite_schema where type = 'table'").all()
  const there = new Set(tables.map(({ sql }) => definitionOf(sql)))
  const isThere = (sql: string) => sql === "" || there.has(sql)
  const found = Object.entries(TABLES_OF).filter(([, sql]) =>
    sql.split(";").map(definitionOf).every(isThere)
  )
  return found.length === 0 ? undefined : Number(found.at(-1)![0])
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
 * Identifies the file: a store of a version; `restored` if it lacks the marks, which the shell's
 * `.dump` does not keep; version 0 if it is empty. Throws on anything else.
 */
const identify = (database: DatabaseSync): { version: number; restored: boolean } => {
  const application = single(database, "pragma application_id")
  const version = Number(single(database, "pragma user_version"))
  if (application === APPLICATION_ID && version > VERSION) {
    throw new NotUsable(
      `it has version ${version}, but this release supports at most ${VERSION}: ` +
        "use the release that wrote it, or a newer one"
    )
  }
  if (application === APPLICATION_ID && version > 0) return { version, restored: false }
  const isUnmarked =
    (application === 0 || application === APPLICATION_ID) && version >= 0 && version <= VERSION
  if (isUnmarked && single(database, "select count(*) from sqlite_schema") === 0) {
    return { version: 0, restored: false }
  }
  const restored = isUnmarked ? versionOfTables(database) : undefined
  if (restored !== undefined) return { version: restored, restored: true }
  throw new NotUsable("it is another program's database, not a bet store")
}

/** Throws if the database is not a store and not empty, or was only partly restored. */
export const checkTables = (database: DatabaseSync) => {
  const found = identify(database)
  if (found.restored) checkRestored(database)
  return found
}

/** Creates the tables or migrates those of an earlier version. Runs in a transaction. */
export const prepareTables = (database: DatabaseSync): void => {
  const { restored, version } = identify(database)
  if (version === 0) database.exec(TABLES)
  if (version === 1) {
    const indexes = database
      .prepare("select name from sqlite_schema where type = 'index' and name glob 'bets_on_*'")
      .all()
    for (const { name } of indexes) database.exec(`drop index "${name}"`)
  }
  database.exec(MIGRATIONS[version] ?? "")
  if (version !== VERSION || restored) database.exec(MARKS)
}

/** Makes the tables readable in this version's form. Throws if there are none. */
export const prepareToRead = (database: DatabaseSync): void => {
  const { version } = checkTables(database)
  if (version === 0) throw new NotUsable("it is empty")
  database.exec(VIEWS[version] ?? "")
}
