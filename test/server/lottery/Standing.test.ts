/** Goal: a caller that waits for a new standing wakes at each change, and only then. */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { expect } from "vitest"
import { Standings } from "../../../src/server/lottery/Standing.ts"

it.effect("each change creates a new standing and wakes the waiting callers", () =>
  Effect.gen(function* () {
    const standings = new Standings([1, 2])
    for (const [change, finished] of [
      [standings.finish(1), 1],
      [standings.discard(1), 0],
      [standings.finish(2), 1],
      [standings.finish(1), 2]
    ] as const) {
      const known = standings.now()
      const waiting = yield* Effect.forkChild(standings.changedFrom(known), {
        startImmediately: true
      })
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* change
      yield* Fiber.join(waiting)
      yield* standings.changedFrom(known)
      expect(standings.now()).toEqual({ finished, expected: 2 })
    }
    expect([standings.allFinished(), standings.hasFinished(1)]).toEqual([true, true])
  })
)

it.effect("the standing stays the same object if nothing changes", () =>
  Effect.gen(function* () {
    const standings = new Standings([1, 2])
    yield* standings.finish(2)
    const known = standings.now()
    for (const change of [standings.discard(1), standings.discard(7), standings.finish(2)]) {
      yield* change
      expect(standings.now()).toBe(known)
    }
    expect([1, 2, 7].filter((agency) => standings.hasFinished(agency))).toEqual([2])
  })
)
