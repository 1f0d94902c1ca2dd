/**
 * Goal: however many ask, looks take a small part of the time, and a caller that leaves ends no
 * look. Method: looks of a given duration on the test clock.
 */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { expect } from "vitest"
import * as SharedLook from "../../../../src/server/operator/http/SharedLook.ts"
import { makeSettableClock } from "../../../support/model/SettableClock.ts"

/** A look of this duration that returns how often it was made. */
const lookOf = (millis: number) => {
  let looks = 0
  return {
    looks: () => looks,
    look: Effect.suspend(() => Effect.delay(Effect.succeed(++looks), millis))
  }
}

it.effect("callers of the same moment share one look", () =>
  Effect.gen(function* () {
    const { look, looks } = lookOf(5)
    const shared = yield* SharedLook.make(look)
    const callers = yield* Effect.forkScoped(
      Effect.all(Array<typeof shared>(100).fill(shared), { concurrency: "unbounded" })
    )
    yield* TestClock.adjust(5)
    expect(new Set(yield* Fiber.join(callers))).toEqual(new Set([1]))
    yield* TestClock.adjust(249)
    expect(yield* shared).toBe(1)
    yield* TestClock.adjust(1)
    const next = yield* Effect.forkScoped(shared)
    yield* TestClock.adjust(5)
    expect(yield* Fiber.join(next)).toBe(2)
    expect(looks()).toBe(2)
  })
)

it.effect.each([
  [1, 250],
  [100, 1900],
  [60_000, 5000]
] as const)("a look of %i ms is followed by %i ms without one", ([millis, rest]) =>
  Effect.gen(function* () {
    const { look, looks } = lookOf(millis)
    const shared = yield* SharedLook.make(look)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(shared, Effect.sleep(1))))
    yield* TestClock.adjust(millis + rest - 1)
    expect(looks()).toBe(1)
    yield* TestClock.adjust(2)
    expect(looks()).toBe(2)
  })
)

it.effect("a caller that leaves does not end the look for the others", () =>
  Effect.gen(function* () {
    const { look } = lookOf(100)
    const shared = yield* SharedLook.make(look)
    const first = yield* Effect.forkScoped(shared)
    yield* TestClock.adjust(50)
    const second = yield* Effect.forkScoped(shared)
    yield* TestClock.adjust(0)
    yield* Fiber.interrupt(first)
    yield* TestClock.adjust(50)
    expect(yield* Fiber.join(second)).toBe(1)
    expect(yield* shared).toBe(1)
  })
)

it.effect("a result is shared for as long if the time of day is set back", () =>
  Effect.gen(function* () {
    const clock = yield* makeSettableClock
    const { look } = lookOf(0)
    const shared = clock.run(yield* SharedLook.make(look))
    expect(yield* shared).toBe(1)
    yield* clock.setBack("1 hour")
    yield* TestClock.adjust(249)
    expect(yield* shared).toBe(1)
    yield* TestClock.adjust(1)
    expect(yield* shared).toBe(2)
  })
)

it.effect("a look that fails is tried again", () =>
  Effect.gen(function* () {
    let isUp = false
    const shared = yield* SharedLook.make(
      Effect.suspend(() => (isUp ? Effect.succeed("up") : Effect.fail("down")))
    )
    expect(yield* Effect.flip(shared)).toBe("down")
    isUp = true
    expect(yield* Effect.flip(shared)).toBe("down")
    yield* TestClock.adjust(250)
    expect(yield* shared).toBe("up")
  })
)

it.effect("a look ends once nobody waits for it", () =>
  Effect.gen(function* () {
    let isInterrupted = false
    const look = Effect.onInterrupt(Effect.never, () =>
      Effect.sync(() => {
        isInterrupted = true
      })
    )
    const caller = yield* Effect.forkScoped(yield* SharedLook.make(look))
    yield* TestClock.adjust(1)
    yield* Fiber.interrupt(caller)
    expect(isInterrupted).toBe(true)
  })
)
