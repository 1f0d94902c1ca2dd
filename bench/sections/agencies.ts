/**
 * Measures the rate by the number of agencies that upload at once. The books are the same bets in
 * total, and one process sends all of them without checking them, so that the cost of the clients
 * does not depend on their number.
 */
import { join } from "node:path"
import { Effect } from "effect"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import { books, freshStore, startServer } from "../measure/Lottery.ts"
import { cpuSeconds, peakBytes } from "../measure/ProcessFigures.ts"
import * as Program from "../measure/Program.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import { megabytes, rate, shown } from "../report/PerformanceTable.ts"
import type { Measure } from "./Section.ts"

const FULL = { rounds: 3, agencies: [1, 10, 100, 1000, 5000], bets: 4_000_000 }
const QUICK = { rounds: 1, agencies: [1, 100], bets: 200_000 }
const ROWS = 1000

const SENDER = join(import.meta.dirname, "..", "plain", "sendBooks.ts")

const send = Effect.fnUntraced(function* (agencies: number, bets: number, book: string) {
  const folder = yield* temporaryFolder
  const store = yield* freshStore("csv", undefined)
  const server = yield* startServer(folder, store, agencies)
  const before = cpuSeconds(server.pid)
  const { output } = yield* Program.run({
    command: process.execPath,
    args: [SENDER, `${server.port}`, `${agencies}`, `${bets / agencies}`, book],
    folder
  })
  const cpu = ((cpuSeconds(server.pid) - before) / bets) * 1e6
  const figures = { rate: Number(output), cpu, peakBytes: peakBytes(server.pid) }
  yield* server.stop
  return figures
}, Effect.scoped)

export const agencies: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const { agencies: counts, bets, rounds } = isQuick ? QUICK : FULL
  const book = join(yield* books(folder, 1, ROWS), "agency-1.csv")
  const nameOf = (count: number) =>
    count === 1 ? "1 agency" : `${count.toLocaleString("en")} agencies`
  const measures = Object.fromEntries(
    counts.map((count) => [nameOf(count), send(count, bets, book)] as const)
  )
  const measured = yield* inTurns(roundsOf(rounds), measures)
  const of = (name: string, figure: "rate" | "cpu" | "peakBytes") =>
    medianOf(measured, (round) => round[name]![figure])
  const names = counts.map(nameOf)
  const base = names[0]!
  return {
    title: `Agencies that upload ${bets.toLocaleString("en")} bets in total into CSV at once`,
    lines: names.map((name) => {
      const figures =
        `${rate(of(name, "rate"))}, ${shown(of(name, "cpu"))} CPU s per million, ` +
        `${megabytes(of(name, "peakBytes"))}`
      if (name === base) return { what: name, measured: figures }
      const comparedWith = `${base}: ${rate(of(base, "rate"))}`
      const ratio = medianOf(measured, (round) => round[name]!.rate / round[base]!.rate)
      return { what: name, measured: figures, comparedWith, ratio }
    }),
    chart: {
      title: "Rate by number of agencies, native into CSV",
      kind: "line",
      category: "agencies that upload at once",
      categories: counts.map((count) => count.toLocaleString("en")),
      value: "thousand bets per second",
      series: { native: names.map((name) => Math.round(of(name, "rate") / 1000)) }
    }
  }
})
