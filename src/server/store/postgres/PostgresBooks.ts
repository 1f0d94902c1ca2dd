/** The reads of one draw in PostgreSQL. */
import { Effect, Option } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatch } from "../../../domain/BetBatch.ts"
import { MAX_ROW_BYTES } from "../../../domain/BetRow.ts"
import {
  type AgencyProgress,
  NO_PROGRESS,
  type PageRange,
  type StoredBooks,
  type StoredDraw
} from "../BetStore.ts"
import { pagedBook } from "../PagedBook.ts"
import { type WinningRow, winnersOf } from "../WinningRows.ts"
import type { Postgres } from "./PostgresClient.ts"

/** Rows per page; keeps a page below 1 MiB. */
const PAGE_ROWS = Math.floor((1024 * 1024) / MAX_ROW_BYTES)
const utf8 = new TextEncoder()

export const makeBooks = ({ drawId, key, read, sql }: Postgres) => {
  const draw = sql<StoredDraw>`
    select agencies, winning_number as "winningNumber", recorded_by is not null as recorded
    from draws where name = ${drawId} and agencies is not null`

  // Every expected agency has a row from the start; skip those without any activity.
  const progress = sql<AgencyProgress & { readonly agency: Agency }>`
    select agency, bets, finished, told, edition from agencies
    where draw = ${key} and (bets > 0 or finished or told or edition > 0)
    order by agency`

  const progressOf = (agency: Agency) =>
    Effect.map(
      read(sql<AgencyProgress>`
        select bets, finished, told, edition from agencies
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
      select count(*)::int4 as count, coalesce(string_agg(row, '' order by position), '') as rows
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

  const winners = (winningNumber: number) =>
    Effect.map(
      // A literal number, so that the planner uses the partial index.
      read(sql<WinningRow>`
        select agency, position, document from bets
        where draw = ${key} and number = ${sql.literal(String(winningNumber))}
        order by agency, position`),
      winnersOf
    )

  const books: StoredBooks = {
    draw: Effect.map(read(draw), ([row]) => Option.fromUndefinedOr(row)),
    progress: Effect.map(
      read(progress),
      (rows) => new Map(rows.map(({ agency, ...of }) => [agency, of]))
    ),
    book: (agency, from) => pagedBook(agency, from, progressOf(agency), page)
  }
  return { ...books, page, progressOf, winners }
}
