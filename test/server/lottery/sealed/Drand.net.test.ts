/**
 * Goal: whatever the endpoints of drand do, the round of the draw is waited for, and no other is
 * ever taken. Method: HTTP servers with real rounds of quicknet, and the test clock.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { timeOfRound } from "../../../../src/domain/seal/Quicknet.ts"
import { fetchRound } from "../../../../src/server/lottery/sealed/Drand.ts"
import {
  type Answer,
  advance,
  beaconWith,
  GENUINE,
  HANG,
  NEXT_ROUND,
  PATH,
  SIGNATURES,
  settle,
  startDrand,
  statusOf,
  textOf,
  until,
  WRONG_SIGNATURE
} from "../../../support/peers/DrandEnd.ts"

const ROUND = 1000
const BEACON = { round: ROUND, signature: SIGNATURES[ROUND] }
const MAINNET = "a".repeat(192)

/** Begins to fetch the round ten seconds before it is published. */
const fetching = Effect.fnUntraced(function* (urls: ReadonlyArray<string>) {
  const log: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => void log.push(String(message)))
  yield* TestClock.setTime(1000 * (timeOfRound(ROUND) - 10))
  const fiber = yield* fetchRound(ROUND, urls).pipe(
    Effect.provide(Logger.layer([logger])),
    Effect.forkScoped
  )
  return { fiber, log }
})

const failed = (url: string, error: string) =>
  `action: beacon | result: fail | round: ${ROUND} | url: ${url} | error: ${error}`
const succeeded = (url: string) =>
  `action: beacon | result: success | round: ${ROUND} | url: ${url}`

/** Answers without end. */
const ENDLESS: Answer = (response) => {
  const more = () => {
    while (!response.destroyed && response.write("x".repeat(10_000)));
  }
  response.on("drain", more)
  more()
}

const EARLY = "the round is not there yet (HTTP status 404)"
/** What an endpoint may answer, and the reason on the log. */
const WRONG: Readonly<Record<string, readonly [Answer, string]>> = {
  "is late": [statusOf(404), EARLY],
  "is late and says so": [statusOf(425), "the round is not there yet (HTTP status 425)"],
  "has an internal error": [statusOf(500), "HTTP status 500"],
  "answers with another round": [NEXT_ROUND, "the answer is another round"],
  "answers with a wrong signature": [WRONG_SIGNATURE, "the signature is not quicknet's"],
  "answers with a damaged signature": [
    beaconWith({ signature: `${SIGNATURES[ROUND].slice(0, -1)}8`, randomness: undefined }),
    "the signature is not quicknet's"
  ],
  "answers with another chain": [
    beaconWith({ signature: MAINNET, randomness: undefined }),
    "the answer is no round of quicknet"
  ],
  "answers with a randomness that is not the signature's": [
    beaconWith({ randomness: "0".repeat(64) }),
    "the answer is no round of quicknet"
  ],
  "answers with garbage": [textOf("<html>\nround 1000"), "the answer is no round of quicknet"],
  "answers without end": [ENDLESS, "the answer is too long"],
  "does not answer": [HANG, "no answer within 10s"]
}

describe("a round of drand", () => {
  it.effect("is asked for shortly after its time, and not before", () =>
    Effect.gen(function* () {
      const drand = yield* startDrand(GENUINE)
      const { fiber, log } = yield* fetching([drand.url])
      yield* TestClock.adjust("11 seconds")
      yield* settle
      expect(drand.paths).toEqual([])
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toEqual(BEACON)
      expect(drand.paths).toEqual([PATH])
      expect(log).toEqual([succeeded(drand.url)])
    })
  )

  it.effect.each(Object.entries(WRONG))("is waited for if the endpoint %s", ([, [wrong, error]]) =>
    Effect.gen(function* () {
      const drand = yield* startDrand(wrong)
      const { fiber, log } = yield* fetching([`${drand.url}/`])
      yield* advance(600)
      expect(fiber.pollUnsafe()).toBeUndefined()
      expect(log).toEqual([failed(`${drand.url}/`, error)])
      // A pause is thirty seconds at most.
      expect(drand.paths.length).toBeGreaterThan(15)
      expect(drand.paths.length).toBeLessThan(30)
      expect(new Set(drand.paths)).toEqual(new Set([PATH]))
      drand.answerWith(GENUINE)
      yield* advance(40)
      expect(yield* Fiber.join(fiber)).toEqual(BEACON)
      expect(log.at(-1)).toBe(succeeded(`${drand.url}/`))
    })
  )

  it.effect("is waited for if no endpoint can be reached", () =>
    Effect.gen(function* () {
      const closed = yield* Effect.scoped(startDrand(GENUINE))
      const { fiber, log } = yield* fetching([closed.url])
      yield* advance(600)
      expect(fiber.pollUnsafe()).toBeUndefined()
      expect(log).toEqual([expect.stringContaining("ECONNREFUSED")])
    })
  )

  it.effect("of two endpoints that disagree is the genuine one, and the other is logged", () =>
    Effect.gen(function* () {
      const liar = yield* startDrand(WRONG_SIGNATURE)
      const honest = yield* startDrand(GENUINE)
      const { fiber, log } = yield* fetching([liar.url, honest.url])
      yield* advance(15)
      expect(yield* Fiber.join(fiber)).toEqual(BEACON)
      expect(log).toEqual([
        failed(liar.url, "the signature is not quicknet's"),
        succeeded(honest.url)
      ])
    })
  )

  it.effect("comes from one endpoint while the others do not answer", () =>
    Effect.gen(function* () {
      const silent = yield* startDrand(HANG)
      const honest = yield* startDrand(GENUINE)
      const { fiber } = yield* fetching([silent.url, honest.url])
      yield* advance(30)
      expect(yield* Fiber.join(fiber)).toEqual(BEACON)
    })
  )

  it.effect("logs each change of the reason", () =>
    Effect.gen(function* () {
      const drand = yield* startDrand(statusOf(404))
      const { log } = yield* fetching([drand.url])
      yield* advance(60)
      drand.answerWith(statusOf(502))
      yield* advance(60)
      drand.answerWith(statusOf(404))
      yield* advance(60)
      expect(log).toEqual(
        [EARLY, "HTTP status 502", EARLY].map((error) => failed(drand.url, error))
      )
    })
  )

  it.effect("is not asked for any more once the wait is interrupted", () =>
    Effect.gen(function* () {
      const drand = yield* startDrand(HANG)
      const { fiber, log } = yield* fetching([drand.url])
      yield* TestClock.adjust("15 seconds")
      yield* until(() => drand.open() === 1)
      yield* Fiber.interrupt(fiber)
      yield* until(() => drand.open() === 0)
      expect(log).toEqual([])
    })
  )
})
