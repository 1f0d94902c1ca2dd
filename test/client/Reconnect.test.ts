/** Goal: when a client retries and when it does not, and what it logs. Method: the test clock. */
import { it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { BookChanged } from "../../src/client/book/Book.ts"
import type { ConversationError } from "../../src/client/conversation/Conversation.ts"
import { AnotherBook } from "../../src/client/conversation/StoredBook.ts"
import { delayMillis, reconnecting } from "../../src/client/Reconnect.ts"
import { Refused, Unreachable } from "../../src/client/ServerFailure.ts"
import type { UploadProgress } from "../../src/client/UploadProgress.ts"
import { FileUnavailable } from "../../src/domain/FileUnavailable.ts"
import { BadMessage } from "../../src/protocol/BytesCodec.ts"
import { ConnectionLost } from "../../src/protocol/PeerConnection.ts"
import { keepLog, recordProgress } from "../support/clientBooks.ts"
import { makeSettableClock } from "../support/model/SettableClock.ts"

const LOST = new ConnectionLost({ reason: "reset" })
const NOWHERE = new Unreachable({ server: { host: "nowhere", port: 1 }, reason: "refused" })

type Attempt = (
  progress: UploadProgress,
  number: number
) => Effect.Effect<string, ConversationError>

/** Runs attempts for a while and returns the time of each in milliseconds. */
const attemptsIn = Effect.fnUntraced(function* (duration: `${number} seconds`, attempt: Attempt) {
  const times: Array<number> = []
  const progress = recordProgress()
  const log = keepLog()
  const fiber = yield* reconnecting(
    3,
    progress,
    Effect.gen(function* () {
      times.push(yield* Clock.currentTimeMillis)
      return yield* attempt(progress, times.length)
    })
  ).pipe(Effect.provide(log.layer), Effect.forkChild)
  yield* TestClock.adjust(duration)
  const gaps = times.slice(1).map((time, index) => time - times[index]!)
  return { times, gaps, told: progress.told, log: log.lines, fiber }
})

describe("the delay", () => {
  it("starts at 100 ms, doubles up to 5 s, and is partly random", () => {
    const shortest = [0, 1, 2, 3, 4, 5, 6, 5000].map((failures) => delayMillis(failures, 0))
    expect(shortest).toEqual([100, 200, 400, 800, 1600, 2500, 2500, 2500])
    const longest = [0, 1, 2, 3, 4, 5, 6, 5000].map((failures) => delayMillis(failures, 1))
    expect(longest).toEqual([200, 400, 800, 1600, 3200, 5000, 5000, 5000])
  })

  it.effect("separates the attempts, which never end", () =>
    Effect.gen(function* () {
      const { gaps, told } = yield* attemptsIn("600 seconds", () => Effect.fail(LOST))
      for (const [failures, gap] of gaps.entries()) {
        expect(gap).toBeGreaterThanOrEqual(delayMillis(failures, 0))
        expect(gap).toBeLessThanOrEqual(delayMillis(failures, 1))
      }
      expect(gaps.length).toBeGreaterThan(600 / 5)
      expect(new Set(gaps.slice(10)).size).toBeGreaterThan(10)
      expect(new Set(told)).toEqual(new Set(["connection lost: reset"]))
    })
  )

  it.effect("grows if the server answers but stores nothing new", () =>
    Effect.gen(function* () {
      const { gaps } = yield* attemptsIn("60 seconds", (progress) =>
        Effect.andThen(progress.acknowledge(2), Effect.fail(LOST))
      )
      expect(gaps[0]).toBeLessThanOrEqual(200)
      expect(gaps[6]).toBeGreaterThanOrEqual(2500)
    })
  )

  it.effect("resets once more bets are acknowledged or the agency waits", () =>
    Effect.gen(function* () {
      for (const answer of ["acknowledged", "waiting"] as const) {
        const { gaps, told } = yield* attemptsIn("60 seconds", (progress, number) =>
          Effect.andThen(
            number % 5 !== 0
              ? Effect.void
              : answer === "waiting"
                ? progress.wait({ finished: 1, expected: 2 })
                : progress.acknowledge(number),
            Effect.fail(LOST)
          )
        )
        // The delays after the successful attempt and after the next one.
        expect(gaps[3]).toBeGreaterThanOrEqual(800)
        expect(gaps[4]).toBeLessThanOrEqual(200)
        expect(gaps[5]).toBeLessThanOrEqual(400)
        expect(gaps[9]).toBeLessThanOrEqual(200)
        expect(told).toContain(answer === "waiting" ? "1 of 2" : 5)
      }
    })
  )
})

describe("an attempt", () => {
  it.effect("knows the highest number of acknowledged bets", () =>
    Effect.gen(function* () {
      const known: Array<number> = []
      const progress = recordProgress()
      const attempt = Effect.suspend(() => {
        known.push(progress.acknowledged)
        const resumed = [5, 3, 4][known.length - 1]
        return resumed === undefined
          ? Effect.void
          : Effect.andThen(progress.resume(resumed), Effect.fail(LOST))
      })
      yield* reconnecting(3, progress, attempt).pipe(
        Effect.provide(keepLog().layer),
        Effect.forkChild
      )
      yield* TestClock.adjust("10 seconds")
      expect(known).toEqual([0, 5, 5, 5])
    })
  )

  it.effect("that succeeds is the last", () =>
    Effect.gen(function* () {
      const { fiber, times } = yield* attemptsIn("60 seconds", (_, number) =>
        number === 3 ? Effect.succeed("winners") : Effect.fail(number === 1 ? NOWHERE : LOST)
      )
      expect(yield* Fiber.join(fiber)).toBe("winners")
      expect(times).toHaveLength(3)
    })
  )

  it.effect("is repeated after a retryable refusal", () =>
    Effect.gen(function* () {
      const busy = new Refused({ reason: "full", code: "Busy", retryable: true })
      const { times } = yield* attemptsIn("5 seconds", () => Effect.fail(busy))
      expect(times.length).toBeGreaterThan(3)
    })
  )

  const final: ReadonlyArray<ConversationError> = [
    new Refused({ reason: "another", code: "Superseded", retryable: false }),
    new BadMessage({ reason: "no JSON" }),
    new BookChanged({ checked: 1, read: 2 }),
    new AnotherBook({ agency: 3, stored: 1, total: 2 }),
    new FileUnavailable({ file: "book", reason: "is gone" })
  ]
  for (const error of final) {
    it.effect(`that fails with ${error._tag} is the last`, () =>
      Effect.gen(function* () {
        const { fiber, log, times, told } = yield* attemptsIn("60 seconds", () =>
          Effect.fail(error)
        )
        expect(yield* Effect.flip(Fiber.join(fiber))).toBe(error)
        expect(times).toHaveLength(1)
        expect({ log, told }).toEqual({ log: [], told: [] })
      })
    )
  }
})

describe("the log", () => {
  it.effect("warns of each failure, with the delay", () =>
    Effect.gen(function* () {
      const { gaps, log } = yield* attemptsIn("2 seconds", (_, number) =>
        Effect.fail(number % 2 === 1 ? NOWHERE : LOST)
      )
      expect(gaps.length).toBeGreaterThanOrEqual(3)
      expect(log.slice(0, 3)).toEqual(
        gaps
          .slice(0, 3)
          .map(
            (gap, index) =>
              "WARNING action: connection | result: fail | agencia: 3 | error: " +
              (index % 2 === 0 ? "cannot reach nowhere:1: refused" : "connection lost: reset") +
              ` | retry_ms: ${gap}`
          )
      )
    })
  )

  it.effect("repeats an error just as often if the time of day is set back", () =>
    Effect.gen(function* () {
      const { run, setBack } = yield* makeSettableClock
      const log = keepLog()
      yield* reconnecting(3, recordProgress(), Effect.fail(LOST)).pipe(
        Effect.provide(log.layer),
        run,
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      yield* setBack("1 hour")
      yield* TestClock.adjust("100 seconds")
      expect(log.lines.length).toBeGreaterThanOrEqual(6)
    })
  )

  it.effect("repeats the same error at most every 10 s", () =>
    Effect.gen(function* () {
      const { log, times } = yield* attemptsIn("100 seconds", () => Effect.fail(LOST))
      expect(times.length).toBeGreaterThan(20)
      expect(log.length).toBeGreaterThanOrEqual(6)
      expect(log.length).toBeLessThanOrEqual(10)
    })
  )
})
