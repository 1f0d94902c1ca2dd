/**
 * A look at the server whose result is shared by all who ask for it at about the same time. Who
 * asks and leaves does not end the look for the others.
 */
import { Effect, Fiber } from "effect"
import { monotonicMillis } from "../../../domain/MonotonicTime.ts"

/** The least time for which a result is shared. */
const SHARED_MILLIS = 250
/**
 * A result is shared for this many times the duration of its look, so that looks take at most 5 %
 * of a core. A look that waits for its store takes no processor time, which is why there is a
 * maximum; it is shorter than the longest silence that a board bears.
 */
const REST_FACTOR = 19
const MAX_REST_MILLIS = 3000

/** How long to rest after a look. */
export const restAfter = (lookMillis: number): number =>
  Math.min(REST_FACTOR * lookMillis, MAX_REST_MILLIS)

/** Shares `look`, which runs in the current scope. */
export const make = Effect.fnUntraced(function* <A, E>(look: Effect.Effect<A, E>) {
  const scope = yield* Effect.scope
  let shared: Fiber.Fiber<A, E> | undefined
  let sharedUntil = 0
  const timed = Effect.gen(function* () {
    const start = yield* monotonicMillis
    const noteEnd = Effect.map(monotonicMillis, (now) => {
      sharedUntil = now + Math.max(SHARED_MILLIS, restAfter(now - start))
    })
    return yield* Effect.ensuring(look, noteEnd)
  })
  return Effect.gen(function* () {
    const now = yield* monotonicMillis
    if (shared === undefined || (shared.pollUnsafe() !== undefined && now >= sharedUntil)) {
      shared = yield* Effect.forkIn(timed, scope)
    }
    return yield* Fiber.join(shared)
  })
})
