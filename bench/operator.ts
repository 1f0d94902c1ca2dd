/**
 * Measures how long operators wait for a server that is at work: `lottery discard` of an agency
 * without bets and of a small book, while five clients upload at full speed. The time from
 * connecting to the answer is measured in this process, and the whole command next to `node -e 0`.
 *
 * node_modules/.bin/node bench/operator.ts [bets per client] [rounds]
 */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { Effect } from "effect"
import * as ControlClient from "../src/server/operator/ControlClient.ts"
import { COMMAND } from "../test/support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { books, startClient, startServer } from "./Lottery.ts"
import { median } from "./ProcessFigures.ts"
import * as Program from "./Program.ts"
import { nodeSeconds } from "./startUp.ts"
import { report } from "./Turns.ts"

const BETS = Number(process.argv[2] ?? 4_000_000)
const ROUNDS = Number(process.argv[3] ?? 10)
const CLIENTS = 5
const EMPTY = CLIENTS + 1
const SMALL = CLIENTS + 2
const SMALL_BETS = 1000
/** How often an agency without bets is discarded per round. */
const EMPTY_TIMES = 5

const inMillis = (seconds: ReadonlyArray<number>): string => {
  const millis = seconds.map((each) => each * 1000)
  return `${median(millis).toFixed(0)} ms, at most ${Math.max(...millis).toFixed(0)} ms`
}

const measure = Effect.fnUntraced(function* (folder: string, scheme: "csv" | "sqlite") {
  const path = join(yield* temporaryFolder, "bets")
  const store = `${scheme}:${path}`
  const large = yield* books(folder, CLIENTS, BETS)
  const small = yield* books(folder, SMALL, SMALL_BETS)
  const server = yield* startServer(folder, store, SMALL)
  const clientOf = (agency: number, from: string) =>
    startClient(folder, server, { agency, book: join(from, `agency-${agency}.csv`) })
  /** Stores the small book; its client ends with the discard. */
  const sendSmall = Effect.gen(function* () {
    const client = yield* clientOf(SMALL, small)
    yield* Program.awaitText(client, client.log, /waiting_for_draw/)
  })
  const timed = (agency: number) =>
    Effect.gen(function* () {
      const begin = performance.now()
      const asked = { draw: "default", agency, act: randomUUID() }
      const bets = yield* ControlClient.act({ _tag: scheme, path }, "default", (control) =>
        control.Discard(asked)
      )
      const expected = agency === SMALL ? SMALL_BETS : 0
      if (bets !== expected) throw new Error(`${bets} bets were discarded, not ${expected}`)
      return (performance.now() - begin) / 1000
    })
  const command = nodeSeconds(
    ...[COMMAND, "discard", "--store", store, "--agency", `${EMPTY}`, "--yes"]
  )

  const clients = yield* Effect.forEach(Array.from({ length: CLIENTS }), (_, index) =>
    clientOf(index + 1, large)
  )
  yield* Effect.sleep("1 second")
  const seconds = { empty: [] as number[], small: [] as number[], command: [] as number[] }
  const plain: Array<number> = []
  for (let round = 0; round < ROUNDS; round++) {
    yield* sendSmall
    for (let times = 0; times < EMPTY_TIMES; times++) seconds.empty.push(yield* timed(EMPTY))
    seconds.small.push(yield* timed(SMALL))
    seconds.command.push(yield* command)
    plain.push(yield* nodeSeconds("-e", "0"))
  }
  for (const { log } of clients) {
    if (!log().includes('"action":"waiting_for_draw"')) continue
    yield* Effect.fail(new Program.ProgramFailed({ message: "the books are too small" }))
  }
  yield* report(`${scheme}: discard of an agency without bets: ${inMillis(seconds.empty)}`)
  yield* report(`${scheme}: discard of ${SMALL_BETS} bets: ${inMillis(seconds.small)}`)
  yield* report(`${scheme}: the whole command: ${inMillis(seconds.command)}`)
  yield* report(`${scheme}: node -e 0: ${inMillis(plain)}`)
}, Effect.scoped)

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  for (const scheme of ["csv", "sqlite"] as const) yield* measure(folder, scheme)
}).pipe(Effect.scoped)

Effect.runPromise(main).catch((error: unknown) => {
  process.stderr.write(`${error}\n`)
  process.exitCode = 1
})
