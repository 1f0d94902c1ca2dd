/**
 * A test clock that can set the time of day back, which does not affect monotonic time, and can
 * stand still like a stopped process: time passes, but no timer fires.
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
