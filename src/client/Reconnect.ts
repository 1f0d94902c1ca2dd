/**
 * Tries again by itself if the server cannot be reached, goes away, or asks for it, for ever: the
 * network of an agency comes back some day. What trying again does not help ends it.
 */
import { Effect, Random } from "effect"
import { ActionLine } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import { monotonicMillis } from "../domain/MonotonicTime.ts"
import type { ConversationError } from "./conversation/Conversation.ts"
import type { UploadProgress } from "./UploadProgress.ts"

const SHORTEST_DELAY_MILLIS = 100
const LONGEST_DELAY_MILLIS = 5000

/** An error that repeats is logged no more often than this. */
const REPEATED_LOG_MILLIS = 10_000

/**
 * How long to wait after the attempt before which `failures` others failed in a row: 100 to 200 ms
 * at first, twice as long each time, 2.5 to 5 s in the end. `random`, from 0 to 1, spreads the
 * agencies that lost the same server.
 */
export const delayMillis = (failures: number, random: number): number => {
  const longest = Math.min(LONGEST_DELAY_MILLIS, 2 * SHORTEST_DELAY_MILLIS * 2 ** failures)
  return Math.round((longest / 2) * (1 + random))
}

const isWorthRetrying = (failure: ConversationError): boolean =>
  failure._tag === "Unreachable" ||
  failure._tag === "ConnectionLost" ||
  (failure._tag === "Refused" && failure.retryable)

/**
 * Makes attempts, each over connections of its own, until one succeeds or fails for good. The next
 * delay is the shortest again once more bets are acknowledged than ever, or the agency waits for
 * the draw: a server that only greets is as good as none.
 */
export const reconnecting = <A, R>(
  agencia: Agency,
  progress: UploadProgress,
  attempt: Effect.Effect<A, ConversationError, R>
) => {
  let logged: { readonly error: string; readonly atMillis: number } | undefined
  const waitBeforeNext = Effect.fnUntraced(function* (failure: ConversationError) {
    if (!isWorthRetrying(failure)) return false
    const { message: error } = failure
    const retry_ms = delayMillis(progress.failures, yield* Random.next)
    yield* progress.interrupt(error)
    const now = yield* monotonicMillis
    if (logged?.error !== error || now - logged.atMillis >= REPEATED_LOG_MILLIS) {
      logged = { error, atMillis: now }
      yield* Effect.logWarning(new ActionLine("connection", "fail", { agencia, error, retry_ms }))
    }
    yield* Effect.sleep(retry_ms)
    return true
  })
  return Effect.retry(Effect.scoped(attempt), { while: waitBeforeNext })
}
