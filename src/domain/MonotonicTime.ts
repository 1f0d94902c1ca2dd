/** Time by a clock that is never set, for durations: the time of day may be put back an hour. */
import { Clock, Effect } from "effect"

const NANOS_PER_MILLI = 1_000_000n

/** Whole milliseconds since an arbitrary moment. */
export const monotonicMillisUnsafe = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe() / NANOS_PER_MILLI)

/** Whole milliseconds since an arbitrary moment: only differences of two readings mean anything. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos / NANOS_PER_MILLI)
)
