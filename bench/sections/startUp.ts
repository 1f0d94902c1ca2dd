/** Measures the command's start-up, and how long five agencies with ordinary books take. */
import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { COMMAND } from "../../test/support/processes/lotteryCommand.ts"
import { areAtHand, EXPECTED, unpack } from "../../test/support/realBooks.ts"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import {
  awaitClients,
  freshStore,
  STORE_NAMES,
  type StoreKind,
  startClient,
  startLottery,
  startServer,
  untilServerEnds
} from "../measure/Lottery.ts"
import * as Program from "../measure/Program.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import { atMost, type Line, shown } from "../report/PerformanceTable.ts"
import type { Measure } from "./Section.ts"

const FULL = { starts: 21, rounds: 7 }
const QUICK = { starts: 5, rounds: 2 }

export const nodeSeconds = (...args: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    const begin = performance.now()
    const options = { stdio: "ignore", env: Program.environment() } as const
    const { status } = spawnSync(process.execPath, args, options)
    const seconds = (performance.now() - begin) / 1000
    return status === 0
      ? Effect.succeed(seconds)
      : Effect.fail(
          new Program.ProgramFailed({ message: `${args.join(" ")} exited with ${status}` })
        )
  })

const plainNode = nodeSeconds("-e", "0")

/** The agencies of the real books, and as many others to warm the server up. */
const AGENCIES = EXPECTED.map(({ agency }) => agency)
export const WARMERS = AGENCIES.map((agency) => agency + AGENCIES.length)

/** Generates books with the sizes of the real ones, for the agencies that start at `first`. */
export const generated = Effect.fnUntraced(function* (folder: string, first: number) {
  const out = join(folder, `generated-${first}`)
  for (const { agency, bets } of EXPECTED) {
    const numbers = ["--agencies", `${agency - 1 + first},`, "--bets", `${bets}`]
    const program = yield* startLottery(folder, ["generate", ...numbers, "--out", out])
    yield* program.ended
  }
  return out
}, Effect.scoped)

const realBooks = Effect.fnUntraced(function* (folder: string) {
  const out = join(folder, "real")
  yield* Effect.sync(() => mkdirSync(out))
  yield* Effect.orDie(unpack(out))
  return out
})

/** Time for the server to notice that the warm-up clients have disconnected. */
const PAUSE = "300 millis"

/** The folders with the books of the measured and of the warm-up agencies. */
export interface Books {
  readonly measured: string
  readonly warming: string
}

/**
 * Seconds from the start of the first client to the end of the last. Before, the server receives
 * five other books in the same draw, and their clients disconnect.
 */
export const fiveClients = Effect.fnUntraced(function* (
  kind: StoreKind,
  { measured, warming }: Books
) {
  const folder = yield* temporaryFolder
  const store = yield* freshStore(kind, undefined)
  const server = yield* startServer(folder, store, AGENCIES.length + WARMERS.length)
  const started = (agencies: ReadonlyArray<number>, from: string) =>
    Effect.forEach(agencies, (agency) =>
      startClient(folder, server, { agency, book: join(from, `agency-${agency}.csv`) })
    )
  yield* Effect.gen(function* () {
    const warmers = yield* started(WARMERS, warming)
    const finished = Effect.forEach(warmers, (warmer) =>
      Program.awaitText(warmer, warmer.log, /"action":"waiting_for_draw"/)
    )
    yield* Effect.raceFirst(finished, untilServerEnds(server))
  }).pipe(Effect.scoped)
  yield* Effect.sleep(PAUSE)
  const clients = yield* started(AGENCIES, measured)
  const endedAt = yield* awaitClients(clients, server)
  yield* server.stop
  return (endedAt - clients[0]!.startedAt) / 1000
}, Effect.scoped)

export const startUp: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const { rounds, starts } = isQuick ? QUICK : FULL
  const helps = yield* inTurns(starts, { help: nodeSeconds(COMMAND, "--help"), node: plainNode })
  const help = medianOf(helps, (round) => round.help)
  const node = medianOf(helps, (round) => round.node)
  const lines: Array<Line> = [
    {
      what: "lottery --help",
      measured: `${shown(help)} s`,
      comparedWith: `node -e 0: ${shown(node)} s`,
      ratio: help / node,
      target: atMost(help / node, 5)
    }
  ]
  const books: Books = {
    measured: areAtHand ? yield* realBooks(folder) : yield* generated(folder, 1),
    warming: yield* generated(folder, WARMERS[0]!)
  }
  const which = areAtHand ? "the five real books" : "five generated books of the real ones' sizes"
  for (const [kind, most] of [
    ["csv", 13],
    ["sqlite", 16]
  ] as const) {
    const runs = yield* inTurns(roundsOf(rounds), {
      clients: fiveClients(kind, books),
      node: plainNode
    })
    const clients = medianOf(runs, (round) => round.clients)
    const ofNode = medianOf(runs, (round) => round.node)
    lines.push({
      what: `${which} into ${STORE_NAMES[kind]}, five clients at once, warm server`,
      measured: `${shown(clients)} s`,
      comparedWith: `node -e 0: ${shown(ofNode)} s`,
      ratio: clients / ofNode,
      target: atMost(clients / ofNode, most)
    })
  }
  return { title: "Start-up", lines }
})
