/**
 * Goal: a reader knows that its stream has ended, and how much of a message was left; and it keeps
 * no bytes that were taken.
 */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import { ByteQueue, EndOfStream, make } from "../../src/protocol/ByteReader.ts"

describe("the end of a stream", () => {
  it.effect("is known ever after, although the stream says it once", () =>
    Effect.gen(function* () {
      const said = [
        Effect.succeed([Uint8Array.of(1, 2)]),
        Effect.succeed([Uint8Array.of(3)]),
        Effect.fail(new EndOfStream({ pending: 0 }))
      ]
      const reader = make<never>(Effect.suspend(() => said.shift() ?? Effect.never))
      expect(yield* reader.take(2)).toEqual(Uint8Array.of(1, 2))
      expect(yield* Effect.flip(reader.peek(2))).toEqual(new EndOfStream({ pending: 1 }))
      expect(yield* Effect.flip(reader.fill)).toEqual(new EndOfStream({ pending: 1 }))
      expect(yield* reader.take(1)).toEqual(Uint8Array.of(3))
      expect(yield* Effect.flip(reader.take(1))).toEqual(new EndOfStream({ pending: 0 }))
    })
  )
})

it.effect("a stream that breaks has not ended", () =>
  Effect.gen(function* () {
    const reader = make(Effect.fail("broken"))
    for (const read of [reader.fill, reader.peek(1), reader.take(1)]) {
      expect(yield* Effect.flip(read)).toBe("broken")
    }
  })
)

describe("a run that is waited for", () => {
  it.effect("has one buffer, however many chunks it comes in", () =>
    Effect.gen(function* () {
      const queue = new ByteQueue()
      queue.expect(1024 * 1024)
      queue.push(new Uint8Array(1000))
      queue.push(new Uint8Array(1000))
      const { buffer } = queue.bytes
      for (let chunks = 0; chunks < 10; chunks++) {
        queue.trim()
        queue.push(new Uint8Array(1000))
        expect(queue.bytes.buffer).toBe(buffer)
      }
    })
  )
})

describe("what was taken", () => {
  it.effect("of a large message is not kept for the few bytes behind it", () =>
    Effect.gen(function* () {
      const said = [Effect.succeed([Buffer.alloc(1024 * 1024)])]
      const reader = make<never>(Effect.suspend(() => said.shift() ?? Effect.never))
      yield* reader.take(1024 * 1024 - 3)
      yield* Effect.forkChild(reader.fill, { startImmediately: true })
      expect(reader.buffered().buffer.byteLength).toBe(3)
    })
  )

  it.effect("of a large message is not kept while more is waited for", () =>
    Effect.gen(function* () {
      const message = Buffer.alloc(1024 * 1024)
      const said = [Effect.succeed([message]), Effect.succeed([Uint8Array.of(1)])]
      const reader = make<never>(Effect.suspend(() => said.shift() ?? Effect.never))
      expect((yield* reader.take(message.length - 3)).length).toBe(message.length - 3)
      yield* reader.fill
      expect(reader.buffered()).toEqual(Uint8Array.of(0, 0, 0, 1))
      expect(reader.buffered().buffer.byteLength).toBe(1024)
      yield* reader.take(4)
      const waiting = yield* Effect.forkChild(reader.fill, { startImmediately: true })
      expect(reader.buffered().buffer.byteLength).toBe(0)
      yield* Fiber.interrupt(waiting)
    })
  )
})
