/** The standing of the draw at a server, with what its agencies do there now. */
import { Clock, Effect, Option } from "effect"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import { Lottery } from "../lottery/Lottery.ts"
import { BetStore } from "../store/BetStore.ts"
import * as DrawStanding from "./DrawStanding.ts"
import * as LookActivity from "./LookActivity.ts"

const NEVER_SEEN: DrawStanding.Live = { ...DrawStanding.NOT_LIVE, perSecond: 0, connections: 0 }

/** From look to look the clocks differ by a millisecond at most, unless the time is set. */
const CLOCK_SET_MILLIS = 1000

/**
 * Makes a look that can be repeated. In a store that several servers share, an agency that is not
 * connected here may be connected to another server, and repeated looks show what it sends there.
 */
export const make = Effect.fnUntraced(function* (isShared: boolean) {
  const store = yield* BetStore
  const { activityOf, draw } = yield* Lottery
  const elsewhere = LookActivity.make()
  let sinceEpoch = 0
  return Effect.gen(function* () {
    const stored = Option.getOrUndefined(yield* store.draw)
    const progress = yield* store.progress
    const now = yield* Clock.currentTimeMillis
    const monotonic = yield* monotonicMillis
    if (Math.abs(now - monotonic - sinceEpoch) > CLOCK_SET_MILLIS) sinceEpoch = now - monotonic
    const seen = isShared ? elsewhere(now, monotonic) : () => NEVER_SEEN
    return DrawStanding.make({ id: draw.id, draw: stored, progress }, now, (agency, known) => {
      const away = seen(agency, known)
      const found = activityOf(agency)
      if (found === undefined || (isShared && found.connectionCount === 0)) return away
      const { activity, connectionCount: connections } = found
      const { announced: bookBets = null, lastMillis } = activity
      const lastActivity = lastMillis === undefined ? null : Math.min(now, sinceEpoch + lastMillis)
      return { perSecond: activity.perSecond(monotonic), lastActivity, connections, bookBets }
    })
  })
})
