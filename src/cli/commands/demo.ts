/** `lottery demo`: the whole lottery on made-up books, every party a process of its own. */

import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Semaphore from "effect/Semaphore"
import { DEFAULT_WINNING_NUMBER, type ExpectedAgencies } from "../../domain/Draw.ts"
import { fileUnavailable, TEMPORARY_FILES } from "../../domain/FileUnavailable.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import { bookName, writeBook } from "../files/GeneratedBook.ts"
import { RateMeter, uploadText, waitingText } from "../log/ProgressText.ts"
import { CurrentStatusLine, keepDrawn } from "../log/StatusLine.ts"
import * as DemoProcess from "../process/DemoProcess.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const MAX_CLIENTS = 1000
const MAX_BETS = 1_000_000
/** Clients that start up at the same time; more would only wait for one another. */
const STARTING_CLIENTS = 8
/** One bet in so many wins, so that most agencies of the demo have a winner. */
const BETS_PER_WINNER = 1000

/** What the demo shows of an agency in the end. */
interface Row {
  readonly agency: number
  readonly bets: number
  readonly documents: ReadonlyArray<string>
  readonly millis: number
}

/** Right-aligned columns under their heads, as people read numbers. */
const table = (rows: ReadonlyArray<Row>): string => {
  const cells = rows.map(({ agency, bets, documents, millis }) => [
    String(agency),
    String(bets),
    String(documents.length),
    `${(millis / 1000).toFixed(2)} s`,
    documents.slice(0, 3).join(" ") + (documents.length > 3 ? " …" : "")
  ])
  const heads = ["agency", "bets", "winners", "time", "winning documents"]
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...cells.map((row) => row[column]!.length))
  )
  return [heads, ...cells]
    .map((row) =>
      row
        .map((cell, column) =>
          column === heads.length - 1 ? cell : cell.padStart(widths[column]!)
        )
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** What a line of an agency's log says of its acknowledged bets. */
type Acknowledged = { readonly more: number } | { readonly inAll: number }

const acknowledgedIn = ({ action, cantidad, posicion }: DemoProcess.LogLine) =>
  action === "apuestas_enviadas" && cantidad !== undefined
    ? { more: cantidad }
    : action === "carga_reanudada" && posicion !== undefined
      ? { inAll: posicion }
      : undefined

type ShowProgress = (agency: number, acknowledged: Acknowledged) => Effect.Effect<void>

/** Shows how many bets are acknowledged: over and over on a terminal, else each finished book. */
const makeProgress = Effect.fnUntraced(function* (clients: number, bets: number) {
  const status = yield* CurrentStatusLine
  const counts = new Map<number, number>()
  const meter = new RateMeter()
  const total = clients * bets
  if (status.isTerminal) {
    yield* keepDrawn((width) =>
      Effect.map(monotonicMillis, (now) => {
        const acknowledged = [...counts.values()].reduce((sum, one) => sum + one, 0)
        meter.sample(now, acknowledged)
        if (acknowledged === total) return waitingText(undefined)
        return uploadText({ acknowledged, total, perSecond: meter.perSecond }, width)
      })
    )
  }
  const show: ShowProgress = (agency, acknowledged) =>
    Effect.sync(() => {
      const before = counts.get(agency) ?? 0
      const now = "inAll" in acknowledged ? acknowledged.inAll : before + acknowledged.more
      if ("inAll" in acknowledged) meter.skip(now - before)
      counts.set(agency, now)
      if (status.isTerminal || now !== bets) return
      status.writeAbove(`agency ${agency}: all ${bets} bets acknowledged\n`)
    })
  return show
})

interface DemoSettings {
  readonly clients: number
  readonly bets: number
  readonly seed: number
}

interface ServerPorts {
  readonly port: number
  readonly winnersPort: number
}

const generateBooks = Effect.fnUntraced(function* (folder: string, settings: DemoSettings) {
  const { bets, clients, seed } = settings
  const winners = { number: DEFAULT_WINNING_NUMBER, everyBets: BETS_PER_WINNER }
  for (const agency of upTo(clients)) yield* writeBook(folder, { agency, bets, seed, winners })
})

/** Starts the server, and waits until it listens; gives its ports, and its end to wait for. */
const startServer = Effect.fnUntraced(function* (folder: string, clients: number) {
  const path = yield* Path.Path
  const listening = yield* Deferred.make<ServerPorts>()
  const args = ["server", "--host", "127.0.0.1", "--port", "0", "--winners-port", "0", "--once"]
  const store = `sqlite:${path.join(folder, "lottery.db")}`
  const ended = yield* Effect.forkScoped(
    DemoProcess.run(
      "the server",
      [...args, "--agencies", SettingText.showAgencies(upTo(clients)), "--store", store],
      "server_done",
      ({ action, port, winners_port }) =>
        action === "listen" && port !== undefined && winners_port !== undefined
          ? Deferred.succeed(listening, { port, winnersPort: winners_port })
          : Effect.void
    )
  )
  const ports = yield* Effect.raceFirst(
    Deferred.await(listening),
    Effect.flatMap(Fiber.join(ended), () => Effect.never)
  )
  return { ports, ended }
})

const runClient = Effect.fnUntraced(function* (
  folder: string,
  { agency, bets }: { readonly agency: number; readonly bets: number },
  ports: ServerPorts,
  progress: ShowProgress,
  started: Effect.Effect<void>
) {
  const path = yield* Path.Path
  const begin = yield* monotonicMillis
  const documents = yield* DemoProcess.run(
    `agency ${agency}`,
    [
      "client",
      ...["--agency", String(agency), "--bets", path.join(folder, bookName(agency))],
      ...["--expect", String(bets)],
      ...["--server", `127.0.0.1:${ports.port}`],
      ...["--winners-server", `127.0.0.1:${ports.winnersPort}`]
    ],
    "consulta_ganadores",
    (line) => {
      if (line.action === "config") return started
      const acknowledged = acknowledgedIn(line)
      return acknowledged === undefined ? Effect.void : progress(agency, acknowledged)
    }
  )
  const millis = (yield* monotonicMillis) - begin
  return { agency, bets, documents, millis } satisfies Row
})

/** The agencies 1 to `clients`. */
const upTo = (clients: number): ExpectedAgencies => {
  const [first, ...others] = Array.from({ length: clients }, (_, index) => index + 1)
  return [first!, ...others]
}

/** Runs every agency as a process of its own, a few of them starting at a time. */
const runClients = Effect.fnUntraced(function* (
  folder: string,
  { bets, clients }: DemoSettings,
  ports: ServerPorts
) {
  const progress = yield* makeProgress(clients, bets)
  const starting = yield* Semaphore.make(STARTING_CLIENTS)
  return yield* Effect.forEach(
    upTo(clients),
    Effect.fnUntraced(function* (agency) {
      yield* starting.take(1)
      return yield* runClient(folder, { agency, bets }, ports, progress, starting.release(1))
    }),
    { concurrency: "unbounded" }
  )
}, Effect.scoped)

const runDemo = Effect.fnUntraced(function* (settings: DemoSettings) {
  const { bets, clients } = settings
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs
    .makeTempDirectoryScoped({ prefix: "lottery-demo-" })
    .pipe(Effect.mapError(fileUnavailable(TEMPORARY_FILES)))
  const agencies = clients === 1 ? "1 agency" : `${clients} agencies`
  const winning = `the winning number is ${DEFAULT_WINNING_NUMBER}`
  yield* Console.log(`${agencies} with ${bets} bets each; ${winning}`)
  yield* generateBooks(folder, settings)
  const { ended, ports } = yield* startServer(folder, clients)
  const served = Effect.flatMap(Fiber.join(ended), () => Effect.never)
  const rows = yield* Effect.raceFirst(runClients(folder, settings, ports), served)
  yield* Fiber.join(ended)
  yield* Console.log(table(rows))
}, Effect.scoped)

export const settings = {
  clients: Setting.withDefault("clients", {
    description: "Agencies that take part, each a process of its own",
    schema: SettingText.intBetween(1, MAX_CLIENTS),
    metavar: "number",
    default: 5
  }),
  bets: Setting.withDefault("bets", {
    description: "Bets in each agency's book",
    schema: SettingText.intBetween(0, MAX_BETS),
    metavar: "number",
    default: 3000
  }),
  seed: sharedSettings.seed
}

export const demo = Command.make("demo", settings, runDemo).pipe(
  Command.withExamples([
    { command: "lottery demo --clients 5", description: "Five agencies, a server, and a draw" }
  ])
)
