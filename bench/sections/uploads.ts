/**
 * Measures uploads of large books into each store, alternately with the engines' own loaders, the
 * machine's limit and the other dialects.
 */
import { statSync } from "node:fs"
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { startPostgres } from "../measure/Cluster.ts"
import {
  books,
  type Dialect,
  type Figures,
  measureUpload,
  type StoreKind
} from "../measure/Lottery.ts"
import { isInstalled } from "../measure/Machine.ts"
import type { ProgramFailed } from "../measure/Program.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import type { Chart } from "../report/Chart.ts"
import {
  atLeast,
  atMostMegabytes,
  type Line,
  megabytes,
  rate,
  shown,
  type Target
} from "../report/PerformanceTable.ts"
import * as Others from "./otherLoaders.ts"
import type { Measure } from "./Section.ts"

const AGENCIES = 5
/** The number of concurrent writes of a server with PostgreSQL. */
const POSTGRES_AGENCIES = 4
const FULL = { rounds: 3, bets: 1_000_000, betsOfOne: 300_000 }
const QUICK = { rounds: 1, bets: 60_000, betsOfOne: 30_000 }

const PACKET_BYTES = 8192
const CHUNK_BETS = 1000

/** Other loaders have only a rate. */
type Loaded = Partial<Figures> & Pick<Figures, "rate">
type Round = Readonly<Record<string, Loaded>>

const figuresOf = (rounds: ReadonlyArray<Round>, name: string): string => {
  const of = (figure: keyof Figures) => medianOf(rounds, (round) => round[name]?.[figure] ?? 0)
  const own = `${shown(of("cpu"))} CPU s per million, ${megabytes(of("peakBytes"))}`
  return rounds[0]?.[name]?.cpu === undefined ? rate(of("rate")) : `${rate(of("rate"))}, ${own}`
}

const ratioOf = (rounds: ReadonlyArray<Round>, one: string, other: string): number =>
  medianOf(rounds, (round) => round[one]!.rate / round[other]!.rate)

const compare = (
  rounds: ReadonlyArray<Round>,
  what: string,
  [one, other]: readonly [string, string],
  target?: (ratio: number) => Target
): ReadonlyArray<Line> => {
  if (rounds[0]?.[one] === undefined) return [{ what, measured: "not installed" }]
  const measured = figuresOf(rounds, one)
  if (rounds[0]?.[other] === undefined) {
    return [{ what, measured, comparedWith: `${other} is not installed` }]
  }
  const ratio = ratioOf(rounds, one, other)
  const comparedWith = `${other}: ${rate(medianOf(rounds, (round) => round[other]!.rate))}`
  return [{ what, measured, comparedWith, ratio, target: target?.(ratio) }]
}

const largestMemory = (rounds: ReadonlyArray<Round>): readonly [name: string, bytes: number] =>
  rounds
    .flatMap((round) => Object.entries(round))
    .map(([name, { peakBytes = 0 }]) => [name, peakBytes] as const)
    .reduce((one, other) => (other[1] > one[1] ? other : one))

/** The stores, each followed by its engine's loader. The machine's limit is much higher. */
const chartOf = (rounds: ReadonlyArray<Round>): Chart => {
  const names = [NATIVE, SQLITE, IMPORT, POSTGRES, COPY].filter((name) => name in rounds[0]!)
  const rates = names.map((name) => medianOf(rounds, (round) => round[name]!.rate))
  return {
    title: "Rate by store, next to the engines' own loaders",
    kind: "bar",
    categories: names,
    value: "thousand bets per second",
    series: { rate: rates.map((each) => Math.round(each / 1000)) }
  }
}

const NATIVE = "native into CSV"
const SQLITE = "native into SQLite"
const POSTGRES = "native into PostgreSQL"
const LIMIT = "loopback and fdatasync"
const IMPORT = "sqlite3 .import"
const COPY = "psql \\copy"

export const uploads: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const { bets, betsOfOne, rounds: count } = isQuick ? QUICK : FULL
  const many = yield* books(folder, AGENCIES, bets)
  const one = yield* books(folder, 1, betsOfOne)
  const all = yield* Others.prepare(folder, many, AGENCIES)
  const forPostgres = yield* Others.prepare(folder, many, POSTGRES_AGENCIES)
  const ofOne = yield* Others.prepare(one, one, 1)
  const cluster = yield* startPostgres
  // A row of the store also has the agency and CR.
  const rowBytes = statSync(ofOne.csv).size / ofOne.bets - "1,\r".length
  const packetBets = Math.floor(PACKET_BYTES / rowBytes)

  const sent = (kind: StoreKind, dialect: Dialect, agencies = AGENCIES) =>
    measureUpload(kind, cluster, { agencies, bets, dialect, books: many })
  const alone = (dialect: Dialect) =>
    measureUpload("csv", cluster, { agencies: 1, bets: betsOfOne, dialect, books: one })
  const loaded = <E, R>(loading: Effect.Effect<number, E, R>) =>
    Effect.map(loading, (rate): Loaded => ({ rate }))

  const measures: Record<string, Effect.Effect<Loaded, ProgramFailed | SqlError>> = {
    [NATIVE]: sent("csv", "native"),
    [LIMIT]: loaded(Others.loopback(all)),
    ...(isInstalled("sqlite3") && { [IMPORT]: loaded(Others.sqliteImport(all)) }),
    [SQLITE]: sent("sqlite", "native"),
    ...(cluster && { [POSTGRES]: sent("postgres", "native", POSTGRES_AGENCIES) }),
    ...(cluster &&
      isInstalled("psql") && { [COPY]: loaded(Others.psqlCopy(cluster, forPostgres)) }),
    "JSON into CSV": sent("csv", "json"),
    "binary into CSV": sent("csv", "binary"),
    "binary, one agency": alone("binary"),
    "write and fdatasync of 8 kB": loaded(Others.writeAndSync(ofOne, packetBets)),
    "JSON, one agency": alone("json"),
    "write and fdatasync of 1,000 bets": loaded(Others.writeAndSync(ofOne, CHUNK_BETS))
  }
  const rounds: ReadonlyArray<Round> = yield* inTurns(roundsOf(count), measures)

  const agencies = `${AGENCIES} agencies with ${bets.toLocaleString("en")} bets each`
  const fewer = `${POSTGRES_AGENCIES} agencies`
  const half = (ratio: number) => atLeast(ratio, 0.5)
  const [largest, peak] = largestMemory(rounds)
  return {
    title: `Uploads: ${agencies}, unless stated otherwise`,
    lines: [
      ...compare(rounds, NATIVE, [NATIVE, IMPORT], (ratio) => atLeast(ratio, 3.3)),
      ...compare(rounds, NATIVE, [NATIVE, LIMIT], (ratio) => atLeast(ratio, 0.25)),
      ...compare(rounds, SQLITE, [SQLITE, IMPORT], (ratio) => atLeast(ratio, 1.1)),
      ...compare(rounds, `${POSTGRES}, ${fewer}`, [POSTGRES, COPY], (ratio) =>
        atLeast(ratio, 0.85)
      ),
      ...compare(rounds, "JSON into CSV, batches of 1,000", ["JSON into CSV", NATIVE], half),
      ...compare(rounds, "binary into CSV, packets of 8 kB", ["binary into CSV", NATIVE], half),
      ...compare(rounds, `JSON into CSV, one agency, ${shown(betsOfOne)} bets`, [
        "JSON, one agency",
        "write and fdatasync of 1,000 bets"
      ]),
      ...compare(rounds, `binary into CSV, one agency, ${shown(betsOfOne)} bets`, [
        "binary, one agency",
        "write and fdatasync of 8 kB"
      ]),
      {
        what: "maximum memory of a server in all of these",
        measured: `${megabytes(peak)}, ${largest}`,
        target: atMostMegabytes(peak, 200)
      }
    ],
    chart: chartOf(rounds)
  }
})
