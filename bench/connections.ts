/** Measures the server's memory while ten thousand agencies wait for the draw. */
import { join } from "node:path"
import { Effect } from "effect"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { freshStore, startServer } from "./Lottery.ts"
import { atMostMegabytes, megabytes } from "./PerformanceTable.ts"
import { peakBytes, residentBytes } from "./ProcessFigures.ts"
import * as Program from "./Program.ts"
import type { Measure } from "./Section.ts"
import { inTurns, medianOf } from "./Turns.ts"

const FULL = { agencies: 10_000, rounds: 3 }
const QUICK = { agencies: 1000, rounds: 1 }
const SPARE_CONNECTIONS = 100

const HOLDER = join(import.meta.dirname, "plain", "holdAgencies.ts")

export const hold = Effect.fnUntraced(function* (agencies: number) {
  const folder = yield* temporaryFolder
  const store = yield* freshStore("csv", undefined)
  // One more agency is expected and never connects, so that the draw is not held.
  const server = yield* startServer(folder, store, agencies + 1, [
    ...["--max-connections", `${agencies + SPARE_CONNECTIONS}`]
  ])
  const before = residentBytes(server.pid)
  const holder = yield* Program.start({
    command: process.execPath,
    args: [HOLDER, `${server.port}`, "1", `${agencies}`],
    folder
  })
  yield* Program.awaitText(holder, holder.output, /all are waiting/)
  return { before, peak: peakBytes(server.pid) }
}, Effect.scoped)

export const connections: Measure = Effect.fnUntraced(function* ({ isQuick, roundsOf }) {
  const { agencies, rounds } = isQuick ? QUICK : FULL
  const held = yield* inTurns(roundsOf(rounds), { held: hold(agencies) })
  const peak = medianOf(held, (round) => round.held.peak)
  const before = medianOf(held, (round) => round.held.before)
  return {
    title: "Many connections",
    lines: [
      {
        what: `server's memory with ${agencies.toLocaleString("en")} connected agencies`,
        measured: `${megabytes(peak)} at most`,
        comparedWith: `without any: ${megabytes(before)}`,
        ratio: medianOf(held, (round) => round.held.peak / round.held.before),
        target: atMostMegabytes(peak, 1000)
      }
    ]
  }
})
