/**
 * How far a draw has got, for the people who run it: `lottery status` prints it, and a server
 * answers with it on the control channel (docs/operations.md, "Watching a draw"). Times are in
 * milliseconds since the epoch.
 */
import { Schema } from "effect"
import { Agency } from "../../domain/Agency.ts"
import { DrawId } from "../../domain/Draw.ts"
import { type AgencyProgress, progressIn } from "../store/BetStore.ts"
import { awaitedIn, numberOf } from "../store/Closing.ts"
import { PHASES, phaseOf, roundOf } from "../store/DrawPhase.ts"
import type { StoredDraw } from "../store/StoredDraw.ts"

export const Phase = Schema.Literals(PHASES)
export type Phase = typeof Phase.Type

/** `sending` and `away` tell whether an unfinished agency is connected. */
export const AgencyState = Schema.Literals([
  "sending",
  "away",
  "finished",
  "excluded",
  "winners sent"
])
export type AgencyState = typeof AgencyState.Type

/** What only a server knows, or what two looks at a store show; null if it is unknown. */
const live = {
  /** Bets a second in the last seconds. */
  perSecond: Schema.NullOr(Schema.Finite),
  /** When a server last acknowledged something. */
  lastActivity: Schema.NullOr(Schema.Int),
  /** Connections to the server that answered. */
  connections: Schema.NullOr(Schema.Int),
  /** The bets of the whole book; of all books in a total. */
  bookBets: Schema.NullOr(Schema.Int)
}

export const AgencyStanding = Schema.Struct({
  agency: Agency,
  bets: Schema.Int,
  finished: Schema.Boolean,
  told: Schema.Boolean,
  excluded: Schema.Boolean,
  state: Schema.NullOr(AgencyState),
  ...live
})
export type AgencyStanding = typeof AgencyStanding.Type

export const DrawStanding = Schema.Struct({
  /** Null before the draw is opened. */
  draw: Schema.NullOr(
    Schema.Struct({
      id: DrawId,
      agencies: Schema.Array(Agency),
      /** Null if it is not known yet. */
      winningNumber: Schema.NullOr(Schema.Int),
      /** The winners are recorded. */
      held: Schema.Boolean,
      phase: Phase,
      closesAt: Schema.NullOr(Schema.Int),
      /** When the books were closed for good; null if no seal is signed. */
      sealedAt: Schema.NullOr(Schema.Int),
      /** The drand round that decides the number; null if there is none or it is not known yet. */
      round: Schema.NullOr(Schema.Int),
      /** When that round is published. */
      roundAt: Schema.NullOr(Schema.Int)
    })
  ),
  /** Every agency that takes part or has something stored, in ascending order. */
  agencies: Schema.Array(AgencyStanding),
  total: Schema.Struct({
    /** Without the bets of excluded agencies, which cannot win. */
    bets: Schema.Int,
    /** Agencies that take part, excluded ones as well. */
    agencies: Schema.Int,
    finished: Schema.Int,
    excluded: Schema.Int,
    told: Schema.Int,
    ...live
  }),
  /** The time of this standing. */
  at: Schema.Int
})
export type DrawStanding = typeof DrawStanding.Type

/** What is known of an agency besides what is stored. */
export type Live = Pick<AgencyStanding, "perSecond" | "lastActivity" | "connections" | "bookBets">

export const NOT_LIVE: Live = {
  perSecond: null,
  lastActivity: null,
  connections: null,
  bookBets: null
}

/** The agencies of one answer or event, which takes some 200 bytes for each. */
export const MAX_LISTED_AGENCIES = 10_000

/** What a store knows of a draw and its agencies. */
export interface Stored {
  readonly id: DrawId
  /** Undefined before the draw is opened. */
  readonly draw: StoredDraw | undefined
  readonly progress: ReadonlyMap<Agency, AgencyProgress>
}

const stateOf = (
  { excluded, finished, told }: AgencyProgress,
  { connections, perSecond }: Live
): AgencyState | null => {
  if (excluded) return "excluded"
  if (told) return "winners sent"
  if (finished) return "finished"
  if (connections !== null) return connections > 0 ? "sending" : "away"
  // An agency that sends nothing may be connected to a server that cannot be asked.
  return perSecond !== null && perSecond > 0 ? "sending" : null
}

/** Rounds a rate, of which more digits are meaningless. */
const rounded = (perSecond: number | null): number | null =>
  perSecond === null ? null : Math.round(10 * perSecond) / 10

const agencyStanding = (agency: Agency, progress: AgencyProgress, live: Live): AgencyStanding => {
  const { bets, excluded, finished, told } = progress
  // Nothing is added to these books.
  const bookBets = finished || excluded ? bets : live.bookBets
  const state = stateOf(progress, live)
  const perSecond = rounded(live.perSecond)
  return { agency, bets, finished, told, excluded, state, ...live, perSecond, bookBets }
}

/**
 * The sum of a figure; null if it is unknown of one of them, or there are none, or if it is too
 * large for an exact number: agencies may announce books of any size.
 */
const sumOf = (
  rows: ReadonlyArray<AgencyStanding>,
  figure: "perSecond" | "connections" | "bookBets"
): number | null => {
  let sum: number | null = null
  for (const row of rows) {
    const value = row[figure]
    if (value === null) return null
    sum = (sum ?? 0) + value
  }
  return sum !== null && sum > Number.MAX_SAFE_INTEGER ? null : sum
}

const latestOf = (rows: ReadonlyArray<AgencyStanding>): number | null =>
  rows.reduce<number | null>(
    (latest, { lastActivity }) =>
      lastActivity === null ? latest : Math.max(lastActivity, latest ?? lastActivity),
    null
  )

const totalOf = (rows: ReadonlyArray<AgencyStanding>, agencies: number): DrawStanding["total"] => {
  const included = rows.filter(({ excluded }) => !excluded)
  const count = (is: (row: AgencyStanding) => boolean) => rows.filter(is).length
  return {
    bets: included.reduce((sum, { bets }) => sum + bets, 0),
    agencies,
    finished: count(({ finished }) => finished),
    excluded: count(({ excluded }) => excluded),
    told: count(({ told }) => told),
    perSecond: rounded(sumOf(rows, "perSecond")),
    lastActivity: latestOf(rows),
    connections: sumOf(rows, "connections"),
    bookBets: sumOf(included, "bookBets")
  }
}

const MILLIS = 1000

const drawOf = (
  id: DrawId,
  draw: StoredDraw,
  progressOf: ReturnType<typeof progressIn>,
  at: number
): DrawStanding["draw"] => {
  const { agencies, closesAt = null, drawn, sealed, sealedAt } = draw
  const round = roundOf(draw)
  return {
    id,
    agencies,
    winningNumber: numberOf(draw) ?? null,
    held: drawn,
    phase: phaseOf(id, draw, awaitedIn(draw, progressOf), at),
    closesAt,
    sealedAt: sealed && sealedAt !== undefined ? MILLIS * sealedAt : null,
    round: round?.round ?? null,
    roundAt: round?.at ?? null
  }
}

/** Puts together what is stored and what is known besides. */
export const make = (
  { draw, id, progress }: Stored,
  at: number,
  liveOf: (agency: Agency, progress: AgencyProgress) => Live
): DrawStanding => {
  const progressOf = progressIn(progress)
  // A discard leaves the edition of a book of which nothing is stored.
  const found = [...progress.keys()].filter((agency) => progressOf(agency).bets > 0)
  const agencies = [...new Set([...(draw?.agencies ?? []), ...found])]
    .sort((one, other) => one - other)
    .map((agency) => {
      const own = progressOf(agency)
      return agencyStanding(agency, own, liveOf(agency, own))
    })
  return {
    draw: draw === undefined ? null : drawOf(id, draw, progressOf, at),
    agencies,
    total: totalOf(agencies, draw?.agencies.length ?? 0),
    at
  }
}

/** Whether the draw waits for the agency. */
export const isAwaited = ({ excluded, finished }: AgencyStanding): boolean =>
  !(finished || excluded)
