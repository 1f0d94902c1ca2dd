/**
 * Compares this build with the build of another checkout, run alternately, to measure the effect of
 * a change.
 *
 * node_modules/.bin/node bench/twoBuilds.ts ../other/dist/lottery.cjs [rounds] [part of a name]
 */
import { resolve } from "node:path"
import { Effect, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { COMMAND } from "../test/support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import {
  books,
  freshStore,
  MeasuredCommand,
  measureUpload,
  type Server,
  startServer,
  upload
} from "./measure/Lottery.ts"
import type { ProgramFailed } from "./measure/Program.ts"
import { inTurns, medianOf } from "./measure/Turns.ts"
import { shown } from "./report/PerformanceTable.ts"
import { hold } from "./sections/connections.ts"
import { fiveClients, generated, nodeSeconds, WARMERS } from "./sections/startUp.ts"

const [, , other, roundsText = "5", only = ""] = process.argv
if (other === undefined) throw new Error("expected the path of the other build's dist/lottery.cjs")
const ROUNDS = Number(roundsText)
const UPLOAD = { agencies: 5, bets: 300_000 }
const CONNECTED = 10_000
const LARGE_BOOKS = 2_000_000

type Figures = Readonly<Record<string, number>>

const stopped = (server: Server) => Effect.as(server.stop, server.startSeconds)

/** Fills a CSV store with five finished books, which a server hashes again when it starts. */
const largeStore = Effect.fnUntraced(function* (folder: string) {
  const { agencies } = UPLOAD
  const store = yield* freshStore("csv", undefined)
  const server = yield* startServer(folder, store, agencies)
  const large = { agencies, bets: LARGE_BOOKS, dialect: "native" as const }
  yield* upload(folder, server, { ...large, books: yield* books(folder, agencies, LARGE_BOOKS) })
  yield* server.stop
  return store
})

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  // The files of the store must outlive the first measurement.
  const filled = yield* Effect.cached(Scope.provide(largeStore(folder), yield* Effect.scope))
  const started = Effect.flatMap(filled, (store) => startServer(folder, store, UPLOAD.agencies))
  const many = yield* books(folder, UPLOAD.agencies, UPLOAD.bets)
  const five = {
    measured: yield* generated(folder, 1),
    warming: yield* generated(folder, WARMERS[0]!)
  }
  const sent = (kind: "csv" | "sqlite", dialect: "native" | "json" | "binary") =>
    Effect.map(
      measureUpload(kind, undefined, { ...UPLOAD, dialect, books: many }),
      ({ cpu, rate }) => ({ "bets per second": rate, "server's CPU seconds per million": cpu })
    )
  const seconds = <E, R>(measure: Effect.Effect<number, E, R>) =>
    Effect.map(measure, (taken) => ({ seconds: taken }))
  const measures: Record<string, Effect.Effect<Figures, ProgramFailed | SqlError>> = {
    "native into CSV": sent("csv", "native"),
    "native into SQLite": sent("sqlite", "native"),
    "JSON into CSV": sent("csv", "json"),
    "binary into CSV": sent("csv", "binary"),
    "five small books into CSV": seconds(fiveClients("csv", five)),
    "five small books into SQLite": seconds(fiveClients("sqlite", five)),
    "lottery --help": seconds(
      Effect.flatMap(MeasuredCommand, (file) => nodeSeconds(file, "--help"))
    ),
    "start on ten million bets in CSV": seconds(Effect.scoped(Effect.flatMap(started, stopped))),
    "10,000 connected agencies": Effect.map(hold(CONNECTED), ({ peak }) => ({ bytes: peak }))
  }
  for (const [name, measure] of Object.entries(measures)) {
    if (!name.includes(only)) continue
    const rounds = yield* inTurns(ROUNDS, {
      this: Effect.provideService(measure, MeasuredCommand, COMMAND),
      other: Effect.provideService(measure, MeasuredCommand, resolve(other))
    })
    for (const figure of Object.keys(rounds[0]!.this)) {
      const of = (round: Figures) => round[figure]!
      const one = medianOf(rounds, (round) => of(round.this))
      const two = medianOf(rounds, (round) => of(round.other))
      const ratio = medianOf(rounds, (round) => of(round.this) / of(round.other))
      console.log(
        `${name}, ${figure}: ${shown(one)}, other ${shown(two)}, ratio ${ratio.toFixed(3)}`
      )
    }
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
