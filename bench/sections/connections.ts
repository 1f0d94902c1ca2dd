/**
 * Measures the server's memory while ten thousand agencies wait for the draw, and what agencies
 * that wait cost the uploads of others.
 */
import { join } from "node:path"
import { Effect } from "effect"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import {
  books,
  freshStore,
  type Server,
  startServer,
  type Upload,
  upload
} from "../measure/Lottery.ts"
import { peakBytes, residentBytes } from "../measure/ProcessFigures.ts"
import * as Program from "../measure/Program.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import { atLeast, atMostMegabytes, megabytes, rate } from "../report/PerformanceTable.ts"
import type { Measure } from "./Section.ts"

const FULL = { held: [2500, 5000, 10_000], idle: 9_900, bets: 1_000_000, rounds: 3 }
const QUICK = { held: [500, 1000], idle: 900, bets: 50_000, rounds: 1 }
const UPLOADING = 5
const SPARE_CONNECTIONS = 100

/** Once the last agency waits, all are sent the standing within a second. */
const SETTLE = "3 seconds"

const HOLDER = join(import.meta.dirname, "..", "plain", "holdAgencies.ts")

/** Starts a server for a number of agencies that are connected at the same time. */
const startFor = Effect.fnUntraced(function* (folder: string, agencies: number) {
  const store = yield* freshStore("csv", undefined)
  return yield* startServer(folder, store, agencies, [
    ...["--max-connections", `${agencies + SPARE_CONNECTIONS}`]
  ])
})

/** Connects agencies `first` to `last` and returns once all of them wait for the draw. */
const holdAgencies = Effect.fnUntraced(function* (
  folder: string,
  { port }: Server,
  first: number,
  last: number
) {
  const holder = yield* Program.start({
    command: process.execPath,
    args: [HOLDER, `${port}`, `${first}`, `${last}`],
    folder
  })
  yield* Program.awaitText(holder, holder.output, /all are waiting/)
})

export const hold = Effect.fnUntraced(function* (agencies: number) {
  const folder = yield* temporaryFolder
  // One more agency is expected and never connects, so that the draw is not held.
  const server = yield* startFor(folder, agencies + 1)
  const before = residentBytes(server.pid)
  yield* holdAgencies(folder, server, 1, agencies)
  return { before, peak: peakBytes(server.pid) }
}, Effect.scoped)

/** Measures an upload while `idle` other agencies wait for the draw. */
export const uploadNextTo = Effect.fnUntraced(function* (idle: number, asked: Upload) {
  const folder = yield* temporaryFolder
  const server = yield* startFor(folder, asked.agencies + idle)
  if (idle > 0) {
    yield* holdAgencies(folder, server, asked.agencies + 1, asked.agencies + idle)
    yield* Effect.sleep(SETTLE)
  }
  return yield* upload(folder, server, asked)
}, Effect.scoped)

export const connections: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const { bets, held: counts, idle, rounds } = isQuick ? QUICK : FULL
  const held = yield* inTurns(
    roundsOf(rounds),
    Object.fromEntries(counts.map((count) => [`${count}`, hold(count)] as const))
  )
  const peakOf = (count: number) => medianOf(held, (round) => round[count]!.peak)
  const agencies = counts.at(-1)!
  const peak = peakOf(agencies)
  const before = medianOf(held, (round) => round[agencies]!.before)
  const asked = {
    ...{ agencies: UPLOADING, bets, dialect: "native" as const },
    books: yield* books(folder, UPLOADING, bets)
  }
  const uploads = yield* inTurns(roundsOf(rounds), {
    alone: uploadNextTo(0, asked),
    nextTo: uploadNextTo(idle, asked)
  })
  const ratio = medianOf(uploads, ({ alone, nextTo }) => nextTo.rate / alone.rate)
  return {
    title: "Many connections",
    lines: [
      {
        what: `server's memory with ${agencies.toLocaleString("en")} connected agencies`,
        measured: `${megabytes(peak)} at most`,
        comparedWith: `without any: ${megabytes(before)}`,
        ratio: medianOf(held, (round) => round[agencies]!.peak / round[agencies]!.before),
        target: atMostMegabytes(peak, 500)
      },
      {
        what: `native into CSV, while ${idle.toLocaleString("en")} other agencies wait`,
        measured: rate(medianOf(uploads, ({ nextTo }) => nextTo.rate)),
        comparedWith: `without them: ${rate(medianOf(uploads, ({ alone }) => alone.rate))}`,
        ratio,
        target: atLeast(ratio, 0.9)
      }
    ],
    chart: {
      title: "Memory by connected agencies that wait for the draw",
      kind: "line",
      category: "connected agencies",
      categories: [0, ...counts].map((count) => count.toLocaleString("en")),
      value: "MB of memory, at most",
      series: { server: [before, ...counts.map(peakOf)].map((bytes) => Math.round(bytes / 1e6)) }
    }
  }
})
