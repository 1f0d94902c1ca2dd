/**
 * The writes of one draw in PostgreSQL. An append or a finish is a single statement and therefore a
 * transaction. It updates the agency's row only if the row is in the state that the writer expects.
 * PostgreSQL allows one such update at a time across all servers. Every write except a discard can
 * be repeated if its answer is lost.
 */
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Duration, Effect, Option, Result } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Agency } from "../../../domain/Agency.ts"
import type { BetBatch } from "../../../domain/BetBatch.ts"
import { boundedWait } from "../../../domain/LoggedResource.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  type AppendOptions,
  BookMismatch,
  Conflict,
  Discarded,
  DrawAlreadyHeld,
  type DrawTerms,
  ensureSameTerms,
  type FinishOptions,
  NotAllFinished,
  type StoredDraw
} from "../BetStore.ts"
import { orRolledBack, type Postgres, toUnavailable } from "./PostgresClient.ts"
import { columnsOf } from "./PostgresColumns.ts"

type AgencyRow = AgencyProgress & { readonly last_write: string | null }

const integers = (values: ReadonlyArray<number>) =>
  // Cannot fail: int4 has an array type.
  Result.getOrThrow(PgTypes.array(values, PgTypes.OID.int4))

/** Makes the writing half of the store. `notify` informs the other servers of a change. */
export const makeWriter = ({ drawId, key, sql, write }: Postgres, notify: Effect.Effect<void>) => {
  /** Identifies this server in `recorded_by`, for people and for retries after a lost answer. */
  const server = `${hostname()} ${process.pid} ${randomUUID()}`
  let hasReportedRecorded = false

  const makeAgencies = Effect.fnUntraced(function* (agencies: ReadonlyArray<Agency>) {
    yield* sql`insert into draws (name) values (${drawId}) on conflict do nothing`
    yield* sql`
      insert into agencies (draw, agency)
      select ${key}, agency from unnest(${integers(agencies)}) as agency
      on conflict do nothing`
  })

  /**
   * Runs a statement that updates the agency's row and returns a row if it did. If it did not,
   * `diagnose` finds out why. If another server changed the row in between, a second try may
   * succeed. Returns whether this call updated the row.
   */
  const update = Effect.fnUntraced(function* <Refusal>(
    agency: Agency,
    statement: Effect.Effect<ReadonlyArray<unknown>, SqlError>,
    diagnose: (row: AgencyRow) => "done" | "again" | Refusal
  ) {
    for (;;) {
      if ((yield* statement).length > 0) return true
      const [row] = yield* sql<AgencyRow>`
        select bets, finished, told, edition, last_write from agencies
        where draw = ${key} and agency = ${agency}`
      if (row === undefined) yield* makeAgencies([agency])
      const found = row === undefined ? "again" : diagnose(row)
      if (found === "done") return false
      if (found !== "again") return yield* Effect.fail(found)
    }
  })

  const append = Effect.fnUntraced(function* (
    agency: Agency,
    position: number,
    batch: BetBatch,
    { edition, last }: AppendOptions = {}
  ) {
    const token = randomUUID()
    // Built only when the write gets its permit, to use less memory while it waits.
    const statement = Effect.suspend(() => {
      const { birthdates, documents, firstNames, lastNames, numbers } = columnsOf(batch)
      // In the select list PostgreSQL unnests the columns side by side, row by row. A single
      // `unnest` in `from` materializes each column first and takes 20% longer.
      return sql`
        with moved as (
          update agencies
          set bets = bets + ${batch.count}, finished = ${last !== undefined}, last_write = ${token}
          where draw = ${key} and agency = ${agency} and bets = ${position} and not finished
            and edition = coalesce(${edition ?? null}::integer, edition)
          returning draw
        ), stored as (
          insert into bets
            (draw, agency, position, birthdate, number, first_name, last_name, document)
          select draw, ${agency},
            generate_series(${position}::integer, ${position + batch.count - 1}),
            unnest(${birthdates}), unnest(${numbers}),
            unnest(${firstNames}), unnest(${lastNames}), unnest(${documents})
          from moved
        )
        select from moved`
    })
    const diagnose = ({ bets, finished, last_write, ...row }: AgencyRow) => {
      if (last_write === token) return "done"
      if ((edition ?? row.edition) !== row.edition) return new Discarded({ agency })
      if (finished) return new AlreadyFinished({ agency, bets })
      if (bets !== position) return new Conflict({ agency, position, expected: bets })
      return "again"
    }
    yield* write(update(agency, statement, diagnose))
    if (last !== undefined) yield* notify
  }, Effect.uninterruptible)

  const finish = Effect.fnUntraced(function* (
    agency: Agency,
    bets: number,
    { edition }: FinishOptions
  ) {
    const statement = sql`
      update agencies set finished = true
      where draw = ${key} and agency = ${agency} and bets = ${bets} and not finished
        and edition = coalesce(${edition ?? null}::integer, edition)
      returning agency`
    const diagnose = (row: AgencyRow) => {
      if ((edition ?? row.edition) !== row.edition) return new Discarded({ agency })
      if (row.bets !== bets) return new BookMismatch({ agency, bets, stored: row.bets })
      return row.finished ? "done" : "again"
    }
    yield* write(update(agency, statement, diagnose))
    yield* notify
  }, Effect.uninterruptible)

  const told = Effect.fnUntraced(function* (agency: Agency) {
    const statement = sql`
      update agencies set told = true
      where draw = ${key} and agency = ${agency} and not told returning agency`
    const diagnose = (row: AgencyRow) => (row.told ? "done" : "again")
    if (yield* write(update<never>(agency, statement, diagnose))) yield* notify
  }, Effect.uninterruptible)

  /** Makes a partial index over winning bets: appends stay cheap and the draw is immediate. */
  const makeIndex = Effect.fnUntraced(
    function* (winningNumber: number) {
      const index = `bets_on_${winningNumber}`
      // `create index if not exists` waits for every append even if the index exists.
      const found = yield* sql`
        select from pg_index join pg_class on pg_class.oid = pg_index.indexrelid
        where pg_index.indrelid = 'bets'::regclass and pg_class.relname = ${index}`
      if (found.length > 0) return
      yield* sql`
        create index if not exists ${sql(index)} on bets (draw, agency, position) include (document)
        where number = ${sql.literal(String(winningNumber))}`
    },
    // If two servers create it at once, one fails with this error and then finds the index.
    Effect.retry({ while: (error) => error.reason._tag === "UniqueViolation", times: 3 }),
    // No deadline, because it reads every bet of every draw.
    Effect.mapError(toUnavailable)
  )

  const openDraw = Effect.fnUntraced(function* (requested: DrawTerms) {
    const { agencies, winningNumber } = requested
    const opened = sql<StoredDraw>`
      insert into draws (name, agencies, winning_number)
      values (${drawId}, ${integers(agencies)}, ${winningNumber})
      on conflict (name) do update set
        agencies = coalesce(draws.agencies, excluded.agencies),
        winning_number = coalesce(draws.winning_number, excluded.winning_number)
      returning agencies, winning_number as "winningNumber", recorded_by is not null as recorded`
    const [row] = yield* write(opened)
    const stored = yield* ensureSameTerms(drawId, row!, requested)
    yield* write(makeAgencies(agencies))
    yield* makeIndex(winningNumber)
    return stored
  })

  /**
   * Locks the draw's row before it reads the agencies. Only a discard can reopen a finished book,
   * and it locks the same row, so the two cannot overlap.
   */
  const record = Effect.gen(function* () {
    yield* sql`select id from draws where name = ${drawId} for update`
    const missing = yield* sql<{ agency: Agency }>`
      select expected.agency from draws, unnest(draws.agencies) as expected (agency)
      where draws.name = ${drawId} and not exists (
        select from agencies as stored
        where stored.draw = draws.id and stored.agency = expected.agency and stored.finished
      )
      order by expected.agency`
    if (missing.length > 0) {
      return yield* new NotAllFinished({ missing: missing.map(({ agency }) => agency) })
    }
    const [row] = yield* sql<{ recorded_by: string }>`
      update draws set
        recorded_by = coalesce(recorded_by, ${server}), recorded_at = coalesce(recorded_at, now())
      where name = ${drawId} and agencies is not null
      returning recorded_by`
    return row?.recorded_by
  }).pipe(sql.withTransaction, orRolledBack)

  const recordDraw = Effect.gen(function* () {
    const recordedBy = yield* write(record)
    if (recordedBy === undefined) return yield* new NotAllFinished({ missing: [] })
    // A retry after a lost answer still reports true, but only once.
    if (recordedBy !== server || hasReportedRecorded) return false
    hasReportedRecorded = true
    yield* notify
    return true
  }).pipe(Effect.uninterruptible)

  const discardBook = Effect.fnUntraced(
    function* (agency: Agency) {
      // A shared lock: discards do not wait for each other, but the draw waits for all of them.
      const [draw] = yield* sql<{ recorded: boolean }>`
        select recorded_by is not null as recorded from draws where name = ${drawId} for share`
      if (draw?.recorded === true) return yield* new DrawAlreadyHeld({ agency, drawId })
      yield* sql`
        update agencies set bets = 0, finished = false, told = false, edition = edition + 1
        where draw = ${key} and agency = ${agency}`
      const [deleted] = yield* sql<{ bets: number }>`
        with deleted as (
          delete from bets where draw = ${key} and agency = ${agency} returning 1
        )
        select count(*)::integer as bets from deleted`
      return deleted?.bets ?? 0
    },
    sql.withTransaction,
    orRolledBack
  )

  /** Not retried, because a retry would count 0 bets. No deadline, because a book may be large. */
  const discard = Effect.fnUntraced(function* (agency: Agency) {
    const discarding = Effect.andThen(makeAgencies([agency]), discardBook(agency))
    // An interruption must not wait for PostgreSQL.
    const waiting = Effect.flatMap(boundedWait(discarding, Duration.infinity), Option.getOrThrow)
    const bets = yield* Effect.mapError(waiting, toUnavailable)
    yield* notify
    return bets
  })

  return { append, finish, told, openDraw, recordDraw, discard }
}
