/**
 * Measures a large store (ten million bets): the draw, a server's start on the store, and the
 * server's memory from the first bet to the last answer.
 */
import { Effect } from "effect"
import type { PostgresCluster } from "../../test/support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import { startPostgres } from "../measure/Cluster.ts"
import {
  books,
  freshStore,
  STORE_NAMES,
  STORES,
  type StoreKind,
  startServer,
  upload
} from "../measure/Lottery.ts"
import { inTurns, medianOf } from "../measure/Turns.ts"
import {
  atMost,
  atMostMegabytes,
  type Line,
  megabytes,
  rate,
  shown
} from "../report/PerformanceTable.ts"
import type { Measure } from "./Section.ts"

const AGENCIES = 5
/** Bets per book; fewer for PostgreSQL, which is slower. */
const FULL = { rounds: 3, bets: { csv: 2_000_000, sqlite: 2_000_000, postgres: 400_000 } }
const QUICK = { rounds: 1, bets: { csv: 100_000, sqlite: 100_000, postgres: 40_000 } }
/** Shows the cost of a draw that does not depend on the number of bets. */
const FEW_BETS = 1000

const fill = Effect.fnUntraced(function* (
  kind: StoreKind,
  cluster: PostgresCluster | undefined,
  asked: { readonly bets: number; readonly books: string }
) {
  const folder = yield* temporaryFolder
  const store = yield* freshStore(kind, cluster)
  const first = yield* startServer(folder, store, AGENCIES)
  const sent = { ...asked, agencies: AGENCIES, dialect: "native" as const }
  const figures = yield* upload(folder, first, sent)
  yield* first.stop
  const second = yield* startServer(folder, store, AGENCIES)
  yield* second.stop
  return { ...figures, emptySeconds: first.startSeconds, filledSeconds: second.startSeconds }
}, Effect.scoped)

type Filled = Effect.Success<ReturnType<typeof fill>>

const linesOf = (
  rounds: ReadonlyArray<{ readonly many: Filled; readonly few: Filled }>,
  name: string,
  total: string
): ReadonlyArray<Line> => {
  const seconds = (figure: (round: { many: Filled; few: Filled }) => number) =>
    medianOf(rounds, figure)
  const fewBets = (AGENCIES * FEW_BETS).toLocaleString("en")
  const drawn = seconds(({ many }) => many.drawSeconds)
  const drawnOfFew = seconds(({ few }) => few.drawSeconds)
  const filled = seconds(({ many }) => many.filledSeconds)
  const empty = seconds(({ many }) => many.emptySeconds)
  const peak = Math.max(...rounds.map(({ many }) => many.peakBytes))
  return [
    {
      what: `draw over ${total} bets in ${name}`,
      measured: `${shown(drawn)} s from the last acknowledgement to the last answer`,
      comparedWith: `over ${fewBets} bets: ${shown(drawnOfFew)} s`,
      ratio: medianOf(rounds, ({ few, many }) => many.drawSeconds / few.drawSeconds),
      target: atMost(drawn, 2, " s")
    },
    {
      what: `server's start on ${total} bets in ${name}`,
      measured: `${shown(filled)} s until it listens`,
      comparedWith: `on an empty store: ${shown(empty)} s`,
      ratio: medianOf(rounds, ({ many }) => many.filledSeconds / many.emptySeconds)
    },
    {
      what: `server's memory for ${total} bets into ${name}`,
      measured: `${megabytes(peak)} at most, ${rate(seconds(({ many }) => many.rate))}`,
      target: atMostMegabytes(peak, 200)
    }
  ]
}

export const draw: Measure = Effect.fnUntraced(function* ({ folder, isQuick, roundsOf }) {
  const { bets, rounds } = isQuick ? QUICK : FULL
  const cluster = yield* startPostgres
  const few = { bets: FEW_BETS, books: yield* books(folder, AGENCIES, FEW_BETS) }
  const lines: Array<Line> = []
  for (const kind of STORES) {
    if (kind === "postgres" && cluster === undefined) continue
    const many = { bets: bets[kind], books: yield* books(folder, AGENCIES, bets[kind]) }
    const measured = yield* inTurns(roundsOf(rounds), {
      many: fill(kind, cluster, many),
      few: fill(kind, cluster, few)
    })
    const total = (AGENCIES * many.bets).toLocaleString("en")
    lines.push(...linesOf(measured, STORE_NAMES[kind], total))
  }
  return { title: `The draw, and a large store: ${AGENCIES} native agencies`, lines }
})
