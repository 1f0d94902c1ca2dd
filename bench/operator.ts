/**
 * Measures how long operators wait for a server that is at work, while five clients upload at full
 * speed: `lottery close` of an agency, `lottery draw` (refused, as books are unfinished), `lottery
 * discard` of an agency without bets and of a small book. The time from connecting to the answer is
 * measured in this process, and the whole command next to `node -e 0`.
 *
 * node_modules/.bin/node bench/operator.ts [bets per client] [rounds]
 */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { Effect, Result } from "effect"
import * as ControlClient from "../src/server/operator/control/ControlClient.ts"
import { COMMAND } from "../test/support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { books, startClient, startServer } from "./measure/Lottery.ts"
import { median } from "./measure/ProcessFigures.ts"
import * as Program from "./measure/Program.ts"
import { report } from "./measure/Turns.ts"
import { nodeSeconds } from "./sections/startUp.ts"

const BETS = Number(process.argv[2] ?? 10_000_000)
const ROUNDS = Number(process.argv[3] ?? 10)
const CLIENTS = 5
const DRAW = "default"
const EMPTY = CLIENTS + 1
const SMALL = CLIENTS + 2
const SMALL_BETS = 1000
/** How often each act without bets is timed per round. */
const TIMES = 5
/** The agencies that are excluded, one after the other. */
const FIRST_EXCLUDED = SMALL + 1
const AGENCIES = SMALL + ROUNDS * TIMES

const inMillis = (seconds: ReadonlyArray<number>): string => {
  const millis = seconds.map((each) => each * 1000)
  return `${median(millis).toFixed(0)} ms, at most ${Math.max(...millis).toFixed(0)} ms`
}

const measure = Effect.fnUntraced(function* (folder: string, scheme: "csv" | "sqlite") {
  const path = join(yield* temporaryFolder, "bets")
  const store = `${scheme}:${path}`
  const large = yield* books(folder, CLIENTS, BETS)
  const small = yield* books(folder, SMALL, SMALL_BETS)
  const server = yield* startServer(folder, store, AGENCIES)
  const clientOf = (agency: number, from: string) =>
    startClient(folder, server, { agency, book: join(from, `agency-${agency}.csv`) })
  /** Stores the small book; its client ends with the discard. */
  const sendSmall = Effect.gen(function* () {
    const client = yield* clientOf(SMALL, small)
    yield* Program.awaitText(client, client.log, /waiting_for_draw/)
  })
  const timed = <A>(ask: ControlClient.Ask<A>) =>
    Effect.gen(function* () {
      const begin = performance.now()
      const result = yield* Effect.result(ControlClient.act({ _tag: scheme, path }, DRAW, ask))
      return { result, seconds: (performance.now() - begin) / 1000 }
    })
  const timedDiscard = (agency: number) =>
    Effect.gen(function* () {
      const asked = { draw: DRAW, agency, act: randomUUID() }
      const { result, seconds } = yield* timed((control) => control.Discard(asked))
      const expected = agency === SMALL ? SMALL_BETS : 0
      const bets = Result.getOrThrow(result)
      if (bets !== expected) throw new Error(`${bets} bets were discarded, not ${expected}`)
      return seconds
    })
  const timedClose = (agency: number) =>
    Effect.gen(function* () {
      const asked = { draw: DRAW, agencies: [agency] as const }
      const { result, seconds } = yield* timed((control) => control.Exclude(asked))
      if (Result.getOrThrow(result).length !== 1) throw new Error("the agency was not excluded")
      return seconds
    })
  const timedDraw = Effect.gen(function* () {
    const { result, seconds } = yield* timed((control) =>
      control.Announce({ draw: DRAW, winningNumber: 7574 })
    )
    if (Result.isSuccess(result)) throw new Error("the number was recorded")
    return seconds
  })
  const command = nodeSeconds(
    ...[COMMAND, "discard", "--store", store, "--agency", `${EMPTY}`, "--yes"]
  )

  const clients = yield* Effect.forEach(Array.from({ length: CLIENTS }), (_, index) =>
    clientOf(index + 1, large)
  )
  // A client checks its book before it sends anything.
  for (const client of clients) yield* Program.awaitText(client, client.log, /apuestas_enviadas/)
  const seconds = {
    close: [] as Array<number>,
    draw: [] as Array<number>,
    "discard of an agency without bets": [] as Array<number>,
    [`discard of ${SMALL_BETS} bets`]: [] as Array<number>,
    "the whole command lottery discard": [] as Array<number>,
    "node -e 0": [] as Array<number>
  }
  const [close, draw, empty, smallBook, whole, plain] = Object.values(seconds)
  let excluded = FIRST_EXCLUDED
  for (let round = 0; round < ROUNDS; round++) {
    yield* sendSmall
    for (let times = 0; times < TIMES; times++) {
      close!.push(yield* timedClose(excluded++))
      draw!.push(yield* timedDraw)
      empty!.push(yield* timedDiscard(EMPTY))
    }
    smallBook!.push(yield* timedDiscard(SMALL))
    whole!.push(yield* command)
    plain!.push(yield* nodeSeconds("-e", "0"))
  }
  for (const { log } of clients) {
    if (!log().includes('"action":"waiting_for_draw"')) continue
    yield* Effect.fail(new Program.ProgramFailed({ message: "the books are too small" }))
  }
  for (const [what, took] of Object.entries(seconds)) {
    yield* report(`${scheme}: ${what}: ${inMillis(took)}`)
  }
}, Effect.scoped)

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  for (const scheme of ["csv", "sqlite"] as const) yield* measure(folder, scheme)
}).pipe(Effect.scoped)

Effect.runPromise(main).catch((error: unknown) => {
  process.stderr.write(`${error}\n`)
  process.exitCode = 1
})
