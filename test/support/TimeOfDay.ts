/** A clock whose time of day stands still until a test sets it; timers run as usual. */
import { Clock, Effect } from "effect"

export const makeTimeOfDay = (startSeconds: number) =>
  Effect.map(Clock.Clock, (clock) => {
    let millis = 1000 * startSeconds
    const currentTimeMillisUnsafe = () => millis
    const timeOfDay: Clock.Clock = Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe)
    })
    return {
      run: Effect.provideService(Clock.Clock, timeOfDay),
      set: (seconds: number) =>
        Effect.sync(() => {
          millis = 1000 * seconds
        })
    }
  })
