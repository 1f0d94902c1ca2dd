/**
 * The same uploads with few and many agencies, and with small and large batches: every store and
 * dialect, each cell beside that of five agencies with 1,000 bets a batch.
 */
import { Effect } from "effect"
import { startPostgres } from "./Cluster.ts"
import {
  books,
  DIALECTS,
  type Dialect,
  type Figures,
  measureUpload,
  STORE_NAMES,
  STORES,
  type StoreKind
} from "./Lottery.ts"
import { type Line, rate, shown } from "./PerformanceTable.ts"
import type { Measure } from "./Section.ts"
import { inTurns, medianOf } from "./Turns.ts"

interface Cell {
  readonly agencies: number
  readonly batch: number
  /** In each book: as many as a few seconds take. */
  readonly bets: number
}

const BASE: Cell = { agencies: 5, batch: 1000, bets: 100_000 }
const CELLS: ReadonlyArray<Cell> = [
  BASE,
  { agencies: 1, batch: 1000, bets: 300_000 },
  { agencies: 100, batch: 1000, bets: 10_000 },
  { agencies: 5, batch: 1, bets: 1000 },
  { agencies: 5, batch: 10, bets: 10_000 },
  { agencies: 5, batch: 100, bets: 50_000 },
  { agencies: 5, batch: 8000, bets: 100_000 }
]
const QUICK_CELLS = CELLS.filter(({ agencies }) => agencies < 100)
const QUICK_DIVISOR = 10

const ROUNDS = 3

/** Bets that fit a packet of the default size, and one of the largest, with room for long names. */
const PACKET_BETS = 180
const LARGEST_PACKET_BETS = 1400
const LARGEST_PACKET_BYTES = 65_537

/** What a client is told for a batch; undefined where the dialect has no message for so many. */
const argumentsOf = (dialect: Dialect, batch: number): ReadonlyArray<string> | undefined => {
  const asked = ["--batch", `${batch}`]
  if (dialect !== "binary" || batch <= PACKET_BETS) return asked
  if (batch > LARGEST_PACKET_BETS) return undefined
  return [...asked, "--packet-bytes", `${LARGEST_PACKET_BYTES}`]
}

const nameOf = ({ agencies, batch }: Cell): string =>
  `${agencies === 1 ? "1 agency" : `${agencies} agencies`}, ${batch.toLocaleString("en")} a batch`

type Round = Readonly<Record<string, Figures>>

const lineOf = (rounds: ReadonlyArray<Round>, prefix: string, cell: Cell): Line => {
  const [base, name] = [BASE, cell].map((each) => `${prefix}, ${nameOf(each)}`) as [string, string]
  if (rounds[0]?.[name] === undefined) return { what: name, measured: "does not fit a packet" }
  const of = (key: string, figure: keyof Figures) =>
    medianOf(rounds, (round) => round[key]![figure])
  const measured =
    `${rate(of(name, "rate"))}, ${shown(of(name, "cpu"))} CPU s a million, ` +
    `${of(name, "peakMib")} MiB`
  if (name === base) return { what: name, measured }
  return {
    what: name,
    measured,
    beside: `${nameOf(BASE)}: ${rate(of(base, "rate"))}`,
    ratio: medianOf(rounds, (round) => round[name]!.rate / round[base]!.rate)
  }
}

export const uploadGrid: Measure = Effect.fnUntraced(function* ({ folder, isQuick }) {
  const cluster = yield* startPostgres
  const cells = isQuick ? QUICK_CELLS : CELLS
  const divisor = isQuick ? QUICK_DIVISOR : 1
  const stores: ReadonlyArray<StoreKind> = STORES.filter((kind) => kind !== "postgres" || cluster)
  const lines: Array<Line> = []
  for (const kind of stores) {
    for (const dialect of DIALECTS) {
      const prefix = `${dialect} into ${STORE_NAMES[kind]}`
      const measures: Record<string, ReturnType<typeof measureUpload>> = {}
      for (const cell of cells) {
        const { agencies, batch } = cell
        const bets = Math.ceil(cell.bets / divisor)
        const more = argumentsOf(dialect, batch)
        if (more === undefined) continue
        const from = yield* books(folder, agencies, bets)
        const asked = { agencies, bets, dialect, books: from, more }
        measures[`${prefix}, ${nameOf(cell)}`] = measureUpload(kind, cluster, asked)
      }
      const rounds = yield* inTurns(isQuick ? 1 : ROUNDS, measures)
      for (const cell of cells) lines.push(lineOf(rounds, prefix, cell))
    }
  }
  return { title: "Uploads with few and many agencies, and small and large batches", lines }
})
