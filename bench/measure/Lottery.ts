/**
 * Runs the lottery for a measurement: the built command's server, and one client process per
 * agency. The figures of an upload come from the times in their JSON logs.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect } from "effect"
import { COMMAND } from "../../test/support/processes/lotteryCommand.ts"
import type { PostgresCluster } from "../../test/support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../test/support/TemporaryFolder.ts"
import { freshPostgres } from "./Cluster.ts"
import { cpuSeconds, peakBytes } from "./ProcessFigures.ts"
import * as Program from "./Program.ts"

export const MeasuredCommand = Context.Reference("bench/MeasuredCommand", {
  defaultValue: () => COMMAND
})

export const startLottery = Effect.fnUntraced(function* (
  folder: string,
  args: ReadonlyArray<string>
) {
  const file = yield* MeasuredCommand
  return yield* Program.start({ command: process.execPath, args: [file, ...args], folder })
})

/** Generates the books unless they exist; returns their folder. */
export const books = Effect.fnUntraced(function* (folder: string, agencies: number, bets: number) {
  const out = join(folder, `books-${agencies}-${bets}`)
  if (existsSync(out)) return out
  const args = ["generate", "--agencies", `${agencies}`, "--bets", `${bets}`, "--out", out]
  yield* Program.run({ command: process.execPath, args: [COMMAND, ...args], folder })
  return out
})

export const STORES = ["csv", "sqlite", "postgres"] as const
export type StoreKind = (typeof STORES)[number]
export const STORE_NAMES = { csv: "CSV", sqlite: "SQLite", postgres: "PostgreSQL" } as const

export const DIALECTS = ["native", "json", "binary"] as const
export type Dialect = (typeof DIALECTS)[number]
export const DIALECT_NAMES = { native: "native", json: "JSON", binary: "binary" } as const

export const freshStore = Effect.fnUntraced(function* (
  kind: StoreKind,
  cluster: PostgresCluster | undefined
) {
  if (kind === "postgres") return yield* freshPostgres(cluster!)
  return `${kind}:${join(yield* temporaryFolder, "bets")}`
})

/** Clock time of the last log line with an action, in milliseconds. */
const lastTime = (log: string, action: string): number => {
  const at = log.lastIndexOf(`"action":"${action}"`)
  if (at === -1) throw new Error(`no line with ${action}: ${log.slice(-1000)}`)
  const line = log.slice(log.lastIndexOf("\n", at) + 1, log.indexOf("\n", at))
  return Date.parse((JSON.parse(line) as { time: string }).time)
}

const LISTENS = /"action":"listen".*"port":(\d+),"winners_port":(\d+)/

export const startServer = Effect.fnUntraced(function* (
  folder: string,
  store: string,
  agencies: string | number,
  more: ReadonlyArray<string> = []
) {
  const program = yield* startLottery(folder, [
    ...["server", "--host", "127.0.0.1", "--port", "0", "--winners-port", "0"],
    ...["--store", store, "--agencies", `${agencies}`, "--log-format", "json", ...more]
  ])
  const [, port, winnersPort] = yield* Program.awaitText(program, program.log, LISTENS)
  return {
    ...program,
    port: Number(port),
    winnersPort: Number(winnersPort),
    /** From the start of the process until it listens, in seconds. */
    startSeconds: (lastTime(program.log(), "listen") - program.startedAt) / 1000,
    stop: Effect.andThen(program.signal("SIGTERM"), program.ended)
  }
})

export type Server = Effect.Success<ReturnType<typeof startServer>>

export interface Client {
  readonly agency: number
  readonly book: string
  readonly dialect?: Dialect | undefined
  readonly more?: ReadonlyArray<string> | undefined
}

export const startClient = (folder: string, server: Server, client: Client) =>
  startLottery(folder, [
    ...["client", "--agency", `${client.agency}`, "--bets", client.book],
    ...["--server", `127.0.0.1:${server.port}`],
    ...["--winners-server", `127.0.0.1:${server.winnersPort}`],
    ...["--dialect", client.dialect ?? "native", "--log-format", "json", ...(client.more ?? [])]
  ])

/** Fails when the server ends, because its clients would retry forever. */
export const untilServerEnds = (server: Server) =>
  Effect.flatMap(server.ended, () =>
    Effect.fail(new Program.ProgramFailed({ message: `the server ended: ${server.log()}` }))
  )

const CLIENTS_TIMEOUT = "20 minutes"

/** Waits until all clients end successfully; returns the clock time of the last end. */
export const awaitClients = (clients: ReadonlyArray<Program.Program>, server: Server) =>
  Effect.all(
    clients.map(({ ended }) => ended),
    { concurrency: "unbounded" }
  ).pipe(
    Effect.map((times) => Math.max(...times)),
    Effect.raceFirst(untilServerEnds(server)),
    Effect.timeoutOrElse({
      duration: CLIENTS_TIMEOUT,
      orElse: () =>
        Effect.fail(
          new Program.ProgramFailed({ message: `still running after ${CLIENTS_TIMEOUT}` })
        )
    })
  )

export interface Upload {
  readonly agencies: number
  /** Bets per book. */
  readonly bets: number
  readonly dialect: Dialect
  /** The folder of the books. */
  readonly books: string
  readonly more?: ReadonlyArray<string>
}

export interface Figures {
  /** Bets per second, from the start of the first client to the last acknowledgement. */
  readonly rate: number
  /** The server's processor seconds per million bets. */
  readonly cpu: number
  readonly peakBytes: number
  /** From the last acknowledgement, which precedes the last Finish, to the last winners. */
  readonly drawSeconds: number
}

export const upload = Effect.fnUntraced(function* (
  folder: string,
  server: Server,
  { agencies, bets, books, dialect, more }: Upload
) {
  const cpuBefore = cpuSeconds(server.pid)
  const clients = yield* Effect.forEach(
    Array.from({ length: agencies }, (_, index) => index + 1),
    (agency) => {
      const book = join(books, `agency-${agency}.csv`)
      return startClient(folder, server, { agency, book, dialect, more })
    }
  )
  yield* awaitClients(clients, server)
  const logs = clients.map(({ log }) => log())
  const latest = (action: string) => Math.max(...logs.map((log) => lastTime(log, action)))
  const acknowledged = latest("apuestas_enviadas")
  const total = agencies * bets
  return {
    rate: (total * 1000) / (acknowledged - clients[0]!.startedAt),
    cpu: ((cpuSeconds(server.pid) - cpuBefore) / total) * 1e6,
    peakBytes: peakBytes(server.pid),
    drawSeconds: (latest("consulta_ganadores") - acknowledged) / 1000
  } satisfies Figures
}, Effect.scoped)

export const measureUpload = Effect.fnUntraced(function* (
  kind: StoreKind,
  cluster: PostgresCluster | undefined,
  asked: Upload
) {
  const folder = yield* temporaryFolder
  const store = yield* freshStore(kind, cluster)
  const server = yield* startServer(folder, store, asked.agencies)
  const figures = yield* upload(folder, server, asked)
  yield* server.stop
  return figures
}, Effect.scoped)
