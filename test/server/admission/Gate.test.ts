/** Goal: while the gate is closed nobody reads, not even who comes then or was just let through. */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import { Gate } from "../../../src/server/admission/Gate.ts"

const makeInlet = (gate: Gate) => {
  const calls: Array<string> = []
  const inlet = { start: () => void calls.push("start"), stop: () => void calls.push("stop") }
  gate.add(inlet)
  return { calls, leave: () => gate.remove(inlet) }
}

describe("the gate", () => {
  it("stops and starts those who are there, and who comes while it is closed", () => {
    const gate = new Gate()
    const [there, gone] = [makeInlet(gate), makeInlet(gate)]
    gone.leave()
    for (let times = 0; times < 2; times++) gate.close()
    const late = makeInlet(gate)
    for (let times = 0; times < 2; times++) gate.open()
    expect([there.calls, gone.calls, late.calls]).toEqual([
      ["stop", "start"],
      [],
      ["stop", "start"]
    ])
  })

  it.effect("lets nobody through once one who was let through has filled the room again", () =>
    Effect.gen(function* () {
      const gate = new Gate()
      yield* gate.passage
      gate.close()
      const fills = Effect.map(gate.passage, () => gate.close())
      yield* Effect.forkChild(fills, { startImmediately: true })
      const waiting = yield* Effect.forkChild(gate.passage, { startImmediately: true })
      gate.open()
      yield* Effect.yieldNow
      expect([gate.isClosed, waiting.pollUnsafe()]).toEqual([true, undefined])
      gate.open()
      yield* Fiber.join(waiting)
    })
  )
})
