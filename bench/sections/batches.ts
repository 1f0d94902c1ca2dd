/**
 * Measures uploads with small and large batches. Each size is compared with 1,000 bets per batch,
 * in all dialects into CSV. The other stores have only 1,000 bets per batch, compared with CSV.
 */
import { Effect } from "effect"
import { startPostgres } from "../measure/Cluster.ts"
import {
  books,
  DIALECT_NAMES,
  DIALECTS,
  type Dialect,
  type Figures,
  measureUpload,
  STORE_NAMES,
  STORES,
  type StoreKind
} from "../measure/Lottery.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import type { Chart } from "../report/Chart.ts"
import { atLeast, type Line, megabytes, rate, shown } from "../report/PerformanceTable.ts"
import type { Measure } from "./Section.ts"

const AGENCIES = 5
const USUAL = 1000
const SIZES = [1, 10, 100, USUAL, 8000]
/** Bets per book, for a few seconds. */
const BETS: Readonly<Record<number, number>> = { 1: 2000, 10: 20_000, 100: 100_000 }
const BETS_OF_LARGE_BATCHES = 200_000
const QUICK_DIVISOR = 10
const ROUNDS = 3

/** Bets that fit a packet of default and of maximum size, with room for long names. */
const PACKET_BETS = 180
const LARGEST_PACKET_BETS = 1400
const LARGEST_PACKET_BYTES = 65_537

/** Returns client flags for a batch size; undefined if it does not fit the dialect's message. */
const argumentsOf = (dialect: Dialect, batch: number): ReadonlyArray<string> | undefined => {
  const asked = ["--batch", `${batch}`]
  if (dialect !== "binary" || batch <= PACKET_BETS) return asked
  if (batch > LARGEST_PACKET_BETS) return undefined
  return [...asked, "--packet-bytes", `${LARGEST_PACKET_BYTES}`]
}

interface Cell {
  readonly kind: StoreKind
  readonly dialect: Dialect
  readonly batch: number
}

const nameOf = ({ batch, dialect, kind }: Cell): string => {
  const bets = batch === 1 ? "1 bet" : `${batch.toLocaleString("en")} bets`
  return `${DIALECT_NAMES[dialect]} into ${STORE_NAMES[kind]}, ${bets} per batch`
}

type Round = Readonly<Record<string, Figures>>

const BASE: Cell = { kind: "csv", dialect: "native", batch: USUAL }

/** The native rate of batches of one bet is the one with a target. */
const targetOf = ({ batch, dialect }: Cell, ratio: number) =>
  batch === 1 && dialect === "native" ? atLeast(ratio, 0.012) : undefined

const lineOf = (rounds: ReadonlyArray<Round>, cell: Cell, base: Cell): Line => {
  const name = nameOf(cell)
  const of = (key: string, figure: keyof Figures) =>
    medianOf(rounds, (round) => round[key]![figure])
  const measured =
    `${rate(of(name, "rate"))}, ${shown(of(name, "cpu"))} CPU s per million, ` +
    `${megabytes(of(name, "peakBytes"))}`
  if (cell === base) return { what: name, measured }
  const other = nameOf(base)
  const ratio = medianOf(rounds, (round) => round[name]!.rate / round[other]!.rate)
  const comparedWith = `${other}: ${rate(of(other, "rate"))}`
  return { what: name, measured, comparedWith, ratio, target: targetOf(cell, ratio) }
}

/** Measured alternately; each is compared with the first. */
const groupsOf = (kinds: ReadonlyArray<StoreKind>): ReadonlyArray<ReadonlyArray<Cell>> => [
  ...DIALECTS.map((dialect) => {
    const others = SIZES.filter((size) => size !== USUAL && argumentsOf(dialect, size))
    return [USUAL, ...others].map((batch): Cell => ({ kind: "csv", dialect, batch }))
  }),
  kinds.map((kind) => ({ ...BASE, kind }))
]

const chartOf = (rates: ReadonlyMap<string, number>): Chart => {
  // The largest batches do not fit in a binary packet.
  const of = (dialect: Dialect) =>
    SIZES.flatMap((batch) => rates.get(nameOf({ kind: "csv", dialect, batch })) ?? [])
  const measured = DIALECTS.map((dialect) => [DIALECT_NAMES[dialect], of(dialect)] as const)
  return {
    title: "Rate by batch size, five agencies into CSV",
    kind: "line",
    category: "bets per batch",
    categories: SIZES.map((size) => size.toLocaleString("en")),
    value: "thousand bets per second",
    series: Object.fromEntries(measured)
  }
}

export const batches: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const cluster = yield* startPostgres
  const kinds = STORES.filter((kind) => kind !== "postgres" || cluster !== undefined)
  const lines: Array<Line> = []
  const rates = new Map<string, number>()
  for (const group of groupsOf(kinds)) {
    const measures: Record<string, ReturnType<typeof measureUpload>> = {}
    for (const cell of group) {
      const { batch, dialect, kind } = cell
      const bets = (BETS[batch] ?? BETS_OF_LARGE_BATCHES) / (isQuick ? QUICK_DIVISOR : 1)
      const more = argumentsOf(dialect, batch) ?? []
      const from = yield* books(folder, AGENCIES, bets)
      const asked = { agencies: AGENCIES, bets, dialect, books: from, more }
      measures[nameOf(cell)] = measureUpload(kind, cluster, asked)
    }
    const rounds = yield* inTurns(roundsOf(isQuick ? 1 : ROUNDS), measures)
    for (const cell of group) {
      const name = nameOf(cell)
      rates.set(name, Math.round(medianOf(rounds, (round) => round[name]!.rate) / 1000))
      lines.push(lineOf(rounds, cell, group[0]!))
    }
  }
  return { title: "Batches, five agencies", lines, chart: chartOf(rates) }
})
