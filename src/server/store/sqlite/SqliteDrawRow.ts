/** A draw as a row of the table `draws`. Imports no library, because SQLite's worker loads it. */
import type { SQLTagStore } from "node:sqlite"
import type { NumberSource } from "../../../domain/Draw.ts"
import type { StoredDraw } from "../StoredDraw.ts"

/** The strict table guarantees the types. Times are text, such as `2026-12-02T00:00:00.000Z`. */
interface DrawRow {
  /** A JSON array. */
  readonly agencies: string
  readonly number_from: NumberSource["_tag"]
  readonly fixed_number: number | null
  readonly draw_round: number | null
  readonly draw_delay: number | null
  readonly close_at: string | null
  readonly closes_at: string | null
  readonly seal_key: string | null
  readonly sealed_at: string | null
  readonly sealed: number
  readonly winning_number: number | null
  readonly beacon_round: number | null
  readonly beacon_signature: string | null
  readonly drawn: number
}

const SECOND_MILLIS = 1000

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

const sourceOf = ({ draw_delay, draw_round, fixed_number, number_from }: DrawRow): NumberSource => {
  if (number_from === "fixed") return { _tag: "fixed", number: fixed_number! }
  if (number_from === "announced") return { _tag: "announced" }
  const at = draw_round === null ? { delaySeconds: draw_delay! } : { round: draw_round }
  return { _tag: "drand", at }
}

const drawOf = (row: DrawRow): StoredDraw => {
  const sealedAt = toMillis(row.sealed_at)
  return {
    agencies: JSON.parse(row.agencies),
    source: sourceOf(row),
    closeAt: toMillis(row.close_at),
    closesAt: toMillis(row.closes_at),
    sealKey: row.seal_key ?? undefined,
    sealedAt: sealedAt === undefined ? undefined : sealedAt / SECOND_MILLIS,
    sealed: row.sealed === 1,
    winningNumber: row.winning_number ?? undefined,
    beacon:
      row.beacon_signature === null
        ? undefined
        : { round: row.beacon_round!, signature: row.beacon_signature },
    drawn: row.drawn === 1
  }
}

/** Reads a draw by its id; undefined if it is not opened. */
export const readDraw = (sql: SQLTagStore, name: string): StoredDraw | undefined => {
  const row = sql.get`select agencies, number_from, fixed_number, draw_round, draw_delay, close_at,
      closes_at, seal_key, sealed_at, seal_note not null as sealed, winning_number, beacon_round,
      beacon_signature, drawn
    from draws where name = ${name} and agencies not null` as DrawRow | undefined
  return row && drawOf(row)
}

/** Replaces the terms and steps of a draw, except for what is in `Evidence`, and `drawn`. */
export const writeDraw = (sql: SQLTagStore, key: number, draw: StoredDraw): void => {
  const { beacon, sealedAt, source } = draw
  const at = source._tag === "drand" ? source.at : undefined
  sql.run`update draws set
    agencies = ${JSON.stringify(draw.agencies)}, number_from = ${source._tag},
    fixed_number = ${source._tag === "fixed" ? source.number : null},
    draw_round = ${at && "round" in at ? at.round : null},
    draw_delay = ${at && "delaySeconds" in at ? at.delaySeconds : null},
    close_at = ${toText(draw.closeAt)}, closes_at = ${toText(draw.closesAt)},
    seal_key = ${draw.sealKey ?? null},
    sealed_at = ${toText(sealedAt && SECOND_MILLIS * sealedAt)},
    winning_number = ${draw.winningNumber ?? null},
    beacon_round = ${beacon?.round ?? null}, beacon_signature = ${beacon?.signature ?? null}
    where id = ${key}`
}
