/**
 * Fetches a round of drand's quicknet over HTTP. A round that is late is waited for, however long
 * it takes; another one is never taken. Loaded on demand: the HTTP client is large.
 */
import { Clock, Duration, Effect, Result, Schedule, Stream } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import { logAction } from "../../../domain/ActionLog.ts"
import { reasonOf } from "../../../domain/HttpReason.ts"
import { isGenuine } from "../../../domain/seal/BeaconCheck.ts"
import { type Beacon, CHAIN, timeOfRound } from "../../../domain/seal/Quicknet.ts"
import { parseBeacon } from "../../../protocol/notes/BeaconFile.ts"

const MILLIS = 1000
/** The network needs about a second to make a round and spread it. */
const PUBLICATION_MILLIS = 2000
/** Maximum time until the next look at the clock, which may be changed. */
const MAX_SLEEP_MILLIS = 60_000
/** For the whole answer of an endpoint. */
const ANSWER_TIMEOUT = Duration.seconds(10)
/** Bytes that are read of an answer, which has about 300. */
const MAX_ANSWER_BYTES = 64 * 1024
const TOO_EARLY = [404, 425]

/** The pauses grow from one second to thirty. */
const PAUSES = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("30 seconds")])

const untilPublished = Effect.fnUntraced(function* (round: number) {
  const publishedAt = MILLIS * timeOfRound(round) + PUBLICATION_MILLIS
  while (true) {
    const left = publishedAt - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    yield* Effect.sleep(Math.min(left, MAX_SLEEP_MILLIS))
  }
})

const textOf = Effect.fnUntraced(function* (response: HttpClientResponse) {
  let bytes = 0
  const chunks = yield* response.stream.pipe(
    Stream.takeUntil((chunk) => {
      bytes += chunk.length
      return bytes > MAX_ANSWER_BYTES
    }),
    Stream.runCollect,
    Effect.mapError(reasonOf)
  )
  if (bytes > MAX_ANSWER_BYTES) return yield* Effect.fail("the answer is too long")
  return Buffer.concat(chunks).toString()
})

/** Asks an endpoint for a round; fails with the reason why it did not give it. */
const askFor = Effect.fnUntraced(
  function* (round: number, url: string) {
    const client = yield* HttpClient.HttpClient
    const path = `${url.replace(/\/+$/, "")}/${CHAIN}/public/${round}`
    const response = yield* Effect.mapError(client.get(path), reasonOf)
    const { status } = response
    if (TOO_EARLY.includes(status)) {
      return yield* Effect.fail(`the round is not there yet (HTTP status ${status})`)
    }
    if (status !== 200) return yield* Effect.fail(`HTTP status ${status}`)
    const parsed = parseBeacon(yield* textOf(response))
    // Without its reason, which may repeat what an endpoint sent.
    if (Result.isFailure(parsed)) return yield* Effect.fail("the answer is no round of quicknet")
    const beacon = parsed.success
    if (beacon.round !== round) return yield* Effect.fail("the answer is another round")
    if (!(yield* isGenuine(beacon))) return yield* Effect.fail("the signature is not quicknet's")
    return beacon
  },
  Effect.timeoutOrElse({
    duration: ANSWER_TIMEOUT,
    orElse: () => Effect.fail(`no answer within ${Duration.format(ANSWER_TIMEOUT)}`)
  }),
  Effect.catchDefect((defect) => Effect.fail(`internal error: ${String(defect)}`))
)

/** An endpoint that logs why it does not give the round, once for each change of the reason. */
const endpointOf = (round: number, url: string) => {
  let logged = ""
  const report = (error: string) =>
    Effect.suspend(() => {
      if (error === logged) return Effect.void
      logged = error
      return logAction("beacon", "fail", { round, url, error })
    })
  return askFor(round, url).pipe(
    Effect.tapError(report),
    Effect.map((beacon) => ({ beacon, url }))
  )
}

/** Waits until the round is published; then asks all endpoints until one of them gives it. */
export const fetchRound = Effect.fnUntraced(
  function* (
    round: number,
    urls: ReadonlyArray<string>
  ): Effect.fn.Return<Beacon, never, HttpClient.HttpClient> {
    yield* untilPublished(round)
    const endpoints = urls.map((url) => endpointOf(round, url))
    const askAll = Effect.gen(function* () {
      // All of them answer before one is taken, so that a false one does not pass unnoticed.
      const answers = yield* Effect.forEach(endpoints, Effect.result, { concurrency: "unbounded" })
      const genuine = answers.find(Result.isSuccess)
      return yield* genuine === undefined
        ? Effect.fail("no endpoint has the round")
        : Effect.succeed(genuine.success)
    })
    const { beacon, url } = yield* Effect.retryOrElse(askAll, PAUSES, Effect.die)
    yield* logAction("beacon", "success", { round, url })
    return beacon
  },
  Effect.provideService(HttpClient.TracerPropagationEnabled, false),
  Effect.provide(FetchHttpClient.layer)
)
