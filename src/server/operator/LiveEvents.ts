/**
 * What a server sends to a live board: the data of each server-sent event, as JSON. Every event
 * replaces what the one before it said, so a board that misses some is right again with the next.
 */
import { Schema } from "effect"
import { Agency } from "../../domain/Agency.ts"
import { AgencyStanding, DrawStanding } from "./DrawStanding.ts"

/** `standing`: the draw, its totals, and the agencies that changed. */
export const StandingEvent = Schema.Struct({
  /** True if `agencies` are all of them, and false if they replace some of the known ones. */
  whole: Schema.Boolean,
  /** False if the draw has too many agencies to list; then `agencies` is empty. */
  listed: Schema.Boolean,
  draw: DrawStanding.fields.draw,
  /** In ascending order. */
  agencies: Schema.Array(AgencyStanding),
  total: DrawStanding.fields.total,
  at: Schema.Int
})
export type StandingEvent = typeof StandingEvent.Type

/** `server`: the server itself; its times are in milliseconds. */
export const ServerEvent = Schema.Struct({
  version: Schema.String,
  /** Connections to the ports of the agencies. */
  connections: Schema.Int,
  /** The median duration of the last commits; null before the first. */
  commitMillis: Schema.NullOr(Schema.Finite),
  /** What keeps the server from its work; null if nothing does. */
  problem: Schema.NullOr(Schema.String),
  /** The seal and the result are served, once they exist. */
  publishesSeal: Schema.Boolean,
  at: Schema.Int
})
export type ServerEvent = typeof ServerEvent.Type

/** `rates`: newly stored bets a second, a point for each `everyMillis`, the last until `until`. */
export const RatesEvent = Schema.Struct({
  everyMillis: Schema.Int,
  until: Schema.Int,
  perSecond: Schema.Array(Schema.Finite)
})
export type RatesEvent = typeof RatesEvent.Type

/** `refusals`: the latest refusals of this server, oldest first, without what was refused. */
export const RefusalsEvent = Schema.Array(
  Schema.Struct({
    /** Counts up from 1. */
    id: Schema.Int,
    at: Schema.Int,
    agency: Schema.NullOr(Agency),
    /** Why: one of the words of docs/metrics.md, such as `InvalidBet`. */
    reason: Schema.String,
    /** Position in the book of the bet that was refused. */
    position: Schema.NullOr(Schema.Int)
  })
)
export type RefusalsEvent = typeof RefusalsEvent.Type
