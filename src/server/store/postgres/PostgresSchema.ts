/**
 * The tables in PostgreSQL, in the first schema of the connection's search path. Plain SQL that
 * PostgreSQL 15 and later takes.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Data, Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import { orRolledBack, reasonOf } from "./PostgresClient.ts"

const MIGRATIONS_TABLE = "lottery_migrations"

/** The tables cannot be used, in one line. */
export class NotOurs extends Data.TaggedError("NotOurs")<{ readonly reason: string }> {}

const createTables = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`
    create table draws (
      id integer generated always as identity primary key,
      name text not null unique,
      agencies integer[],
      winning_number smallint,
      -- The server that recorded that the draw is held; null before.
      recorded_by text,
      recorded_at timestamptz
    )`
  // A row is never deleted, so that whoever waits for it finds it; and changed often, in place.
  yield* sql`
    create table agencies (
      draw integer not null references draws,
      agency integer not null,
      bets integer not null default 0,
      finished boolean not null default false,
      told boolean not null default false,
      edition integer not null default 0,
      -- The write that last added bets: whoever lost its answer knows by it that it was stored.
      last_write uuid,
      primary key (draw, agency)
    ) with (fillfactor = 50)`
  yield* sql`
    create table bets (
      draw integer not null,
      agency integer not null,
      position integer not null,
      birthdate date not null,
      number smallint not null,
      first_name text not null,
      last_name text not null,
      document text not null,
      primary key (draw, agency, position)
    )`
})

const migrations = { "1_tables": createTables }
const LATEST = Object.keys(migrations).length

const migrate = Migrator.make({})({
  table: MIGRATIONS_TABLE,
  loader: Migrator.fromRecord(migrations)
})

/** The version of the tables: 0 where there are none. */
const versionOf = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const [found] = yield* sql<{ there: boolean }>`
    select to_regclass(${MIGRATIONS_TABLE}) is not null as there`
  if (found?.there !== true) return 0
  const [latest] = yield* sql<{ version: number }>`
    select coalesce(max(migration_id), 0)::int4 as version from ${sql(MIGRATIONS_TABLE)}`
  return latest?.version ?? 0
})

/** Names are any Unicode text, which no other encoding holds. */
const checkEncoding = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const [found] = yield* sql<{ encoding: string }>`
    select current_setting('server_encoding') as encoding`
  if (found?.encoding === "UTF8") return
  return yield* new NotOurs({ reason: `its encoding is ${found?.encoding}, expected UTF8` })
})

const checkVersion = (version: number): Effect.Effect<void, NotOurs> =>
  version <= LATEST
    ? Effect.void
    : Effect.fail(
        new NotOurs({ reason: `its tables are of version ${version}, newer than ${LATEST}` })
      )

/**
 * Fails where a table of ours is there already, and is not ours. Whoever makes the tables at this
 * moment makes them and their version at once.
 */
const checkNames = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const taken = yield* sql<{ name: string }>`
    select name from unnest(array['draws', 'agencies', 'bets']) as name
    where to_regclass(name) is not null`
  if (taken.length === 0 || (yield* versionOf(sql)) > 0) return
  const names = taken.map(({ name }) => name).join(", ")
  return yield* new NotOurs({ reason: `it has tables of something else: ${names}` })
})

/** Makes the tables, or brings them to the latest version, where they are not. */
export const prepare = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  yield* checkEncoding(sql)
  // Where there is nothing to do, nothing is locked, and no more than the tables' use is needed.
  const version = yield* versionOf(sql)
  yield* checkVersion(version)
  if (version === LATEST) return
  if (version === 0) yield* checkNames(sql)
  yield* migrate.pipe(
    Effect.provideService(SqlClient, sql),
    orRolledBack,
    Effect.catchTag("MigrationError", ({ cause, message }) =>
      Effect.fail(
        cause instanceof SqlError
          ? new NotOurs({ reason: `its tables cannot be made: ${reasonOf(cause)}` })
          : new NotOurs({ reason: message })
      )
    )
  )
})

/** Fails where nobody has made the tables yet, or they are not of this version. */
export const check = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const version = yield* versionOf(sql)
  yield* checkVersion(version)
  if (version < LATEST) {
    const what =
      version === 0 ? "it holds no bets" : `its tables are of the older version ${version}`
    return yield* new NotOurs({ reason: `${what}; a server that is started with it mends that` })
  }
})
