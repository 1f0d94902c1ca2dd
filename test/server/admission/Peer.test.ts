/**
 * Goal: discarded input takes no memory, and a peer can read the last answer before the server
 * closes. Method: a connection within this process.
 */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { expect } from "vitest"
import { Memory, MessageMemory } from "../../../src/server/admission/MessageMemory.ts"
import { discardInput, linger } from "../../../src/server/admission/Peer.ts"
import { defaultLimits } from "../../../src/server/admission/ServerLimits.ts"
import * as ModelConnection from "../../support/model/ModelConnection.ts"

const makePeer = () => {
  const memory = Memory.make(defaultLimits.maxMemoryBytes)
  const held = new MessageMemory(memory, "127.0.0.1", memory.makeShare())
  const { connection, ...link } = ModelConnection.make(held.room)
  const accepted = Effect.void
  const peer = { ip: "127.0.0.1", connection, memory: held, certificate: undefined, accepted }
  const { available, capacity } = memory.unaccepted
  return { ...link, bytes: Effect.map(available, (free) => capacity - free), peer }
}

it.effect("discarding input releases its memory and that of an unfinished message", () =>
  Effect.gen(function* () {
    const { bytes, peer, send } = makePeer()
    const reading = yield* Effect.forkChild(peer.connection.reader.take(100_000))
    send(Buffer.alloc(10))
    yield* TestClock.adjust(0)
    expect(yield* bytes).toBe(100_000)
    yield* Fiber.interrupt(reading)
    yield* Effect.forkChild(discardInput(peer))
    yield* TestClock.adjust(0)
    expect(yield* bytes).toBe(0)
    send(Buffer.alloc(1000))
    yield* TestClock.adjust(0)
    expect(yield* bytes).toBe(0)
  })
)

it.effect("lingering half-closes and gives the peer time to close", () =>
  Effect.gen(function* () {
    for (const closes of [true, false]) {
      const { halfClose, isEnded, peer, send } = makePeer()
      const parting = yield* Effect.forkChild(linger(peer, "1 second"))
      yield* TestClock.adjust("999 millis")
      expect([isEnded(), parting.pollUnsafe()]).toEqual([true, undefined])
      send(Buffer.alloc(1000))
      if (closes) halfClose()
      yield* TestClock.adjust(closes ? 0 : 1)
      expect(parting.pollUnsafe()).toBeDefined()
    }
  })
)
