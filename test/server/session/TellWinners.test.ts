/** Goal: repeated requests for an agency's winners take no additional time or memory. */
import { it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { describe, expect } from "vitest"
import {
  Memory,
  MessageMemory,
  MIN_MEMORY_BYTES
} from "../../../src/server/admission/MessageMemory.ts"
import { encodeOnce, sendInTurn } from "../../../src/server/session/TellWinners.ts"

const DOCUMENTS = ["10"]
const DRAWN = { winningNumber: 7574, result: undefined }

describe("the answer to an agency", () => {
  it("is encoded once per agency", () => {
    let made = 0
    const answerOf = encodeOnce(() => Result.succeed(Uint8Array.of(++made)))
    const [one, other] = [["10"], ["10"]].map((documents) => ({ documents, ...DRAWN }))
    expect([one, other, one, other].map((winners) => winners && answerOf(winners))).toEqual(
      [1, 2, 1, 2].map((count) => Result.succeed(Uint8Array.of(count)))
    )
  })

  it.live("leaves memory for other agencies when many slow connections request it", () =>
    Effect.gen(function* () {
      const memory = Memory.make(MIN_MEMORY_BYTES)
      const answer = new Uint8Array(1024 * 1024)
      const tell = (documents: ReadonlyArray<string>, say: Effect.Effect<void>) =>
        sendInTurn(
          documents,
          answer,
          say,
          new MessageMemory(memory, "127.0.0.1", memory.makeShare())
        )
      const [one, other] = [["10"], ["20"]]
      const askers = Array.from({ length: 500 }, () => tell(one, Effect.never))
      yield* Effect.forkChild(Effect.all(askers, { concurrency: "unbounded" }))
      yield* Effect.yieldNow
      yield* tell(other, Effect.void)
    })
  )

  it.live("is written to up to 64 slow connections at a time", () =>
    Effect.gen(function* () {
      const memory = Memory.make(MIN_MEMORY_BYTES)
      const held = new MessageMemory(memory, "127.0.0.1", memory.makeShare())
      const tell = (say: Effect.Effect<void>) =>
        sendInTurn(DOCUMENTS, new Uint8Array(2000), say, held)
      for (let askers = 0; askers < 63; askers++) {
        yield* Effect.forkChild(tell(Effect.never), { startImmediately: true })
      }
      yield* tell(Effect.void)
    })
  )

  it.live("waits for memory unless it is small", () =>
    Effect.gen(function* () {
      const memory = Memory.make(MIN_MEMORY_BYTES)
      const held = new MessageMemory(memory, "127.0.0.1", memory.makeShare())
      const tell = (bytes: number) => sendInTurn(["10"], new Uint8Array(bytes), Effect.void, held)
      yield* memory.accepted.take("another address", memory.accepted.capacity)
      yield* tell(1024)
      const waiting = yield* Effect.forkChild(tell(1025), { startImmediately: true })
      yield* Effect.yieldNow
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* memory.accepted.release(memory.accepted.capacity)
      yield* Fiber.join(waiting)
      expect(yield* memory.accepted.available).toBe(memory.accepted.capacity)
    })
  )
})
