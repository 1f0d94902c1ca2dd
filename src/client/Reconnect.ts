import { Effect, Random } from "effect"
import { ActionLine } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import { monotonicMillis } from "../domain/MonotonicTime.ts"
import type { ConversationError } from "./conversation/Conversation.ts"
import type { UploadProgress } from "./UploadProgress.ts"

const SHORTEST_DELAY_MILLIS = 100
const LONGEST_DELAY_MILLIS = 5000

const REPEATED_ERROR_LOG_MILLIS = 10_000

/**
 * Returns the delay after a failed attempt that follows `failures` others: 100 to 200 ms at first,
 * doubling each time up to 2.5 to 5 s. `random`, from 0 to 1, spreads out the agencies that lost
 * the same server.
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
 * Repeats `attempt`, each time with new connections, until it succeeds or fails permanently. The
 * delay resets only when more bets are acknowledged than before or the agency waits for the draw.
 * A greeting alone does not reset it. Attempts are unlimited: an agency's network may be down for
 * a long time.
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
    if (logged?.error !== error || now - logged.atMillis >= REPEATED_ERROR_LOG_MILLIS) {
      logged = { error, atMillis: now }
      yield* Effect.logWarning(new ActionLine("connection", "fail", { agencia, error, retry_ms }))
    }
    yield* Effect.sleep(retry_ms)
    return true
  })
  return Effect.retry(Effect.scoped(attempt), { while: waitBeforeNext })
}
