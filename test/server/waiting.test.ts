/**
 * Goal: an agency that waits for the draw hears in the native dialect how many have finished, as
 * often as the wire says and no more. Method: the conversation within this process, on the test
 * clock.
 */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { ModelMachine, type ModelPeer } from "../support/ModelMachine.ts"
import * as M from "../support/messages.ts"

/** The messages that a peer has heard since it was last asked. */
const heardBy = (machine: ModelMachine, peer: ModelPeer) =>
  Effect.map(machine.settle, () => M.controlsIn(peer.heard()))

const waiting = (finished: number) => ({ _tag: "Waiting", finished, expected: 3 })

/** Connects an agency, and finishes it with an empty book. */
const finished = Effect.fnUntraced(function* (machine: ModelMachine, agency: number) {
  const peer = yield* machine.connect("native")
  peer.send(Buffer.concat([M.helloOf(agency), M.finishOf([])]))
  expect((yield* heardBy(machine, peer)).map(({ _tag }) => _tag)).toEqual(["Welcome", "Finished"])
  return peer
})

describe("an agency that waits", () => {
  it.effect("hears the standing at once, every 15 s, and a second after it was last said", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1, 2, 3], 7574)
      yield* machine.start
      const peer = yield* finished(machine, 1)
      peer.send(M.AWAIT_WINNERS)
      expect(yield* heardBy(machine, peer)).toEqual([waiting(1)])
      for (let times = 0; times < 3; times++) {
        yield* TestClock.adjust("14999 millis")
        expect(yield* heardBy(machine, peer)).toEqual([])
        yield* TestClock.adjust("1 milli")
        expect(yield* heardBy(machine, peer)).toEqual([waiting(1)])
      }
      yield* finished(machine, 2)
      yield* TestClock.adjust("999 millis")
      expect(yield* heardBy(machine, peer)).toEqual([])
      yield* TestClock.adjust("1 milli")
      expect(yield* heardBy(machine, peer)).toEqual([waiting(2)])
      yield* TestClock.adjust("5 seconds")
      yield* finished(machine, 3)
      expect(yield* heardBy(machine, peer)).toEqual([
        waiting(3),
        { _tag: "Winners", number: 7574, documents: [], more: false }
      ])
    })
  )

  it.effect("is sent away when its book is discarded, and counts no more", () =>
    Effect.gen(function* () {
      const machine = new ModelMachine([1, 2, 3], 7574)
      yield* machine.start
      const [first, second] = [yield* finished(machine, 1), yield* finished(machine, 2)]
      for (const peer of [first, second]) peer.send(M.AWAIT_WINNERS)
      yield* machine.settle
      yield* machine.discard(1)
      const said = yield* heardBy(machine, first)
      expect(said.at(-1)).toMatchObject({ _tag: "Rejected", code: "Superseded" })
      expect(said.at(-1)?.message).toContain("agency 1 was discarded")
      expect(first.isClosed()).toBe(true)
      yield* heardBy(machine, second)
      yield* TestClock.adjust("1 second")
      expect(yield* heardBy(machine, second)).toEqual([waiting(1)])
    })
  )
})
