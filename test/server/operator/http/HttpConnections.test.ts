/** Goal: connections to HTTP that come faster than a limit are not served. */
import { expect, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import * as TestClock from "effect/testing/TestClock"
import {
  MAX_CONNECTIONS,
  MAX_PER_SECOND,
  makeTurnstile
} from "../../../../src/server/operator/http/HttpConnections.ts"

it.effect("many can come at once, then a few each second", () =>
  Effect.gen(function* () {
    const mayEnter = makeTurnstile(yield* Clock.Clock)
    const entered = (arrivals: number) => Array.from({ length: arrivals }, mayEnter)
    expect(entered(MAX_CONNECTIONS)).not.toContain(false)
    expect(mayEnter()).toBe(false)

    yield* TestClock.adjust("1 second")
    expect(entered(MAX_PER_SECOND)).not.toContain(false)
    expect(mayEnter()).toBe(false)
    yield* TestClock.adjust(Math.ceil(1000 / MAX_PER_SECOND))
    expect(entered(2)).toEqual([true, false])

    yield* TestClock.adjust("1 hour")
    expect(entered(MAX_CONNECTIONS + 1).filter((isServed) => isServed)).toHaveLength(
      MAX_CONNECTIONS
    )
  })
)
