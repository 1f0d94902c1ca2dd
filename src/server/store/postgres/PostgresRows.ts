/** The rows of the draw and of its agencies in PostgreSQL, which exist before the first bet. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Effect, Result } from "effect"
import type { Fragment } from "effect/sql/Statement"
import type { Agency } from "../../../domain/Agency.ts"
import { fixedNumber } from "../../../domain/Draw.ts"
import type { StoredDraw } from "../StoredDraw.ts"
import type { Postgres } from "./PostgresClient.ts"

/** The columns that `drawColumns` selects. Times are in milliseconds since the epoch. */
export interface DrawRow {
  readonly agencies: ReadonlyArray<Agency>
  /** If null, the number will be announced. */
  readonly fixed_number: number | null
  readonly close_at: number | null
  readonly closes_at: number | null
  readonly winning_number: number | null
  readonly drawn: boolean
}

/** Converts a time to milliseconds since the epoch. */
export const millis = (sql: PgClient.PgClient, time: string): Fragment =>
  sql.literal(`(extract(epoch from ${time}) * 1000)::float8`)

export const drawColumns = (sql: PgClient.PgClient): Fragment => sql`
  agencies, fixed_number, winning_number, recorded_by is not null as drawn,
  ${millis(sql, "close_at")} as close_at, ${millis(sql, "closes_at")} as closes_at`

export const toDraw = (row: DrawRow): StoredDraw => ({
  agencies: row.agencies,
  source: row.fixed_number === null ? { _tag: "announced" } : fixedNumber(row.fixed_number),
  closeAt: row.close_at ?? undefined,
  closesAt: row.closes_at ?? undefined,
  winningNumber: row.winning_number ?? undefined,
  drawn: row.drawn
})

export const integers = (values: ReadonlyArray<number>) =>
  // Cannot fail: int4 has an array type.
  Result.getOrThrow(PgTypes.array(values, PgTypes.OID.int4))

/** Creates the rows of agencies, and the draw's, unless they exist. */
export const makeAgencies = Effect.fnUntraced(function* (
  { drawId, key, sql }: Postgres,
  agencies: ReadonlyArray<Agency>
) {
  yield* sql`insert into draws (name) values (${drawId}) on conflict do nothing`
  yield* sql`
    insert into agencies (draw, agency)
    select ${key}, agency from unnest(${integers(agencies)}) as agency
    on conflict do nothing`
})
