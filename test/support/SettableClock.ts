/** The test clock of a machine whose time of day somebody sets; what has passed it still knows. */
import { Clock, Duration, Effect } from "effect"

export const makeSettableClock = Effect.map(Clock.Clock, (clock) => {
  let setBackMillis = 0
  const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() - setBackMillis
  const settable: Clock.Clock = {
    ...clock,
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe)
  }
  return {
    /** Runs an effect by this clock. */
    run: Effect.provideService(Clock.Clock, settable),
    setBack: (time: Duration.Input) =>
      Effect.sync(() => {
        setBackMillis += Duration.toMillis(time)
      })
  }
})
