/**
 * Measures what it costs to watch a draw over HTTP: five native clients upload into CSV with HTTP
 * off, scraped every second with one board that reads, the same with the board in a real browser on
 * this machine, and with a hundred boards that never read.
 *
 * node_modules/.bin/node bench/watching.ts [bets per client] [rounds] [part of a name]
 */
import * as Net from "node:net"
import { Effect, Schedule, type Scope } from "effect"
import { chromium } from "playwright-core"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { books, freshStore, type Server, startServer, upload } from "./measure/Lottery.ts"
import { inTurns, medianOf } from "./measure/Turns.ts"

const BETS = Number(process.argv[2] ?? 1_000_000)
const ROUNDS = Number(process.argv[3] ?? 7)
const ONLY = process.argv[4] ?? ""
const AGENCIES = 5
const SILENT_BOARDS = 100
/** A browser is busy with itself for a moment after its start. */
const SETTLE = "5 seconds"

type Watch = (server: Server) => Effect.Effect<unknown, never, Scope.Scope>

const LISTENS_HTTP = /"url":"(http:[^"]+)"/
const urlOf = ({ log }: Server): string => LISTENS_HTTP.exec(log())![1]!

const scrape: Watch = (server) =>
  Effect.promise(async () => await (await fetch(`${urlOf(server)}/metrics`)).text()).pipe(
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.forkScoped
  )

/** Connects a board; `read` tells whether it reads what it is sent. */
const board =
  (read: boolean): Watch =>
  (server) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const { hostname, port } = new URL(urlOf(server))
        const socket = Net.connect(Number(port), hostname)
        socket.write(`GET /api/events HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
        if (read) socket.resume()
        else socket.pause()
        return socket
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )

const browser: Watch = (server) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const opened = await chromium.launch({
        executablePath: "/usr/bin/chromium",
        args: ["--no-sandbox"]
      })
      const page = await opened.newPage()
      await page.goto(urlOf(server))
      return opened
    }),
    (opened) => Effect.promise(() => opened.close())
  )

const all =
  (...watches: ReadonlyArray<Watch>): Watch =>
  (server) =>
    Effect.forEach(watches, (watch) => watch(server))

const measure = (folder: string, watch: Watch | undefined) =>
  Effect.gen(function* () {
    const store = yield* freshStore("csv", undefined)
    const more = watch === undefined ? [] : ["--http", "127.0.0.1:0"]
    const server = yield* startServer(folder, store, AGENCIES, more)
    if (watch !== undefined) yield* watch(server)
    yield* Effect.sleep(SETTLE)
    const from = yield* books(folder, AGENCIES, BETS)
    const figures = yield* upload(folder, server, {
      agencies: AGENCIES,
      bets: BETS,
      dialect: "native",
      books: from
    })
    yield* server.stop
    return figures
  }).pipe(Effect.scoped)

const VARIANTS: Readonly<Record<string, Watch | undefined>> = {
  "HTTP off": undefined,
  "scraped and one board": all(scrape, board(true)),
  "scraped and one browser here": all(scrape, browser),
  "100 boards that never read": all(...Array<Watch>(SILENT_BOARDS).fill(board(false)))
}

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* books(folder, AGENCIES, BETS)
  const names = Object.keys(VARIANTS).filter((name) => name === "HTTP off" || name.includes(ONLY))
  const rounds = yield* inTurns(
    ROUNDS,
    Object.fromEntries(names.map((name) => [name, measure(folder, VARIANTS[name])]))
  )
  for (const name of names) {
    const of = (round: (typeof rounds)[number]) => round[name]!
    const rate = medianOf(rounds, (round) => of(round).rate)
    const ratio = medianOf(rounds, (round) => of(round).rate / round["HTTP off"]!.rate)
    const cpu = medianOf(rounds, (round) => of(round).cpu / round["HTTP off"]!.cpu)
    const peak = medianOf(rounds, (round) => of(round).peakBytes) / 2 ** 20
    console.log(
      `${name}: ${Math.round(rate)} bets/s, ratio ${ratio.toFixed(3)}, ` +
        `server's processor time ${cpu.toFixed(3)}, peak ${peak.toFixed(0)} MiB`
    )
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
