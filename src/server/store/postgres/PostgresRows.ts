/** The rows of the draw and of its agencies in PostgreSQL, which exist before the first bet. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Effect, Result } from "effect"
import type { Fragment } from "effect/sql/Statement"
import type { Agency } from "../../../domain/Agency.ts"
import { fixedNumber, type NumberSource } from "../../../domain/Draw.ts"
import type { StoredDraw } from "../StoredDraw.ts"
import type { Postgres } from "./PostgresClient.ts"

/** The columns that `drawColumns` selects. Times are in milliseconds since the epoch. */
export interface DrawRow {
  readonly agencies: ReadonlyArray<Agency>
  /** At most one of these three; if none, the number will be announced. */
  readonly fixed_number: number | null
  readonly draw_round: number | null
  readonly draw_delay: number | null
  readonly seal_key: string | null
  readonly close_at: number | null
  readonly closes_at: number | null
  readonly sealed_at: number | null
  readonly sealed: boolean
  readonly winning_number: number | null
  readonly beacon_round: number | null
  readonly beacon_signature: string | null
  readonly drawn: boolean
}

/** Converts a time to milliseconds since the epoch. */
export const millis = (sql: PgClient.PgClient, time: string): Fragment =>
  sql.literal(`(extract(epoch from ${time}) * 1000)::float8`)

export const drawColumns = (sql: PgClient.PgClient): Fragment => sql`
  agencies, fixed_number, draw_round::float8, draw_delay, seal_key,
  seal_note is not null as sealed, winning_number, beacon_round::float8, beacon_signature,
  recorded_by is not null as drawn, ${millis(sql, "close_at")} as close_at,
  ${millis(sql, "closes_at")} as closes_at, ${millis(sql, "sealed_at")} as sealed_at`

const toSource = ({ draw_delay, draw_round, fixed_number }: DrawRow): NumberSource => {
  if (fixed_number !== null) return fixedNumber(fixed_number)
  if (draw_round !== null) return { _tag: "drand", at: { round: draw_round } }
  if (draw_delay !== null) return { _tag: "drand", at: { delaySeconds: draw_delay } }
  return { _tag: "announced" }
}

const MILLIS = 1000

export const toDraw = (row: DrawRow): StoredDraw => ({
  agencies: row.agencies,
  source: toSource(row),
  sealKey: row.seal_key ?? undefined,
  closeAt: row.close_at ?? undefined,
  closesAt: row.closes_at ?? undefined,
  sealedAt: row.sealed_at === null ? undefined : row.sealed_at / MILLIS,
  sealed: row.sealed,
  winningNumber: row.winning_number ?? undefined,
  beacon:
    row.beacon_round === null || row.beacon_signature === null
      ? undefined
      : { round: row.beacon_round, signature: row.beacon_signature },
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
