/**
 * Goal: a session that waits loses neither its layers nor its scope.
 * Method: a session of three steps that records what happens.
 */
import { it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Scope } from "effect"
import { describe, expect } from "vitest"
import * as Pending from "../../../src/server/session/Pending.ts"

/** A session that waits `waits` times, and adds a finalizer in its first step. */
const session = Effect.fnUntraced(function* (waits: number) {
  const said: Array<string> = []
  const wake = yield* Latch.make()
  const woken = Effect.andThen(wake.await, wake.close)
  const after = (left: number): Pending.Step<string, never> =>
    Effect.suspend(() => {
      said.push(`step ${left}`)
      if (left < 0) return Effect.fail("broken")
      return Effect.succeed(
        left === 0 ? undefined : { woken, proceed: after(left === 9 ? -1 : left - 1) }
      )
    })
  const first: Pending.Step<string, Scope.Scope> = Effect.gen(function* () {
    yield* Scope.addFinalizerExit(yield* Effect.scope, (exit) =>
      Effect.sync(() => said.push(Exit.isSuccess(exit) ? "closed" : "closed early"))
    )
    return yield* after(waits)
  })
  const running = yield* Pending.around(Pending.scoped(first), (step) =>
    Effect.tapError(
      Effect.tap(step, (pending) => Effect.sync(() => said.push(pending ? "waits" : "is over"))),
      (error) => Effect.sync(() => said.push(error))
    )
  ).pipe(Pending.run, Effect.scoped, Effect.forkChild({ startImmediately: true }))
  const next = Effect.andThen(wake.open, Effect.repeat(Effect.yieldNow, { times: 20 }))
  return { said, running, next }
})

describe("a session that waits", () => {
  it.effect("has its layers in each step, and its scope until it is over", () =>
    Effect.gen(function* () {
      const { next, running, said } = yield* session(2)
      expect(said).toEqual(["step 2", "waits"])
      yield* next
      expect(said.slice(2)).toEqual(["step 1", "waits"])
      yield* next
      expect(said.slice(4)).toEqual(["step 0", "closed", "is over"])
      expect(Exit.isSuccess(yield* Fiber.await(running))).toBe(true)
    })
  )

  it.effect("closes its scope when a later step fails", () =>
    Effect.gen(function* () {
      const { next, said } = yield* session(9)
      yield* next
      expect(said.slice(2)).toEqual(["step -1", "closed early", "broken"])
    })
  )

  it.effect("closes its scope when it is interrupted while it waits", () =>
    Effect.gen(function* () {
      const { running, said } = yield* session(1)
      yield* Fiber.interrupt(running)
      expect(said.slice(2)).toEqual(["closed early"])
    })
  )
})
