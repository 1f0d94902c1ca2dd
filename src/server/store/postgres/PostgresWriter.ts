/**
 * Writes books to PostgreSQL. An append or a finish is a single statement and therefore a
 * transaction. It updates the agency's row only if the row is in the state that the writer expects.
 * PostgreSQL allows one such update at a time across all servers. Each write can be repeated if its
 * answer is lost.
 */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import type { Agency } from "../../../domain/Agency.ts"
import type { BetBatch } from "../../../domain/BetBatch.ts"
import type { BookDigest } from "../../../domain/seal/MarkedDigest.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  BookMismatch,
  Conflict,
  Discarded,
  Excluded
} from "../BetStore.ts"
import type { AppendOptions, FinishOptions } from "../BookOptions.ts"
import * as CommitMetrics from "../CommitMetrics.ts"
import type { Postgres } from "./PostgresClient.ts"
import { Columns } from "./PostgresColumns.ts"
import { makeAgencies } from "./PostgresRows.ts"

type AgencyRow = AgencyProgress & {
  readonly last_write: string | null
  readonly is_open: boolean
}

/** Buffers for a larger batch are not kept; native clients send at most this much in a commit. */
const MAX_KEPT_BATCH_BYTES = 1024 * 1024

/** Makes the writes of bets. `notify` informs the other servers of a change. */
export const makeWriter = (postgres: Postgres, notify: Effect.Effect<void>) => {
  const { drawId, key, sql, write } = postgres
  /** The draw's id unless its close time has come, by PostgreSQL's clock. */
  const keyInTime = sql`(
    select id from draws where name = ${drawId} and (closes_at is null or now() < closes_at))`
  /** The same, but a draw without a finished book waits for the first one. Slower to plan. */
  const keyIfOpen = sql`(
    select id from draws
    where name = ${drawId} and (closes_at is null or now() < closes_at or not exists (
      select from agencies as book
      where book.draw = draws.id and book.agency = any(draws.agencies) and book.finished
    )))`

  /**
   * Runs a statement that updates the agency's row and returns a row if it did. If it did not,
   * `diagnose` finds out why. If another server changed the row in between, or the draw waits for a
   * book after its close time, a second try may succeed. Returns whether this call updated the row.
   */
  const update = Effect.fnUntraced(function* <Refusal>(
    agency: Agency,
    statement: (openKey: Fragment) => Effect.Effect<ReadonlyArray<unknown>, SqlError>,
    diagnose: (row: AgencyRow) => "done" | "again" | Refusal
  ) {
    for (let openKey = keyInTime; ; openKey = keyIfOpen) {
      if ((yield* statement(openKey)).length > 0) return true
      const [row] = yield* sql<AgencyRow>`
        select bets, finished, excluded, told, edition, last_write,
          ${keyIfOpen} is not null as is_open
        from agencies
        where draw = ${key} and agency = ${agency}`
      if (row === undefined) yield* makeAgencies(postgres, [agency])
      const found = row === undefined ? "again" : diagnose(row)
      if (found === "done") return false
      if (found !== "again") return yield* Effect.fail(found)
    }
  })

  /** Sets the digest of a finished book. */
  const digestSet = (digest: BookDigest | undefined) => sql`
    book_bytes = ${digest?.bytes ?? null}::bigint, sha256 = ${digest?.sha256 ?? null}::text,
    marks = ${digest?.marks ?? null}::bytea`

  /** Makes a write of `bets` that is timed and traced. */
  const commit = <A, E>(bets: number, statement: Effect.Effect<A, E>) =>
    Effect.withSpan(write(CommitMetrics.timed(bets, statement)), "Store.commit", {
      attributes: { "lottery.writes": 1, "lottery.bets": bets }
    })

  /** Columns that no statement uses; about as many as there are concurrent writes. */
  const idleColumns: Array<Columns> = []
  /** Lends columns to the statement that stores a batch, which may first wait for a connection. */
  const withColumns = <A, E>(
    batch: BetBatch,
    statement: (columns: ReturnType<Columns["encode"]>) => Effect.Effect<A, E>
  ) =>
    Effect.acquireUseRelease(
      Effect.sync(() => idleColumns.pop() ?? new Columns()),
      (columns) => statement(columns.encode(batch)),
      (columns) =>
        Effect.sync(() => {
          if (batch.byteLength <= MAX_KEPT_BATCH_BYTES) idleColumns.push(columns)
        })
    )

  const append = Effect.fnUntraced(function* (
    agency: Agency,
    position: number,
    batch: BetBatch,
    { edition, last }: AppendOptions = {}
  ) {
    const token = randomUUID()
    const statement = (openKey: Fragment) =>
      withColumns(batch, ({ birthdates, documents, firstNames, lastNames, numbers }) => {
        // In the select list PostgreSQL unnests the columns side by side, row by row. A single
        // `unnest` in `from` materializes each column first and takes 20% longer.
        return sql`
          with moved as (
            update agencies
            set bets = bets + ${batch.count}, finished = ${last !== undefined},
              last_write = ${token}, ${digestSet(last)}
            where draw = ${openKey} and agency = ${agency} and bets = ${position}
              and not finished and not excluded
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
      if (row.excluded) return new Excluded({ agency })
      if ((edition ?? row.edition) !== row.edition) return new Discarded({ agency })
      if (finished) return new AlreadyFinished({ agency, bets })
      if (!row.is_open) return new Excluded({ agency })
      if (bets !== position) return new Conflict({ agency, position, expected: bets })
      return "again"
    }
    yield* commit(batch.count, update(agency, statement, diagnose))
    if (last !== undefined) yield* notify
  }, Effect.uninterruptible)

  const finish = Effect.fnUntraced(function* (
    agency: Agency,
    bets: number,
    { edition, ...digest }: FinishOptions
  ) {
    const statement = (openKey: Fragment) => sql`
      update agencies set finished = true, ${digestSet(digest)}
      where draw = ${key} and agency = ${agency} and bets = ${bets} and not excluded
        and case when finished then sha256 is null else draw = ${openKey} end
        and edition = coalesce(${edition ?? null}::integer, edition)
      returning agency`
    const diagnose = (row: AgencyRow) => {
      if (row.excluded) return new Excluded({ agency })
      if ((edition ?? row.edition) !== row.edition) return new Discarded({ agency })
      if (!row.finished && !row.is_open) return new Excluded({ agency })
      if (row.bets !== bets) return new BookMismatch({ agency, bets, stored: row.bets })
      return row.finished ? "done" : "again"
    }
    yield* commit(0, update(agency, statement, diagnose))
    yield* notify
  }, Effect.uninterruptible)

  const told = Effect.fnUntraced(function* (agency: Agency) {
    const statement = () => sql`
      update agencies set told = true
      where draw = ${key} and agency = ${agency} and not told returning agency`
    const diagnose = (row: AgencyRow) => (row.told ? "done" : "again")
    if (yield* commit(0, update<never>(agency, statement, diagnose))) yield* notify
  }, Effect.uninterruptible)

  return { append, finish, told }
}
