/** `lottery demo`: runs a whole lottery on random books, with one process per agency. */
import {
  Array as Arr,
  Console,
  Deferred,
  Effect,
  Fiber,
  FileSystem,
  Option,
  Path,
  Semaphore
} from "effect"
import { CliError, Command } from "effect/cli"
import { DEFAULT_WINNING_NUMBER } from "../../domain/Draw.ts"
import { fileUnavailable, TEMPORARY_FILES } from "../../domain/FileUnavailable.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import { RateMeter } from "../../domain/RateMeter.ts"
import * as DemoProcess from "../demo/DemoProcess.ts"
import * as SealedDemo from "../demo/SealedDemo.ts"
import { writeBook } from "../files/GeneratedBook.ts"
import { counted, uploadText, waitingText } from "../log/ProgressText.ts"
import { CurrentStatusLine, keepDrawn } from "../log/StatusLine.ts"
import { textTable } from "../log/TextTable.ts"
import { fulfilled } from "../process/Purpose.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const MAX_CLIENTS = 1000
const MAX_BETS = 1_000_000
/** How many clients start at the same time; more would only slow each other down. */
const STARTING_CLIENTS = 8
/** With the default number of bets, most agencies have a winner. */
const BETS_PER_WINNER = 1000
/** With fewer bets per agency, the demo is over before a browser has opened the board. */
const BETS_TO_WATCH = 100_000

export const settings = {
  clients: Setting.withDefault("clients", "<number>", {
    description: "Number of agencies, one process each",
    schema: SettingText.intBetween(1, MAX_CLIENTS),
    default: 5
  }),
  bets: Setting.withDefault("bets", "<number>", {
    description: "Bets per agency",
    schema: SettingText.intBetween(0, MAX_BETS),
    default: 3000
  }),
  seed: sharedSettings.seed,
  sealed: Setting.flag("sealed", "Seal the draw, verify it, and find a bet that was put in later"),
  http: Setting.optional("http", "<port>", {
    description: "Show the live board on this port of 127.0.0.1; 0 picks a free one",
    schema: SettingText.Port,
    // LOTTERY_HTTP is the address of a server.
    flagOnly: true
  }),
  keepOpen: Setting.flag("keep-open", "With --http, leave the board open until Ctrl-C")
}

type DemoSettings = Command.Command.Config.Infer<typeof settings>

interface Row {
  readonly agency: number
  readonly bets: number
  readonly documents: ReadonlyArray<string>
  readonly millis: number
}

const table = (rows: ReadonlyArray<Row>): string =>
  textTable(
    ["agency", "bets", "winners", "time", "winning documents"],
    rows.map(({ agency, bets, documents, millis }) => [
      agency,
      bets,
      documents.length,
      `${(millis / 1000).toFixed(2)} s`,
      documents.slice(0, 3).join(" ") + (documents.length > 3 ? " …" : "")
    ]),
    ["right", "right", "right", "right", "left"]
  ).join("\n")

/** Shows the acknowledged bets: continuously on a terminal, otherwise once per complete book. */
const makeProgress = Effect.fnUntraced(function* ({ bets, clients }: DemoSettings) {
  const status = yield* CurrentStatusLine
  const counts = new Map<number, number>()
  /** Bets that were already stored when a client reconnected: they do not count as speed. */
  let resumed = 0
  const meter = new RateMeter()
  const total = clients * bets
  if (status.isTerminal) {
    yield* keepDrawn((width) =>
      Effect.map(monotonicMillis, (now) => {
        const acknowledged = [...counts.values()].reduce((sum, one) => sum + one, 0)
        meter.sample(now, acknowledged - resumed)
        if (acknowledged === total) return waitingText(undefined, width)
        return uploadText({ acknowledged, total, perSecond: meter.perSecond }, width)
      })
    )
  }
  return (agency: number, { action, cantidad = 0, posicion = 0 }: DemoProcess.LogLine) =>
    Effect.sync(() => {
      const isResumed = action === "upload_resumed"
      if (!isResumed && action !== "apuestas_enviadas") return
      const before = counts.get(agency) ?? 0
      const now = isResumed ? posicion : before + cantidad
      if (isResumed) resumed += now - before
      counts.set(agency, now)
      if (status.isTerminal || now !== bets) return
      status.writeAbove(`agency ${agency}: ${counted(bets, "bet")}, all acknowledged\n`)
    })
})

interface Listening {
  readonly port: number
  readonly winnersPort: number
  /** The address of the board, if there is one. */
  readonly board: string | undefined
}

/** Runs the server until it exits; `listening` gets its addresses. */
const runServer = (
  store: string,
  { clients, http, keepOpen }: DemoSettings,
  sealed: SealedDemo.SealedDemo | undefined,
  listening: Deferred.Deferred<Listening>
) =>
  Effect.suspend(() => {
    let board: string | undefined
    return DemoProcess.run(
      "the server",
      [
        ...["server", "--host", "127.0.0.1", "--port", "0", "--winners-port", "0"],
        ...["--agencies", String(clients), "--store", store],
        ...(sealed?.serverArgs ?? []),
        ...(keepOpen ? [] : ["--once"]),
        ...(Option.isNone(http) ? [] : ["--http", `127.0.0.1:${http.value}`])
      ],
      {
        lastAction: "server_done",
        onLine: ({ action, port, url, winners_port }) => {
          // A server listens for browsers before it listens for agencies.
          if (action === "listen_http") board = url
          if (action === "draw_sealed" && sealed !== undefined) return sealed.onSealed
          return action === "listen" && port !== undefined && winners_port !== undefined
            ? Deferred.succeed(listening, { port, winnersPort: winners_port, board })
            : Effect.void
        }
      }
    )
  })

const runClients = Effect.fnUntraced(function* (
  bookOf: (agency: number) => string,
  settings: DemoSettings,
  sealed: SealedDemo.SealedDemo | undefined,
  { port, winnersPort }: Listening
) {
  const { bets, clients } = settings
  const showProgress = yield* makeProgress(settings)
  const starting = yield* Semaphore.make(STARTING_CLIENTS)
  const runClient = Effect.fnUntraced(function* (agency: number) {
    yield* starting.take(1)
    const begin = yield* monotonicMillis
    const documents = yield* DemoProcess.run(
      `agency ${agency}`,
      [
        ...["client", "--agency", String(agency), "--bets", bookOf(agency)],
        ...["--expect", String(bets), "--server", `127.0.0.1:${port}`],
        ...["--winners-server", `127.0.0.1:${winnersPort}`],
        ...(sealed?.clientArgs(agency) ?? [])
      ],
      {
        lastAction: "consulta_ganadores",
        onLine: (line) =>
          line.action === "config" ? starting.release(1) : showProgress(agency, line)
      }
    )
    const millis = (yield* monotonicMillis) - begin
    return { agency, bets, documents, millis } satisfies Row
  })
  return yield* Effect.forEach(Arr.range(1, clients), runClient, { concurrency: "unbounded" })
}, Effect.scoped)

const runDemo = Effect.fnUntraced(function* (settings: DemoSettings) {
  const { bets, clients, http, keepOpen, seed } = settings
  if (keepOpen && Option.isNone(http)) {
    const message = "keep-open needs a board: add --http 8080"
    return yield* new CliError.ValidationError({ message })
  }
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fs
    .makeTempDirectoryScoped({ prefix: "lottery-demo-" })
    .pipe(Effect.mapError(fileUnavailable(TEMPORARY_FILES)))
  const agencies = clients === 1 ? "1 agency" : `${clients} agencies`
  const winning = settings.sealed
    ? "the winning number is announced once the books are sealed"
    : `the winning number is ${DEFAULT_WINNING_NUMBER}`
  yield* Console.log(`${agencies} with ${counted(bets, "bet")} each; ${winning}`)
  const started = yield* Deferred.make<Listening>()
  const store = `sqlite:${path.join(folder, "lottery.db")}`
  const sealed = settings.sealed ? yield* SealedDemo.make(folder, store) : undefined
  const server = yield* Effect.forkScoped(runServer(store, settings, sealed, started))
  const announcing = yield* Effect.forkScoped(sealed?.announce ?? Effect.void)
  const parts = [Fiber.join(server), Fiber.join(announcing)]
  const failure = Effect.andThen(Effect.all(parts, { concurrency: "unbounded" }), Effect.never)
  const listening = yield* Effect.raceFirst(Deferred.await(started), failure)
  const { board } = listening
  if (board !== undefined) {
    const hint = bets < BETS_TO_WATCH ? " (for more to watch: --bets 1000000)" : ""
    yield* Console.log(`the live board is at ${board}${hint}`)
  }
  const bookOf = (agency: number) => path.join(folder, sharedSettings.bookName(agency))
  const winners = { number: DEFAULT_WINNING_NUMBER, everyBets: BETS_PER_WINNER }
  for (const agency of Arr.range(1, clients)) {
    yield* writeBook(bookOf(agency), { agency, bets, seed, winners })
  }
  const rows = yield* Effect.raceFirst(runClients(bookOf, settings, sealed, listening), failure)
  if (!keepOpen) yield* Fiber.join(server)
  yield* Console.log(table(rows))
  if (sealed !== undefined) yield* sealed.audit
  if (!keepOpen) return
  yield* fulfilled
  yield* Console.log(`the board stays open at ${board} until Ctrl-C`)
  yield* Fiber.join(server)
}, Effect.scoped)

export const demo = Command.make("demo", settings, runDemo).pipe(
  Command.withExamples([
    {
      command: "lottery demo --clients 5",
      description: "Run a draw with a server and five agencies"
    },
    {
      command: "lottery demo --sealed",
      description: "Seal the draw, verify it as an auditor would, and find a forged bet"
    },
    {
      command: "lottery demo --http 8080 --bets 1000000 --keep-open",
      description: "Watch a larger draw in a browser, at http://127.0.0.1:8080"
    }
  ])
)
