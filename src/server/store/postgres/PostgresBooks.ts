/** The reads of one draw in PostgreSQL. */
import { Effect, Option } from "effect"
import type { Fragment } from "effect/sql/Statement"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import { MAX_ROW_BYTES } from "../../../domain/BetRow.ts"
import {
  type AgencyProgress,
  type Evidence,
  type FinishedDigest,
  NO_PROGRESS,
  type StoredBooks
} from "../BetStore.ts"
import type { PageRange } from "../BookOptions.ts"
import { pagedBook } from "../PagedBook.ts"
import { type WinningRow, winnersOf } from "../WinningRows.ts"
import type { Postgres } from "./PostgresClient.ts"
import { type DrawRow, drawColumns, toDraw } from "./PostgresRows.ts"

/** Rows per page; keeps a page below 1 MiB. */
const PAGE_ROWS = Math.floor((1024 * 1024) / MAX_ROW_BYTES)
const utf8 = new TextEncoder()

/** `view` begins every statement; see `PostgresSchema.checkToRead`. */
export const makeBooks = ({ drawId, key, read, sql }: Postgres, view: Fragment) => {
  const draw = sql<DrawRow>`
    ${view} select ${drawColumns(sql)} from draws where name = ${drawId} and agencies is not null`

  // Every expected agency has a row from the start; skip those without any activity.
  const progress = sql<AgencyProgress & { readonly agency: Agency }>`
    ${view} select agency, bets, finished, excluded, told, edition from agencies
    where draw = ${key} and (bets > 0 or finished or excluded or told or edition > 0)
    order by agency`

  const progressOf = (agency: Agency) =>
    Effect.map(
      read(sql<AgencyProgress>`
        ${view} select bets, finished, excluded, told, edition from agencies
        where draw = ${key} and agency = ${agency}`),
      ([row]) => row ?? NO_PROGRESS
    )

  const quoted = (column: string) => {
    const field = sql(column)
    return sql`case when strpos(${field}, ',') > 0 or strpos(${field}, '"') > 0
      then '"' || replace(${field}, '"', '""') || '"' else ${field} end`
  }

  /** Returns canonical rows, built by PostgreSQL; none if the book has another edition. */
  const page = (agency: Agency, { edition, from, until }: PageRange) => {
    // Stops at a gap: if another program deleted a bet, the remaining positions are wrong.
    const rows = sql<{ count: number; rows: string }>`
      ${view} select count(*)::int4 as count,
        coalesce(string_agg(row, '' order by position), '') as rows
      from (
        select position, row_number() over (order by position) - 1 as index,
          ${quoted("first_name")} || ',' || ${quoted("last_name")} || ','
          || document || ',' || to_char(birthdate, 'YYYY-MM-DD') || ',' || number || E'\\n' as row
        from bets
        where draw = ${key} and agency = ${agency}
          and position >= ${from} and position < ${Math.min(until, from + PAGE_ROWS)}
          and exists (
            select from agencies
            where draw = ${key} and agency = ${agency} and edition = ${edition}
          )
      ) as page
      where position = ${from}::integer + index`
    return Effect.map(
      read(rows),
      // An aggregate always returns one row.
      ([found]) => new BetBatch(utf8.encode(found!.rows), found!.count)
    )
  }

  const winners = sql<WinningRow>`
    ${view} select agency, position, first_name, last_name, document,
      to_char(birthdate, 'YYYY-MM-DD') as birthdate, number
    from winners where draw = ${key} order by agency, position`

  const digests = sql<FinishedDigest & { readonly agency: Agency }>`
    ${view} select agency, bets, book_bytes::float8 as bytes, sha256, marks from agencies
    where draw = ${key} and sha256 is not null order by agency`

  const evidence = sql<{ readonly [Text in keyof Evidence]: string | null }>`
    ${view} select entries, seal_note as seal, result_note as result
    from draws where name = ${drawId}`

  const books: StoredBooks = {
    draw: Effect.map(read(draw), ([row]) => Option.map(Option.fromUndefinedOr(row), toDraw)),
    progress: Effect.map(
      read(progress),
      (rows) => new Map(rows.map(({ agency, ...of }) => [agency, of]))
    ),
    book: (agency, from) => pagedBook(agency, from, progressOf(agency), page),
    winners: Effect.map(read(winners), winnersOf),
    digests: Effect.map(
      read(digests),
      (rows) => new Map(rows.map(({ agency, ...digest }) => [agency, digest]))
    ),
    evidence: Effect.map(read(evidence), ([row]) => ({
      entries: row?.entries ?? undefined,
      seal: row?.seal ?? undefined,
      result: row?.result ?? undefined
    }))
  }
  return { ...books, page, progressOf }
}
