/** An endpoint of drand for tests: a real HTTP server that can misbehave. */
import { createServer, type ServerResponse } from "node:http"
import { setImmediate, setTimeout as sleep } from "node:timers/promises"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { CHAIN, randomnessOf } from "../../../src/domain/seal/Quicknet.ts"
import { ROUNDS } from "../SealVectors.ts"
import * as LoopbackServer from "./loopbackServer.ts"

/** Signatures of real rounds of quicknet, of 2023. */
export const SIGNATURES = { 1000: ROUNDS[1].signature, 1001: ROUNDS[2].signature } as const

/** How an endpoint answers a request. */
export type Answer = (response: ServerResponse) => void

const json =
  (body: unknown): Answer =>
  (response) =>
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body))

/** The beacon of round 1000, with what is given in place of its own. */
export const beaconWith = (more: Readonly<Record<string, unknown>> = {}): Answer => {
  const signature = SIGNATURES[1000]
  return json({ round: 1000, randomness: randomnessOf(signature), signature, ...more })
}

export const GENUINE = beaconWith()

/** The genuine beacon of the next round. */
export const NEXT_ROUND = beaconWith({
  round: 1001,
  signature: SIGNATURES[1001],
  randomness: randomnessOf(SIGNATURES[1001])
})

/** The signature of the next round under the number of this one. */
export const WRONG_SIGNATURE = beaconWith({
  signature: SIGNATURES[1001],
  randomness: randomnessOf(SIGNATURES[1001])
})

export const statusOf =
  (status: number): Answer =>
  (response) =>
    response.writeHead(status).end("no")

export const textOf =
  (text: string): Answer =>
  (response) =>
    response.writeHead(200).end(text)

export const HANG: Answer = () => {}

/** Starts an endpoint on a free port; it stops when its scope closes. */
export const startDrand = Effect.fnUntraced(function* (first: Answer) {
  const paths: Array<string> = []
  let answer = first
  let open = 0
  const server = createServer((request, response) => {
    open++
    response.once("close", () => open--)
    paths.push(request.url ?? "")
    answer(response)
  })
  const port = yield* LoopbackServer.listen(server)
  return {
    url: `http://127.0.0.1:${port}`,
    /** The paths of the requests so far. */
    paths,
    /** Requests without an answer. */
    open: () => open,
    answerWith: (next: Answer) => {
      answer = next
    }
  }
})

export const PATH = `/${CHAIN}/public/1000`

/** A request and its answer within one process take about six turns of the event loop. */
const TURNS = 20

/** Lets what happens on the sockets of this process happen. */
export const settle = Effect.promise(async () => {
  await sleep(5)
  for (let turn = 0; turn < TURNS; turn++) await setImmediate()
})

/** Waits in real time. */
export const until = (happened: () => boolean) =>
  Effect.gen(function* () {
    while (!happened()) yield* settle
  })

/** Advances the test clock in steps that are shorter than the timeout of an answer. */
export const advance = (seconds: number) =>
  Effect.gen(function* () {
    for (let left = seconds; left > 0; left -= 5) {
      yield* TestClock.adjust(`${Math.min(left, 5)} seconds`)
      yield* settle
    }
  })
