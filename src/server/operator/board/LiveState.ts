/** What a board knows, as a pure function of the events that it has received. */
import type { AgencyStanding } from "../DrawStanding.ts"
import type { RatesEvent, RefusalsEvent, ServerEvent, StandingEvent } from "../LiveEvents.ts"

/** The data of each event, by the name of the event. */
export interface LiveEvents {
  readonly standing: StandingEvent
  readonly server: ServerEvent
  readonly rates: RatesEvent
  readonly refusals: RefusalsEvent
}

export type Agencies = ReadonlyMap<AgencyStanding["agency"], AgencyStanding>

export interface LiveState {
  readonly standing: Pick<StandingEvent, "draw" | "listed" | "total"> | undefined
  readonly agencies: Agencies
  readonly server: ServerEvent | undefined
  readonly rates: RatesEvent | undefined
  readonly refusals: RefusalsEvent
  /** How far the server's clock is ahead of the browser's. */
  readonly aheadMillis: number
}

export const NOTHING_KNOWN: LiveState = {
  standing: undefined,
  agencies: new Map(),
  server: undefined,
  rates: undefined,
  refusals: [],
  aheadMillis: 0
}

type Step<Event> = (state: LiveState, event: Event, nowMillis: number) => LiveState

const afterStanding: Step<StandingEvent> = (state, event) => {
  const { draw, listed, total, whole } = event
  const agencies = new Map(whole ? [] : state.agencies)
  for (const row of event.agencies) agencies.set(row.agency, row)
  return { ...state, standing: { draw, listed, total }, agencies }
}

/** Returns what is known after each event, which arrives at `nowMillis` of the browser's clock. */
export const AFTER: { readonly [Name in keyof LiveEvents]: Step<LiveEvents[Name]> } = {
  standing: afterStanding,
  // The clock is not taken from a standing: the first one that a board gets may be hours old.
  server: (state, server, nowMillis) => ({ ...state, server, aheadMillis: server.at - nowMillis }),
  rates: (state, rates) => ({ ...state, rates }),
  refusals: (state, refusals) => ({ ...state, refusals })
}

/** The phase of the draw in words. A phase that this board does not know is shown as it comes. */
export const phaseOf = ({ standing }: LiveState): string => {
  if (standing === undefined) return "connecting…"
  return standing.draw === null ? "the draw is not open yet" : standing.draw.phase
}

/** The time that is left until the books are closed; undefined if they are closed at no time. */
export const millisToClose = (
  { aheadMillis, standing }: LiveState,
  nowMillis: number
): number | undefined => {
  const draw = standing?.draw
  if (draw === undefined || draw === null || draw.closesAt === null) return undefined
  return draw.phase === "taking bets" ? draw.closesAt - (nowMillis + aheadMillis) : undefined
}

/** The drand round that the draw waits for, and the time that is left until it is published. */
export const awaitedRound = (
  { aheadMillis, standing }: LiveState,
  nowMillis: number
): { readonly round: number; readonly at: number; readonly millis: number } | undefined => {
  const { phase, round, roundAt } = standing?.draw ?? {}
  const isWaiting = phase === "sealed" || phase === "waiting for the number"
  if (!isWaiting || typeof round !== "number" || typeof roundAt !== "number") return undefined
  return { round, at: roundAt, millis: roundAt - (nowMillis + aheadMillis) }
}

/** What keeps the server from its work, or the draw from being held; undefined if nothing does. */
export const problemOf = ({ server, standing }: LiveState): string | undefined => {
  const { phase, round } = standing?.draw ?? {}
  const missed =
    phase === "missed"
      ? `the books were not closed before round ${round} was published: only another draw helps`
      : undefined
  return (
    [missed, server?.problem].filter((text) => typeof text === "string").join("; ") || undefined
  )
}

/** What is published of a sealed draw, by its path below `/draw/`. */
export const publishedOf = ({ server, standing }: LiveState): ReadonlyArray<"seal" | "result"> => {
  const { held, sealedAt } = standing?.draw ?? {}
  if (server?.publishesSeal !== true || typeof sealedAt !== "number") return []
  return held === true ? ["seal", "result"] : ["seal"]
}

/** Bets a second of all agencies; of this server alone if that is unknown, and null before. */
export const rateOf = ({ rates, standing }: LiveState): number | null =>
  standing?.total.perSecond ?? rates?.perSecond.at(-1) ?? null

/** The highest rate of the plot. */
export const highestRate = (state: LiveState): number =>
  Math.max(0, rateOf(state) ?? 0, ...(state.rates?.perSecond ?? []))
