/**
 * Goal: messages are sent in order and within both limits, and all are answered, in whatever order
 * the two fibers run. Method: random messages and limits, and a random pause at each step. Set
 * LOTTERY_TEST_SEED to the seed of a failure to repeat it.
 */
import { Effect, FileSystem, Latch, Result, Stream } from "effect"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import type { PositionedBatch } from "../../../src/client/book/Book.ts"
import { sendAhead } from "../../../src/client/conversation/SendAhead.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"

const seed = process.env.LOTTERY_TEST_SEED
const parameters = {
  numRuns: process.env.LOTTERY_TEST_LONG ? 20_000 : 500,
  ...(seed === undefined ? {} : { seed: Number(seed) })
}

const ROW = "Ana,Paz,1,1999-03-17,7\n"
const sending = fc.record({
  counts: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 40 }),
  /** Encoded sizes, of which some end a write. */
  sizes: fc.array(fc.constantFrom(10, 70_000), { minLength: 1, maxLength: 5 }),
  maxMessages: fc.integer({ min: 1, max: 6 }),
  maxRows: fc.integer({ min: 1, max: 20 }),
  together: fc.integer({ min: 1, max: 10 }),
  pauses: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 30 })
})

it("messages are sent ahead within the limits, and all are answered", () =>
  fc.assert(
    fc.asyncProperty(sending, ({ counts, maxMessages, maxRows, pauses, sizes, together }) => {
      let steps = 0
      const pause = Effect.suspend(() =>
        Effect.yieldNow.pipe(Effect.repeat({ times: pauses[steps++ % pauses.length]! }))
      )
      const maxBytes = maxRows * ROW.length
      const weightOf = ({ batch }: PositionedBatch) => Math.min(batch.byteLength, maxBytes)
      const messages = counts.map((count, position) => ({
        position,
        batch: new BetBatch(Buffer.from(ROW.repeat(count)), count)
      }))
      const wrote = Latch.makeUnsafe()
      let encoded = 0
      let written = 0
      let answered = 0
      let bytes = 0
      const sent = sendAhead<PositionedBatch>({
        messages: Stream.fromIterable(messages).pipe(
          Stream.rechunk(together),
          Stream.mapArrayEffect((some) => Effect.as(pause, some))
        ),
        maxMessages,
        maxBytes,
        encode: (message) => {
          expect(message.position).toBe(encoded++)
          bytes += weightOf(message)
          expect(encoded - answered).toBeLessThanOrEqual(maxMessages)
          expect(bytes).toBeLessThanOrEqual(maxBytes)
          return Result.succeed(new Uint8Array(sizes[encoded % sizes.length]!))
        },
        write: () =>
          Effect.andThen(
            pause,
            Effect.suspend(() => {
              written = encoded
              return wrote.release
            })
          ),
        answered: Effect.fnUntraced(function* (message) {
          while (written <= message.position) yield* wrote.await
          yield* pause
          expect(message.position).toBe(answered++)
          bytes -= weightOf(message)
        })
      })
      return sent.pipe(
        Effect.map(() => {
          expect(answered).toBe(messages.length)
        }),
        Effect.provide(FileSystem.layerNoop({})),
        Effect.runPromise
      )
    }),
    parameters
  ))
