/** The tables, in the first schema of the search path; plain SQL for PostgreSQL 15 and later. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import { NotUsable, orRolledBack, type Postgres, reasonOf, settingOf } from "./PostgresClient.ts"

const MIGRATIONS_TABLE = "lottery_migrations"

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
  // A row is never deleted: a statement that waits for its lock finds it. It is updated often, in
  // place.
  yield* sql`
    create table agencies (
      draw integer not null references draws,
      agency integer not null,
      bets integer not null default 0,
      finished boolean not null default false,
      told boolean not null default false,
      edition integer not null default 0,
      -- The write that last added bets: a server that lost its answer learns that it was stored.
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

/** The version of the tables, 0 if there are none; fails if it is newer than the latest. */
const versionOf = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const [found] = yield* sql<{ there: boolean }>`
    select to_regclass(${MIGRATIONS_TABLE}) is not null as there`
  if (found?.there !== true) return 0
  const [latest] = yield* sql<{ version: number }>`
    select coalesce(max(migration_id), 0)::int4 as version from ${sql(MIGRATIONS_TABLE)}`
  const version = latest?.version ?? 0
  if (version <= LATEST) return version
  const reason = `its tables are of version ${version}, newer than ${LATEST}`
  return yield* new NotUsable({ reason })
})

/**
 * Fails if the names of our tables are taken by others. A server that creates our tables at this
 * moment creates their version in the same step.
 */
const checkNames = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const taken = yield* sql<{ name: string }>`
    select name from unnest(array['draws', 'agencies', 'bets']) as name
    where to_regclass(name) is not null`
  if (taken.length === 0 || (yield* versionOf(sql)) > 0) return
  const names = taken.map(({ name }) => name).join(", ")
  return yield* new NotUsable({ reason: `it has tables of something else: ${names}` })
})

/** Creates the tables, or brings them to the latest version. */
export const prepare = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  // Names are any Unicode text, which no other encoding holds.
  const encoding = yield* settingOf(sql, "server_encoding")
  if (encoding !== "UTF8") {
    return yield* new NotUsable({ reason: `its encoding is ${encoding}, expected UTF8` })
  }
  // If there is nothing to do, this locks nothing and needs no more rights than to use the tables.
  const version = yield* versionOf(sql)
  if (version === LATEST) return
  if (version === 0) yield* checkNames(sql)
  yield* migrate.pipe(
    Effect.provideService(SqlClient, sql),
    orRolledBack,
    Effect.catchTag("MigrationError", ({ cause, message }) => {
      const isOfSql = cause instanceof SqlError
      const reason = isOfSql ? `its tables cannot be made: ${reasonOf(cause)}` : message
      return Effect.fail(new NotUsable({ reason }))
    })
  )
})

/** Fails if there are no tables, or if they lack the draw. */
export const check = Effect.fnUntraced(function* ({ drawId, sql }: Postgres) {
  if ((yield* versionOf(sql)) === 0) {
    const reason = "it holds no bets; a server that is started with it mends that"
    return yield* new NotUsable({ reason })
  }
  const draws = yield* sql<{ name: string }>`select name from draws order by id`
  // A store that a server has just made holds no draw yet.
  if (draws.length === 0 || draws.some(({ name }) => name === drawId)) return
  const names = draws.map(({ name }) => name).join(", ")
  return yield* new NotUsable({ reason: `it holds no draw ${drawId}, only ${names}` })
})
