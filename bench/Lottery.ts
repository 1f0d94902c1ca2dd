/**
 * The lottery as it is measured: the built command's server, and a process for each agency, with
 * their logs as JSON in files. What is told of an upload comes from the times in these logs.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect } from "effect"
import { COMMAND } from "../test/support/processes/lotteryCommand.ts"
import type { PostgresCluster } from "../test/support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { freshPostgres } from "./Cluster.ts"
import { cpuSeconds, peakBytes } from "./ProcessFigures.ts"
import * as Program from "./Program.ts"

/** The file of the command that is measured. */
export const MeasuredCommand = Context.Reference("bench/MeasuredCommand", {
  defaultValue: () => COMMAND
})

/** Starts the command; its logs are kept in the folder. */
export const startLottery = Effect.fnUntraced(function* (
  folder: string,
  args: ReadonlyArray<string>
) {
  const file = yield* MeasuredCommand
  return yield* Program.start({ command: process.execPath, args: [file, ...args], folder })
})

/** So many books of so many bets, made where they are not there yet; gives their folder. */
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

/** Gives the URL of a new store, which is removed with the scope. */
export const freshStore = Effect.fnUntraced(function* (
  kind: StoreKind,
  cluster: PostgresCluster | undefined
) {
  if (kind === "postgres") return yield* freshPostgres(cluster!)
  return `${kind}:${join(yield* temporaryFolder, "bets")}`
})

/** The time of the last line of a log that has an action, in milliseconds of the clock. */
const lastTime = (log: string, action: string): number => {
  const at = log.lastIndexOf(`"action":"${action}"`)
  if (at === -1) throw new Error(`no line with ${action}: ${log.slice(-1000)}`)
  const line = log.slice(log.lastIndexOf("\n", at) + 1, log.indexOf("\n", at))
  return Date.parse((JSON.parse(line) as { time: string }).time)
}

const LISTENS = /"action":"listen".*"port":(\d+),"winners_port":(\d+)/

/** Starts a server on free ports, and waits until it listens. */
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
    /** From its start to its listening, in seconds. */
    startSeconds: (lastTime(program.log(), "listen") - program.startedAt) / 1000,
    /** Ends it as a person does. */
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

/** Fails when the server ends: its clients would try on for ever. */
export const untilServerEnds = (server: Server) =>
  Effect.flatMap(server.ended, () =>
    Effect.fail(new Program.ProgramFailed({ message: `the server ended: ${server.log()}` }))
  )

const PATIENCE = "20 minutes"

/** Waits for clients, all of which must end well; gives when the last one did. */
export const awaitClients = (clients: ReadonlyArray<Program.Program>, server: Server) =>
  Effect.all(
    clients.map(({ ended }) => ended),
    { concurrency: "unbounded" }
  ).pipe(
    Effect.map((times) => Math.max(...times)),
    Effect.raceFirst(untilServerEnds(server)),
    Effect.timeoutOrElse({
      duration: PATIENCE,
      orElse: () =>
        Effect.fail(new Program.ProgramFailed({ message: `still running after ${PATIENCE}` }))
    })
  )

export interface Upload {
  readonly agencies: number
  /** In each of their books. */
  readonly bets: number
  readonly dialect: Dialect
  /** The folder of the books. */
  readonly books: string
  /** Further arguments of the clients. */
  readonly more?: ReadonlyArray<string>
}

/** What an upload took. */
export interface Figures {
  /** Bets a second, from the start of the first client to the last acknowledgement. */
  readonly rate: number
  /** The server's processor seconds a million bets. */
  readonly cpu: number
  /** The most memory that the server had resident. */
  readonly peakBytes: number
  /** From the last acknowledgement, before the last Finish, to the last client's winners. */
  readonly drawSeconds: number
}

/** Sends all books at once, waits until all agencies have their winners. */
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

/** Sends all books to a new server on a new store. */
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
