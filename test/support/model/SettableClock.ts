/**
 * The test clock of a machine whose time of day somebody sets; what has passed it still knows. And
 * of a process that stands still: time passes, and wakes nobody.
 */
import { Clock, Duration, Effect } from "effect"

export const makeSettableClock = Effect.map(Clock.Clock, (clock) => {
  let setBackMillis = 0
  let stoodStillMillis = 0
  const currentTimeMillisUnsafe = () =>
    clock.currentTimeMillisUnsafe() + stoodStillMillis - setBackMillis
  const settable: Clock.Clock = {
    ...clock,
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    monotonicTimeNanosUnsafe: () =>
      clock.monotonicTimeNanosUnsafe() + BigInt(stoodStillMillis) * 1_000_000n
  }
  return {
    /** Runs an effect by this clock. */
    run: Effect.provideService(Clock.Clock, settable),
    setBack: (time: Duration.Input) =>
      Effect.sync(() => {
        setBackMillis += Duration.toMillis(time)
      }),
    standStill: (time: Duration.Input) =>
      Effect.sync(() => {
        stoodStillMillis += Duration.toMillis(time)
      })
  }
})
