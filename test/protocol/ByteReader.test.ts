/** Goal: a reader remembers the end of its stream, counts what was left, and frees taken bytes. */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import { ByteQueue, EndOfStream, make } from "../../src/protocol/ByteReader.ts"

describe("the end of a stream", () => {
  it.effect("is remembered, although the stream reports it only once", () =>
    Effect.gen(function* () {
      const pulls = [
        Effect.succeed([Uint8Array.of(1, 2)]),
        Effect.succeed([Uint8Array.of(3)]),
        Effect.fail(new EndOfStream({ pending: 0 }))
      ]
      const reader = make<never>(Effect.suspend(() => pulls.shift() ?? Effect.never))
      expect(yield* reader.take(2)).toEqual(Uint8Array.of(1, 2))
      expect(yield* Effect.flip(reader.peek(2))).toEqual(new EndOfStream({ pending: 1 }))
      expect(yield* Effect.flip(reader.fill)).toEqual(new EndOfStream({ pending: 1 }))
      expect(yield* reader.take(1)).toEqual(Uint8Array.of(3))
      expect(yield* Effect.flip(reader.take(1))).toEqual(new EndOfStream({ pending: 0 }))
    })
  )
})

it.effect("a broken stream is not reported as ended", () =>
  Effect.gen(function* () {
    const reader = make(Effect.fail("broken"))
    for (const read of [reader.fill, reader.peek(1), reader.take(1)]) {
      expect(yield* Effect.flip(read)).toBe("broken")
    }
  })
)

describe("an expected run", () => {
  it.effect("has one buffer for any number of chunks", () =>
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

describe("the taken part of a large message", () => {
  it.effect("is freed if only a few bytes follow it", () =>
    Effect.gen(function* () {
      const pulls = [Effect.succeed([Buffer.alloc(1024 * 1024)])]
      const reader = make<never>(Effect.suspend(() => pulls.shift() ?? Effect.never))
      yield* reader.take(1024 * 1024 - 3)
      yield* Effect.forkChild(reader.fill, { startImmediately: true })
      expect(reader.buffered().buffer.byteLength).toBe(3)
    })
  )

  it.effect("is freed while the reader waits for more", () =>
    Effect.gen(function* () {
      const message = Buffer.alloc(1024 * 1024)
      const pulls = [Effect.succeed([message]), Effect.succeed([Uint8Array.of(1)])]
      const reader = make<never>(Effect.suspend(() => pulls.shift() ?? Effect.never))
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

describe("a received chunk", () => {
  const received = (...chunks: ReadonlyArray<Uint8Array>) => {
    const queue = new ByteQueue()
    for (const chunk of chunks) queue.push(chunk)
    return queue
  }

  it("is freed once it is copied", () => {
    const chunks = [Uint8Array.of(1, 2), Uint8Array.of(3), Uint8Array.of(4)]
    expect(received(...chunks).bytes).toEqual(Uint8Array.of(1, 2, 3, 4))
    expect(chunks.map(({ length }) => length)).toEqual([0, 0, 0])
  })

  it("is kept if bytes were taken from it", () => {
    const chunk = Uint8Array.of(1, 2, 3)
    const queue = received(chunk)
    const taken = queue.take(2)
    queue.push(Uint8Array.of(4))
    expect(queue.bytes).toEqual(Uint8Array.of(3, 4))
    expect(taken).toEqual(Uint8Array.of(1, 2))
  })

  it("is kept if it shares its buffer", () => {
    const shared = Uint8Array.of(1, 2, 3, 4)
    expect(received(shared.subarray(0, 2), shared.subarray(2)).bytes).toEqual(shared)
    expect(shared).toEqual(Uint8Array.of(1, 2, 3, 4))
  })
})
