/** The times of a draw: how long to wait for them, and the closing at the close time. */
import { Clock, Effect } from "effect"
import type { BetStore } from "../store/BetStore.ts"

/** Maximum time until the next look at a draw that has a time: the clock may be changed. */
const MAX_LOOK_INTERVAL_MILLIS = 60_000
/** Time until the next look after the close time, while no book is finished yet. */
const OVERDUE_LOOK_INTERVAL_MILLIS = 1000

/** Waits until the store should be looked at again because of a time of the draw. */
export const untilDue = Effect.fnUntraced(function* (time: number) {
  const left = time - (yield* Clock.currentTimeMillis)
  const wait = left > 0 ? Math.min(left, MAX_LOOK_INTERVAL_MILLIS) : OVERDUE_LOOK_INTERVAL_MILLIS
  yield* Effect.sleep(wait)
})

/** Excludes the unfinished agencies if the close time has come; traced only then. */
export const closeIfDue = Effect.fnUntraced(function* (
  store: Pick<BetStore["Service"], "closeIfDue">,
  closesAt: number | undefined
) {
  if (closesAt === undefined) return []
  if (closesAt > (yield* Clock.currentTimeMillis)) return yield* store.closeIfDue
  return yield* store.closeIfDue.pipe(
    Effect.tap((excluded) => Effect.annotateCurrentSpan("lottery.agencies", excluded.length)),
    Effect.withSpan("Lottery.close")
  )
})
