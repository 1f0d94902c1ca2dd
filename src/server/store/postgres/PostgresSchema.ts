/** The tables, in the first schema of the search path. Needs PostgreSQL 15 or later. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { missingDraw } from "../AnyDraw.ts"
import { NotUsable, orRolledBack, type Postgres, reasonOf, settingOf } from "./PostgresClient.ts"
import { migrations, VIEWS } from "./PostgresMigrations.ts"

const MIGRATIONS_TABLE = "lottery_migrations"

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
    select name from unnest(array['draws', 'agencies', 'bets', 'winners', 'discards']) as name
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
      if (cause instanceof NotUsable) return Effect.fail(cause)
      const failed = `cannot ${version === 0 ? "create" : "update"} its tables`
      const reason = cause instanceof SqlError ? `${failed}: ${reasonOf(cause)}` : message
      return Effect.fail(new NotUsable({ reason }))
    })
  )
})

/** Fails if there are no tables, or if the draw is not in them. Returns their version. */
const check = Effect.fnUntraced(function* ({ drawId, sql }: Postgres) {
  const version = yield* versionOf(sql)
  if (version === 0) {
    const reason = "no lottery tables yet; start a server with this store first"
    return yield* new NotUsable({ reason })
  }
  const rows = yield* sql<{ name: string }>`select name from draws order by id`
  const draws = rows.map(({ name }) => name)
  const reason = missingDraw(drawId, draws)
  return reason === undefined ? version : yield* new NotUsable({ reason })
})

/**
 * Checks tables that are only read; they may have any earlier version. Returns what every statement
 * on them begins with.
 */
export const checkToRead = (postgres: Postgres) =>
  Effect.map(check(postgres), (version): Fragment => postgres.sql.literal(VIEWS[version] ?? ""))

/** Checks tables that a command changes: only a server updates them. */
export const checkToAct = Effect.fnUntraced(function* (postgres: Postgres) {
  const version = yield* check(postgres)
  if (version === LATEST) return
  const reason = `its tables have version ${version}: start a server of this release to update them`
  return yield* new NotUsable({ reason })
})
