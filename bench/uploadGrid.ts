/**
 * Measures uploads with few and many agencies, and with small and large batches. Each cell is
 * compared with five agencies and 1,000 bets per batch. Covers all dialects into CSV and the native
 * dialect into all stores. The other dialects into the other stores have only the base cell,
 * compared with the native one.
 */
import { Effect } from "effect"
import { startPostgres } from "./Cluster.ts"
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
} from "./Lottery.ts"
import { type Line, megabytes, rate, shown } from "./PerformanceTable.ts"
import type { Measure } from "./Section.ts"
import { inTurns, medianOf } from "./Turns.ts"

interface Cell {
  readonly agencies: number
  readonly batch: number
  /** Bets per book, for a few seconds; fewer for dialects that wait for each answer. */
  readonly bets: Readonly<Record<Dialect, number>>
}

const cell = (agencies: number, batch: number, native: number, waiting: number): Cell => ({
  agencies,
  batch,
  bets: { native, json: waiting, binary: waiting }
})

const BASE = cell(5, 1000, 200_000, 100_000)
const CELLS: ReadonlyArray<Cell> = [
  BASE,
  cell(1, 1000, 400_000, 200_000),
  cell(100, 1000, 10_000, 10_000),
  cell(5, 1, 2000, 500),
  cell(5, 10, 20_000, 4000),
  cell(5, 100, 100_000, 30_000),
  cell(5, 8000, 200_000, 100_000)
]
/** A hundred clients take longer to start than everything else. */
const QUICK_CELLS = CELLS.filter(({ agencies }) => agencies < 100)
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

const nameOf = (kind: StoreKind, dialect: Dialect, { agencies, batch }: Cell): string => {
  const shownAgencies = agencies === 1 ? "1 agency" : `${agencies} agencies`
  const into = `${DIALECT_NAMES[dialect]} into ${STORE_NAMES[kind]}`
  return `${into}, ${shownAgencies}, ${batch.toLocaleString("en")} per batch`
}

type Round = Readonly<Record<string, Figures>>

const lineOf = (rounds: ReadonlyArray<Round>, name: string, base: string): Line => {
  if (rounds[0]?.[name] === undefined) return { what: name, measured: "does not fit in a packet" }
  const of = (key: string, figure: keyof Figures) =>
    medianOf(rounds, (round) => round[key]![figure])
  const measured =
    `${rate(of(name, "rate"))}, ${shown(of(name, "cpu"))} CPU s per million, ` +
    `${megabytes(of(name, "peakBytes"))}`
  if (name === base) return { what: name, measured }
  return {
    what: name,
    measured,
    comparedWith: `${base}: ${rate(of(base, "rate"))}`,
    ratio: medianOf(rounds, (round) => round[name]!.rate / round[base]!.rate)
  }
}

/** Measured alternately; the others are compared with the first. */
type Group = ReadonlyArray<readonly [kind: StoreKind, dialect: Dialect, cell: Cell]>

const groupsOf = (kinds: ReadonlyArray<StoreKind>, cells: ReadonlyArray<Cell>) =>
  kinds.flatMap((kind): ReadonlyArray<Group> => {
    const every = (dialect: Dialect): Group => cells.map((each) => [kind, dialect, each])
    if (kind === "csv") return DIALECTS.map(every)
    const others = DIALECTS.filter((dialect) => dialect !== "native")
    return [[...every("native"), ...others.map((dialect) => [kind, dialect, BASE] as const)]]
  })

export const uploadGrid: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const cluster = yield* startPostgres
  const kinds = STORES.filter((kind) => kind !== "postgres" || cluster !== undefined)
  const lines: Array<Line> = []
  for (const group of groupsOf(kinds, isQuick ? QUICK_CELLS : CELLS)) {
    const names = group.map(([kind, dialect, each]) => nameOf(kind, dialect, each))
    const measures: Record<string, ReturnType<typeof measureUpload>> = {}
    for (const [kind, dialect, each] of group) {
      const more = argumentsOf(dialect, each.batch)
      if (more === undefined) continue
      const { agencies } = each
      const bets = each.bets[dialect] / (isQuick ? QUICK_DIVISOR : 1)
      const asked = { agencies, bets, dialect, books: yield* books(folder, agencies, bets), more }
      measures[nameOf(kind, dialect, each)] = measureUpload(kind, cluster, asked)
    }
    const rounds = yield* inTurns(roundsOf(isQuick ? 1 : ROUNDS), measures)
    for (const name of names) lines.push(lineOf(rounds, name, names[0]!))
  }
  return { title: "Uploads with few and many agencies, and small and large batches", lines }
})
