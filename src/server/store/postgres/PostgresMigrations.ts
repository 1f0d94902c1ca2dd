/** The versions of the tables. Each migration runs in a transaction that locks the migrations. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { NotUsable } from "./PostgresClient.ts"

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
      -- The last append, or the server that excluded the agency: a server that lost the answer
      -- finds out here that it was stored.
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

/** What a server of version 1 or 2 always has: a session whose last statement is one of these. */
const EARLIER_LISTENS = ['LISTEN "lottery"', 'LISTEN "lottery_draws"']
const VERSION_1_APPLICATION = "@effect/sql-pg"

/**
 * Fails if servers of an earlier version are running, even for another schema. PostgreSQL hides the
 * statements of other roles. Of those, a session counts if it has version 1's name, or if its role
 * may add bets and is no superuser: a person or a monitor often is one.
 */
const checkStopped = Effect.gen(function* () {
  const sql = yield* SqlClient
  const found = yield* sql<{ pid: number }>`
    select pid from pg_stat_activity join pg_roles on pg_roles.oid = usesysid
    where datname = current_database() and (
      query in ${sql.in(EARLIER_LISTENS)}
      or query = '<insufficient privilege>' and (
        application_name = ${VERSION_1_APPLICATION}
        or not rolsuper and has_table_privilege(usesysid, 'bets', 'insert')
      )
    )
    order by pid`
  if (found.length === 0) return
  const pids = found.map(({ pid }) => pid).join(", ")
  return yield* new NotUsable({
    reason:
      `servers of an earlier release use it (PostgreSQL processes ${pids}): ` +
      "stop all of them, and start this server again, which then updates the tables"
  })
})

/** Lets agencies be excluded and the number come later; records winners and discards. */
const closeInSteps = Effect.gen(function* () {
  const sql = yield* SqlClient
  // A server that starts now waits for the lock on the migrations, and then sees the new version.
  if ((yield* sql`select from draws limit 1`).length > 0) yield* checkStopped
  yield* sql`
    alter table draws
      -- 'fixed' or 'announced'
      add number_from text,
      add fixed_number smallint,
      -- The close time when the draw was opened, and now.
      add close_at timestamptz,
      add closes_at timestamptz,
      -- The server that recorded the winning number.
      add numbered_by text,
      add numbered_at timestamptz`
  yield* sql`
    update draws set
      number_from = 'fixed', fixed_number = winning_number,
      winning_number = case when recorded_by is not null then winning_number end,
      numbered_by = recorded_by, numbered_at = recorded_at
    where agencies is not null`
  // A server of version 1 that was not found fails on these instead of skipping a step.
  yield* sql`
    alter table draws
      add check ((winning_number is null) = (numbered_by is null)),
      add check (recorded_by is null or numbered_by is not null)`
  yield* sql`
    alter table agencies
      add excluded boolean not null default false,
      add check (not (excluded and finished))`
  yield* sql`create table winners (like bets, primary key (draw, agency, position))`
  yield* sql`
    create table discards (
      id text primary key,
      draw integer not null,
      agency integer not null,
      bets integer not null
    )`
  yield* sql`
    insert into winners
    select bets.* from bets join draws on id = draw and winning_number = number`
  // Version 1 had an index for each winning number. From now on the number may be unknown.
  const indexes = yield* sql<{ name: string }>`
    select indexrelid::regclass::text as name
    from pg_index join pg_class on pg_class.oid = indexrelid
    where indrelid = 'bets'::regclass and relname ~ '^bets_on_[0-9]+$'`
  for (const { name } of indexes) yield* sql`drop index ${sql.literal(name)}`
})

/** Stores digests of books, the seal and the beacon. */
const sealDraws = Effect.gen(function* () {
  const sql = yield* SqlClient
  if ((yield* sql`select from draws limit 1`).length > 0) yield* checkStopped
  yield* sql`
    alter table draws
      -- If the number comes from drand: its round, or the seconds from the seal to its round.
      add draw_round bigint,
      add draw_delay integer,
      add seal_key text,
      add sealed_at timestamptz,
      -- The server that recorded the entries.
      add sealed_by text,
      add entries text,
      add seal_note text,
      add result_note text,
      add beacon_round bigint,
      add beacon_signature text,
      add check ((sealed_by is null) = (entries is null)),
      add check ((sealed_by is null) = (sealed_at is null)),
      add check (seal_note is null or entries is not null)`
  yield* sql`
    alter table agencies
      -- The digest of a finished book; null if it was finished in version 1 or 2.
      add book_bytes bigint,
      add sha256 text,
      add marks bytea,
      -- A discard by version 2, which would leave the digest, fails on this.
      add check (finished or sha256 is null)`
  // Hashes cannot be compressed.
  yield* sql`alter table agencies alter marks set storage external`
})

export const migrations = {
  "1_tables": createTables,
  "2_steps": closeInSteps,
  "3_seal": sealDraws
}

const ADDED_IN_3 = {
  draws: `null::bigint as draw_round, null::integer as draw_delay, null::text as seal_key,
    null::timestamptz as sealed_at, null::text as entries, null::text as seal_note,
    null::text as result_note, null::bigint as beacon_round, null::text as beacon_signature`,
  agencies: "null::bigint as book_bytes, null::text as sha256, null::bytea as marks"
}

/**
 * Begins a statement that reads tables of an earlier version as if they had the latest. The inner
 * `draws` and `agencies` are the tables.
 */
export const VIEWS: { readonly [version: number]: string } = {
  1: `
    with draws as (
      select id, name, agencies, winning_number as fixed_number, recorded_by,
        null::timestamptz as close_at, null::timestamptz as closes_at,
        case when recorded_by is not null then winning_number end as winning_number,
        ${ADDED_IN_3.draws}
      from draws
    ), agencies as (
      select *, false as excluded, ${ADDED_IN_3.agencies} from agencies
    ), winners as (
      select bets.* from bets join draws on id = draw and winning_number = number
    )`,
  2: `
    with draws as (
      select *, ${ADDED_IN_3.draws} from draws
    ), agencies as (
      select *, ${ADDED_IN_3.agencies} from agencies
    )`
}
