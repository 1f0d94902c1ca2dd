/** The server's memory with ten thousand agencies connected, all of which wait for the draw. */
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
/** Room for nobody else but a few that look on. */
const SPARE = 100

const HOLDER = join(import.meta.dirname, "plain", "holdAgencies.ts")

/** The server's memory with these agencies connected, in bytes. */
export const hold = Effect.fnUntraced(function* (agencies: number) {
  const folder = yield* temporaryFolder
  const store = yield* freshStore("csv", undefined)
  // One agency more never comes, so that there is no draw.
  const server = yield* startServer(folder, store, agencies + 1, [
    ...["--max-connections", `${agencies + SPARE}`]
  ])
  const before = residentBytes(server.pid)
  const holder = yield* Program.start({
    command: process.execPath,
    args: [HOLDER, `${server.port}`, "1", `${agencies}`],
    folder
  })
  yield* Program.awaitText(holder, holder.output, /all are heard/)
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
        beside: `without any: ${megabytes(before)}`,
        ratio: medianOf(held, (round) => round.held.peak / round.held.before),
        bar: atMostMegabytes(peak, 1000)
      }
    ]
  }
})
