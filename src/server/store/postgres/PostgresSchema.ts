/** The tables, in the first schema of the search path. Needs PostgreSQL 15 or later. */
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
      -- The server that recorded the draw; null before the draw.
      recorded_by text,
      recorded_at timestamptz
    )`
  // Rows are never deleted, so a statement that waited for a row's lock still finds the row. The
  // fill factor leaves room for frequent updates in place.
  yield* sql`
    create table agencies (
      draw integer not null references draws,
      agency integer not null,
      bets integer not null default 0,
      finished boolean not null default false,
      told boolean not null default false,
      edition integer not null default 0,
      -- The last append: a server that lost the answer finds out here that it was stored.
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

/** Returns the tables' version; 0 if there are none. Fails if this release does not support it. */
const versionOf = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const [found] = yield* sql<{ there: boolean }>`
    select to_regclass(${MIGRATIONS_TABLE}) is not null as there`
  if (found?.there !== true) return 0
  const [latest] = yield* sql<{ version: number }>`
    select coalesce(max(migration_id), 0)::int4 as version from ${sql(MIGRATIONS_TABLE)}`
  const version = latest?.version ?? 0
  if (version <= LATEST) return version
  const reason =
    `its tables have version ${version}, but this release supports at most ${LATEST}: ` +
    "use a newer release"
  return yield* new NotUsable({ reason })
})

/**
 * Fails if another program's tables have our names. Another server may be creating our tables at
 * the same time, but it creates their version in the same transaction.
 */
const checkNames = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  const taken = yield* sql<{ name: string }>`
    select name from unnest(array['draws', 'agencies', 'bets']) as name
    where to_regclass(name) is not null`
  if (taken.length === 0 || (yield* versionOf(sql)) > 0) return
  const names = taken.map(({ name }) => name).join(", ")
  return yield* new NotUsable({ reason: `it has another program's tables: ${names}` })
})

export const prepare = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  // Names can contain any Unicode character.
  const encoding = yield* settingOf(sql, "server_encoding")
  if (encoding !== "UTF8") {
    return yield* new NotUsable({ reason: `its encoding is ${encoding}, expected UTF8` })
  }
  // Up-to-date tables need no locks, and no privileges beyond using the tables.
  const version = yield* versionOf(sql)
  if (version === LATEST) return
  if (version === 0) yield* checkNames(sql)
  yield* migrate.pipe(
    Effect.provideService(SqlClient, sql),
    orRolledBack,
    Effect.catchTag("MigrationError", ({ cause, message }) => {
      const isOfSql = cause instanceof SqlError
      const reason = isOfSql ? `cannot create its tables: ${reasonOf(cause)}` : message
      return Effect.fail(new NotUsable({ reason }))
    })
  )
})

/** Fails if there are no tables, or if the draw is not in them. */
export const check = Effect.fnUntraced(function* ({ drawId, sql }: Postgres) {
  if ((yield* versionOf(sql)) === 0) {
    const reason = "no lottery tables yet; start a server with this store first"
    return yield* new NotUsable({ reason })
  }
  const draws = yield* sql<{ name: string }>`select name from draws order by id`
  // A store that a server has just created has no draw yet.
  if (draws.length === 0 || draws.some(({ name }) => name === drawId)) return
  const names = draws.map(({ name }) => name).join(", ")
  return yield* new NotUsable({ reason: `it holds no draw ${drawId}, only ${names}` })
})
