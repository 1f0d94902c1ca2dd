/**
 * How long the containers of a Compose project take to stop: SIGTERM to all of them at once, in the
 * middle of their books and again while they wait for the draw, as processes (see
 * test/support/processes/ComposeProject.ts). `docker compose stop -t 1` gives them one second.
 *
 * node_modules/.bin/node bench/composeDown.ts [runs]
 */
import { join } from "node:path"
import { Effect } from "effect"
import { makeProject, up } from "../test/support/processes/ComposeProject.ts"
import { type Running, runLottery } from "../test/support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"

const CLIENTS = 5
const RUNS = Number(process.argv[2] ?? 5)

/** Milliseconds from the signal to the end of each. */
const stop = (containers: Readonly<Record<string, Running>>) =>
  Effect.gen(function* () {
    const begin = performance.now()
    return yield* Effect.forEach(
      Object.values(containers),
      Effect.fnUntraced(function* ({ outcome, signal }) {
        yield* signal("SIGTERM")
        const { code, stderr } = yield* outcome
        if (code !== 0) return yield* Effect.die(new Error(stderr))
        return performance.now() - begin
      }),
      { concurrency: "unbounded" }
    )
  })

/** Brings a project up, waits until the log of each client has `line`, and stops it. */
const measure = Effect.fnUntraced(function* (bets: number, line: RegExp) {
  const folder = yield* temporaryFolder
  const project = yield* makeProject(folder, CLIENTS)
  // One agency has no book, and fails: nobody is drawn.
  const agencies = Array.from({ length: CLIENTS - 1 }, (_, index) => index + 1).join(",")
  const args = ["--agencies", agencies, "--bets", `${bets}`, "--out", join(folder, ".data")]
  yield* runLottery({ args: ["generate", ...args] })
  const { [`client${CLIENTS}`]: absent, ...containers } = yield* up(project)
  yield* absent!.outcome
  const { server: _, ...clients } = containers
  yield* Effect.forEach(Object.values(clients), ({ logged }) => logged(line))
  return yield* stop(containers)
}, Effect.scoped)

const CASES = {
  "in the middle of 300,000 bets each": [300_000, /apuestas_enviadas/],
  "while they wait for the draw": [1000, /waiting_for_draw/]
} as const

const main = Effect.gen(function* () {
  for (const [name, [bets, line]] of Object.entries(CASES)) {
    const slowest: Array<number> = []
    for (let run = 0; run < RUNS; run++) slowest.push(Math.max(...(yield* measure(bets, line))))
    slowest.sort((one, other) => one - other)
    const [first, last] = [slowest[0]!, slowest.at(-1)!].map((millis) => Math.round(millis))
    const median = Math.round(slowest[Math.floor(RUNS / 2)]!)
    console.log(`${name}: the last of all ends after ${median} ms (${first} to ${last} ms)`)
  }
})

await Effect.runPromise(main)
