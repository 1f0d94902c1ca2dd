/**
 * Measures how long the containers of a Compose project take to stop after a simultaneous SIGTERM:
 * during uploads, and while they wait for the draw. They run as processes (see
 * test/support/processes/ComposeProject.ts). `docker compose stop -t 1` allows one second.
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

const millisToStop = (containers: Readonly<Record<string, Running>>) =>
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

const measure = Effect.fnUntraced(function* (bets: number, line: RegExp) {
  const folder = yield* temporaryFolder
  const project = yield* makeProject(folder, CLIENTS)
  // One agency has no book and fails, so the draw is not held.
  const agencies = Array.from({ length: CLIENTS - 1 }, (_, index) => index + 1).join(",")
  const args = ["--agencies", agencies, "--bets", `${bets}`, "--out", join(folder, ".data")]
  yield* runLottery({ args: ["generate", ...args] })
  const { [`client${CLIENTS}`]: absent, ...containers } = yield* up(project)
  yield* absent!.outcome
  const { server: _, ...clients } = containers
  yield* Effect.forEach(Object.values(clients), ({ logged }) => logged(line))
  return yield* millisToStop(containers)
}, Effect.scoped)

const CASES = {
  "during uploads of 300,000 bets per client": [300_000, /apuestas_enviadas/],
  "while clients wait for the draw": [1000, /waiting_for_draw/]
} as const

const main = Effect.gen(function* () {
  for (const [name, [bets, line]] of Object.entries(CASES)) {
    const slowest: Array<number> = []
    for (let run = 0; run < RUNS; run++) slowest.push(Math.max(...(yield* measure(bets, line))))
    slowest.sort((one, other) => one - other)
    const [first, last] = [slowest[0]!, slowest.at(-1)!].map((millis) => Math.round(millis))
    const median = Math.round(slowest[Math.floor(RUNS / 2)]!)
    console.log(`${name}: the last container ends after ${median} ms (${first} to ${last} ms)`)
  }
})

await Effect.runPromise(main)
