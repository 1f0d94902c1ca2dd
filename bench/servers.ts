/**
 * Measures several servers on one PostgreSQL: their total rate, the processor time of each part,
 * and the bytes per bet in the database. Everything is a separate process on this machine, with one
 * native client per agency, spread over the servers.
 *
 * node_modules/.bin/node bench/servers.ts [bets per agency] [runs]
 */
import { availableParallelism } from "node:os"
import { Effect } from "effect"
import { type Running, startLottery } from "../test/support/processes/lotteryCommand.ts"
import { clientArgs, generate, startServer } from "../test/support/processes/lotteryParties.ts"
import { freshSchema, query, startClusterWith } from "../test/support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { cpuSeconds, median } from "./measure/ProcessFigures.ts"

const SERVERS = [1, 2, 4]
const AGENCIES = 8
const BETS = Number(process.argv[2] ?? 250_000)
const RUNS = Number(process.argv[3] ?? 3)

/** Tracks the processor time of processes, including those that end meanwhile. */
const watchCpu = Effect.fnUntraced(function* (processes: () => ReadonlyArray<number>) {
  const first = new Map<number, number>()
  const last = new Map<number, number>()
  const look = Effect.sync(() => {
    for (const pid of processes()) {
      const seconds = cpuSeconds(pid)
      if (seconds === 0) continue
      if (!first.has(pid)) first.set(pid, seconds)
      last.set(pid, seconds)
    }
  })
  yield* look
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, Effect.sleep("20 millis"))))
  return Effect.as(look, undefined).pipe(
    Effect.map(() => {
      let sum = 0
      for (const [pid, seconds] of last) sum += seconds - first.get(pid)!
      return sum
    })
  )
})

const pidsOf = (all: ReadonlyArray<Running>) => () => all.map(({ child }) => child.pid!)

interface Figures {
  readonly rate: number
  readonly server: number
  readonly client: number
  readonly postgres: number
  readonly wal: number
  readonly table: number
  readonly index: number
}

const SIZES = `
  select pg_relation_size('bets')::float8 as table, pg_indexes_size('bets')::float8 as index,
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as wal`

const measure = Effect.fnUntraced(function* (folder: string, count: number) {
  const bets = BETS * AGENCIES
  const cluster = yield* startClusterWith({ shared_buffers: "512MB", max_wal_size: "8GB" })
  const store = yield* freshSchema(cluster.url())
  const more = ["--agencies", `${AGENCIES}`]
  const servers = yield* Effect.all(
    Array.from({ length: count }, () => startServer({ store, more }))
  )
  const [before] = yield* query(store, SIZES)
  const postgres = yield* watchCpu(cluster.processes)
  const server = yield* watchCpu(pidsOf(servers))
  const clients = yield* Effect.all(
    Array.from({ length: AGENCIES }, (_, index) =>
      startLottery({ args: clientArgs(folder, index + 1, servers[index % count]!, "native") })
    )
  )
  const client = yield* watchCpu(pidsOf(clients))
  yield* Effect.raceAll(servers.map(({ logged }) => logged(/apuestas_almacenadas/)))
  const begin = performance.now()
  yield* Effect.raceAll(servers.map(({ logged }) => logged(/action: sorteo/)))
  const seconds = (performance.now() - begin) / 1000
  for (const { outcome } of clients) {
    const { code, stderr } = yield* outcome
    if (code !== 0) return yield* Effect.die(new Error(stderr))
  }
  const [after] = yield* query(store, SIZES)
  const perMillion = (value: number) => (value / bets) * 1e6
  const grown = (name: string) => (Number(after![name]) - Number(before![name])) / bets
  return {
    rate: bets / seconds,
    server: perMillion(yield* server),
    client: perMillion(yield* client),
    postgres: perMillion(yield* postgres),
    wal: grown("wal"),
    table: grown("table"),
    index: grown("index")
  } satisfies Figures
}, Effect.scoped)

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* generate(folder, BETS, 7, AGENCIES)
  console.log(
    `${AGENCIES} agencies with ${BETS} bets each, ${availableParallelism()} processors, ` +
      `median of ${RUNS}; seconds of processor time per million bets; bytes per bet`
  )
  console.log("servers  bets/s  servers s  clients s  PostgreSQL s  table B  index B  log B")
  const runs = new Map(SERVERS.map((count) => [count, [] as Array<Figures>]))
  for (let run = 0; run < RUNS; run++) {
    for (const count of SERVERS) runs.get(count)!.push(yield* measure(folder, count))
  }
  for (const [count, figures] of runs) {
    const of = (name: keyof Figures) => median(figures.map((each) => each[name]))
    const columns: ReadonlyArray<readonly [number, number, number]> = [
      [count, 7, 0],
      [Math.round(of("rate") / 1000) * 1000, 8, 0],
      [of("server"), 11, 2],
      [of("client"), 11, 2],
      [of("postgres"), 14, 2],
      [of("table"), 9, 1],
      [of("index"), 9, 1],
      [of("wal"), 7, 0]
    ]
    console.log(
      columns.map(([value, width, digits]) => value.toFixed(digits).padStart(width)).join("")
    )
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
