/** A look at the server whose result is shared by all who ask for it at about the same time. */
import { Effect } from "effect"
import { monotonicMillis } from "../../../domain/MonotonicTime.ts"

/** The least time for which a result is shared. */
const SHARED_MILLIS = 250
/**
 * A result is shared for this many times the duration of its look, so that looks take at most 5 %
 * of a core. A look that waits for its store takes no processor time, so there is a maximum, which
 * is shorter than the longest silence that a board bears.
 */
const REST_FACTOR = 19
const MAX_REST_MILLIS = 3000

/** How long to rest after a look. */
export const restAfter = (lookMillis: number): number =>
  Math.min(REST_FACTOR * lookMillis, MAX_REST_MILLIS)

/** Shares `look`, which goes on as long as one of its callers waits for it. */
export const make = <A, E>(look: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>> =>
  Effect.suspend(() => {
    let restMillis = 0
    const timed = Effect.gen(function* () {
      const start = yield* monotonicMillis
      const noteEnd = Effect.map(monotonicMillis, (now) => {
        restMillis = restAfter(now - start)
      })
      return yield* Effect.ensuring(look, noteEnd)
    })
    return Effect.cachedWithTTL(timed, () => Math.max(SHARED_MILLIS, restMillis))
  })
