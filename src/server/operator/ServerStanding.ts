/** The standing of the draw at a server, with what its agencies do there now. */
import { Clock, Effect, Option } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import { Lottery } from "../lottery/Lottery.ts"
import { BetStore } from "../store/BetStore.ts"
import * as DrawStanding from "./DrawStanding.ts"

const NEVER_SEEN: DrawStanding.Live = { ...DrawStanding.NOT_LIVE, perSecond: 0, connections: 0 }

export const make = Effect.gen(function* () {
  const store = yield* BetStore
  const { activityOf, draw } = yield* Lottery
  return Effect.gen(function* () {
    const stored = Option.getOrUndefined(yield* store.draw)
    const progress = yield* store.progress
    const now = yield* Clock.currentTimeMillis
    const monotonic = yield* monotonicMillis
    const liveOf = (agency: Agency): DrawStanding.Live => {
      const found = activityOf(agency)
      if (found === undefined) return NEVER_SEEN
      const { activity, connectionCount: connections } = found
      const { announced: bookBets = null, lastMillis } = activity
      const lastActivity = lastMillis === undefined ? null : now - (monotonic - lastMillis)
      return { perSecond: activity.perSecond(monotonic), lastActivity, connections, bookBets }
    }
    return DrawStanding.make({ id: draw.id, draw: stored, progress }, now, liveOf)
  })
})
