/** A look at the server whose result is shared by all who ask for it at about the same time. */
import { Duration, Effect } from "effect"
import { monotonicMillis } from "../../../domain/MonotonicTime.ts"

/** The least time for which a result is shared. */
const SHARED_MILLIS = 250
/**
 * A result is shared for this many times the duration of its look, so that looks take at most 5 %
 * of a core. A look that waits for its store takes no processor time, so there is a maximum.
 */
const REST_FACTOR = 19
const MAX_REST_MILLIS = 5000

/** How long to rest after a look. */
export const restAfter = (lookMillis: number): number =>
  Math.min(REST_FACTOR * lookMillis, MAX_REST_MILLIS)

/** Shares `look`, which goes on as long as one of its callers waits for it. */
export const make = <A, E>(look: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>> =>
  Effect.gen(function* () {
    let sharedUntil = Number.POSITIVE_INFINITY
    const timed = Effect.gen(function* () {
      const start = yield* monotonicMillis
      sharedUntil = Number.POSITIVE_INFINITY
      const noteEnd = Effect.map(monotonicMillis, (now) => {
        sharedUntil = now + Math.max(SHARED_MILLIS, restAfter(now - start))
      })
      return yield* Effect.ensuring(look, noteEnd)
    })
    // A time to live would end by the time of day, which can be set back.
    const [shared, forget] = yield* Effect.cachedInvalidateWithTTL(timed, Duration.infinity)
    return Effect.gen(function* () {
      if ((yield* monotonicMillis) >= sharedUntil) yield* forget
      return yield* shared
    })
  })
