/** A draw as a row of the table `draws`. Imports no library, because SQLite's worker loads it. */
import type { StoredDraw } from "../StoredDraw.ts"

/** The strict table guarantees the types. Times are text, such as `2026-12-02T00:00:00.000Z`. */
export interface DrawRow {
  /** A JSON array. */
  readonly agencies: string
  readonly number_from: "fixed" | "announced"
  readonly fixed_number: number | null
  readonly close_at: string | null
  readonly closes_at: string | null
  readonly winning_number: number | null
  readonly drawn: number
}

const toText = (millis: number | undefined): string | null =>
  millis === undefined ? null : new Date(millis).toISOString()

/** Throws if another program wrote something else: a time that is no number would have come. */
const toMillis = (text: string | null): number | undefined => {
  if (text === null) return undefined
  const millis = Date.parse(text)
  if (!Number.isNaN(millis)) return millis
  throw new Error(
    `expected a time such as 2026-12-02T00:00:00.000Z in the table draws, got ${text}`
  )
}

export const drawOf = (row: DrawRow): StoredDraw => ({
  agencies: JSON.parse(row.agencies),
  source:
    row.number_from === "fixed"
      ? { _tag: "fixed", number: row.fixed_number! }
      : { _tag: "announced" },
  closeAt: toMillis(row.close_at),
  closesAt: toMillis(row.closes_at),
  winningNumber: row.winning_number ?? undefined,
  drawn: row.drawn === 1
})

export const rowOf = (draw: StoredDraw): DrawRow => ({
  agencies: JSON.stringify(draw.agencies),
  number_from: draw.source._tag,
  fixed_number: draw.source._tag === "fixed" ? draw.source.number : null,
  close_at: toText(draw.closeAt),
  closes_at: toText(draw.closesAt),
  winning_number: draw.winningNumber ?? null,
  drawn: draw.drawn ? 1 : 0
})
