/** Events of a made-up draw, for tests of the board. */
import type { AgencyStanding } from "../../../src/server/operator/DrawStanding.ts"
import type { ServerEvent, StandingEvent } from "../../../src/server/operator/LiveEvents.ts"

export const agencyOf = (
  agency: number,
  changes: Partial<AgencyStanding> = {}
): AgencyStanding => ({
  agency,
  bets: 0,
  finished: false,
  told: false,
  excluded: false,
  state: "away",
  perSecond: 0,
  lastActivity: null,
  connections: 0,
  bookBets: null,
  ...changes
})

export const sendingOf = (agency: number, bets: number, changes: Partial<AgencyStanding> = {}) =>
  agencyOf(agency, { bets, state: "sending", connections: 1, perSecond: 100, ...changes })

export const finishedOf = (agency: number, bets: number) =>
  agencyOf(agency, { bets, finished: true, state: "finished", bookBets: bets })

export const excludedOf = (agency: number, bets: number) =>
  agencyOf(agency, { bets, excluded: true, state: "excluded", bookBets: bets })

export const toldOf = (agency: number, bets: number) =>
  agencyOf(agency, { bets, finished: true, told: true, state: "winners sent", bookBets: bets })

type Draw = NonNullable<StandingEvent["draw"]>

/** A whole standing of these agencies at a time. */
export const standingOf = (
  agencies: ReadonlyArray<AgencyStanding>,
  at: number,
  draw: Partial<Draw> = {},
  event: Partial<StandingEvent> = {}
): StandingEvent => ({
  whole: true,
  listed: true,
  draw: {
    id: "christmas-2026",
    agencies: agencies.map(({ agency }) => agency),
    winningNumber: null,
    held: false,
    phase: "taking bets",
    closesAt: null,
    sealedAt: null,
    round: null,
    roundAt: null,
    ...draw
  },
  agencies,
  total: {
    bets: agencies.reduce((sum, { bets, excluded }) => sum + (excluded ? 0 : bets), 0),
    agencies: agencies.length,
    finished: agencies.filter(({ finished }) => finished).length,
    excluded: agencies.filter(({ excluded }) => excluded).length,
    told: agencies.filter(({ told }) => told).length,
    perSecond: agencies.reduce((sum, { perSecond }) => sum + (perSecond ?? 0), 0),
    lastActivity: null,
    connections: null,
    bookBets: null
  },
  at,
  ...event
})

export const serverOf = (at: number, changes: Partial<ServerEvent> = {}): ServerEvent => ({
  version: "0.1.0",
  connections: 3,
  commitMillis: 3.4,
  problem: null,
  publishesSeal: false,
  at,
  ...changes
})
