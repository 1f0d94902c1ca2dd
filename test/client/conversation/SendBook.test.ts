/**
 * Goal: in the course's dialects the client gives up on a server that becomes silent during the
 * upload, and limits what it sends meanwhile. Method: a connection in memory, on the test clock.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { sendBook } from "../../../src/client/conversation/SendBook.ts"
import { ConnectionLost } from "../../../src/protocol/PeerConnection.ts"
import { bookOf, recordProgress, rows } from "../../support/clientBooks.ts"
import * as AgencyLink from "../../support/peers/AgencyLink.ts"

it.effect("a book is finished once its last batch is acknowledged", () =>
  Effect.gen(function* () {
    const { connection } = yield* AgencyLink.make
    const progress = recordProgress()
    let acknowledged = 0
    const dialect = {
      encode: () => Result.succeed(Uint8Array.of(1)),
      acknowledged: () =>
        Effect.sync(() => {
          expect(progress.isFinished).toBe(false)
          acknowledged++
        })
    }
    const book = bookOf([rows(0, 2), rows(2, 4)])
    yield* Effect.provide(sendBook(connection, 1, book, dialect, progress), NodeFileSystem.layer)
    expect(acknowledged).toBe(2)
    expect(progress.isFinished).toBe(true)
  })
)

describe("a server that does not acknowledge", () => {
  it.effect("is given up after 45 s", () =>
    Effect.gen(function* () {
      const { connection } = yield* AgencyLink.make
      const dialect = {
        encode: () => Result.succeed(Uint8Array.of(1)),
        acknowledged: () => Effect.never
      }
      const sending = yield* sendBook(
        connection,
        1,
        bookOf([rows(0, 2)]),
        dialect,
        recordProgress()
      ).pipe(Effect.provide(NodeFileSystem.layer), Effect.forkChild)
      yield* TestClock.adjust("44 seconds")
      expect(sending.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 second")
      expect(yield* Effect.flip(Fiber.join(sending))).toEqual(
        new ConnectionLost({ reason: "nothing received for 45 s" })
      )
    })
  )

  const small = Array.from({ length: 40 }, (_, index) => rows(index, index + 1))
  const large = [rows(0, 6_000), rows(6_000, 12_000), rows(12_000, 18_000)]
  for (const [what, batches, sent] of [
    ["32 small batches", small, 32],
    ["no second large batch", large, 1],
    ["a larger batch alone", [rows(0, 10_000), rows(10_000, 10_001)], 1]
  ] as const) {
    it.effect(`is sent ${what} ahead`, () =>
      Effect.gen(function* () {
        const { connection } = yield* AgencyLink.make
        let encoded = 0
        const dialect = {
          encode: () => {
            encoded++
            return Result.succeed(Uint8Array.of(1))
          },
          acknowledged: () => Effect.never
        }
        yield* sendBook(connection, 1, bookOf(batches), dialect, recordProgress()).pipe(
          Effect.provide(NodeFileSystem.layer),
          Effect.forkChild
        )
        yield* TestClock.adjust("1 second")
        expect(encoded).toBe(sent)
      })
    )
  }
})
