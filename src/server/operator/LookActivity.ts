/** What repeated looks at a store show of the books that other processes write. */
import type { Agency } from "../../domain/Agency.ts"
import { RateMeter } from "../../domain/RateMeter.ts"
import type { AgencyProgress } from "../store/BetStore.ts"
import * as DrawStanding from "./DrawStanding.ts"

/** What several looks at a book show. */
interface Seen {
  readonly meter: RateMeter
  bets: number
  lastActivity: number | null
}

/** Remembers the books of earlier looks, and so finds what happens between them. */
export const make = () => {
  const seen = new Map<Agency, Seen>()
  return (at: number, monotonic: number) =>
    (agency: Agency, { bets }: AgencyProgress): DrawStanding.Live => {
      const before = seen.get(agency)
      // Another book, if there are fewer bets than before.
      if (before === undefined || bets < before.bets) {
        const meter = new RateMeter()
        meter.sample(monotonic, bets)
        seen.set(agency, { meter, bets, lastActivity: null })
        return DrawStanding.NOT_LIVE
      }
      before.meter.sample(monotonic, bets)
      if (bets > before.bets) before.lastActivity = at
      before.bets = bets
      const { lastActivity, meter } = before
      return { ...DrawStanding.NOT_LIVE, perSecond: meter.perSecond, lastActivity }
    }
}
