/** A monotonic clock for durations; the time of day can be set back. */
import { Clock, Effect } from "effect"

const NANOS_PER_MILLI = 1_000_000n

export const monotonicMillisUnsafe = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe() / NANOS_PER_MILLI)

/** Whole milliseconds since an arbitrary moment; only differences are meaningful. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos / NANOS_PER_MILLI)
)
