/**
 * Tries again by itself where the server cannot be reached, goes away, or asks for it, for ever:
 * the network of an agency comes back some day. What cannot be mended by trying again ends it.
 */
import { Effect, Random, Result } from "effect"
import { ActionLine } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import { monotonicMillis } from "../domain/MonotonicTime.ts"
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

/** An error of an attempt, as far as it decides on the next one. */
interface AttemptError {
  readonly _tag: string
  readonly message: string
  /** Of `Refused`: whether the server may take the same another time. */
  readonly retryable?: boolean
}

const isWorthRetrying = ({ _tag, retryable }: AttemptError): boolean =>
  _tag === "Unreachable" || _tag === "ConnectionLost" || (_tag === "Refused" && retryable === true)

/** Logs an error that is new, or was last logged a while ago. */
const makeFailureLog = (agencia: Agency) => {
  let logged: { readonly error: string; readonly atMillis: number } | undefined
  return Effect.fnUntraced(function* (error: string, reintento_ms: number) {
    const now = yield* monotonicMillis
    if (logged?.error === error && now - logged.atMillis < REPEATED_LOG_MILLIS) return
    logged = { error, atMillis: now }
    yield* Effect.logWarning(new ActionLine("conexion", "fail", { agencia, error, reintento_ms }))
  })
}

/**
 * Runs attempts until one succeeds or fails for good; each is told how many bets were acknowledged
 * before. The next delay is the shortest again once more bets are acknowledged than ever, or the
 * agency waits for the draw: a server that only greets is as good as none.
 */
export const reconnecting = Effect.fnUntraced(function* <A, E extends AttemptError, R>(
  agency: Agency,
  progress: UploadProgress,
  attempt: (progress: UploadProgress, acknowledged: number) => Effect.Effect<A, E, R>
) {
  let failures = 0
  let acknowledged = 0
  const note = (bets: number) => {
    if (bets > acknowledged) failures = 0
    acknowledged = Math.max(acknowledged, bets)
  }
  const watched: UploadProgress = {
    ...progress,
    acknowledged: (bets) => {
      note(bets)
      return progress.acknowledged(bets)
    },
    resumed: (bets) => {
      note(bets)
      return progress.resumed(bets)
    },
    waiting: (finished, expected) => {
      failures = 0
      return progress.waiting(finished, expected)
    }
  }
  const logFailure = makeFailureLog(agency)
  for (;;) {
    const outcome = yield* Effect.result(attempt(watched, acknowledged))
    if (Result.isSuccess(outcome)) return outcome.success
    const { failure } = outcome
    if (!isWorthRetrying(failure)) return yield* Effect.fail(failure)
    const delay = delayMillis(failures++, yield* Random.next)
    yield* progress.interrupted(failure.message)
    yield* logFailure(failure.message, delay)
    yield* Effect.sleep(delay)
  }
})
