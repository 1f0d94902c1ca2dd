/**
 * Measures how clients of HTTP slow agencies down: the rate at which three books are stored, one
 * in each dialect, while a crowd asks again and again, holds connections or never reads. The
 * rates with and without the crowd are measured alternately. The server and the agencies are
 * separate processes; the crowd is in this one and uses the same processors.
 *
 * node_modules/.bin/node bench/httpAttacks.ts [bets per agency] [runs] [part of a crowd's name]
 */
import * as Net from "node:net"
import { availableParallelism } from "node:os"
import { Effect } from "effect"
import { request } from "../test/support/peers/rawHttp.ts"
import { startLottery } from "../test/support/processes/lotteryCommand.ts"
import { clientArgs, generate, startServer } from "../test/support/processes/lotteryParties.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { cpuSeconds, median, residentMib } from "./measure/ProcessFigures.ts"

const BETS = Number(process.argv[2] ?? 300_000)
const RUNS = Number(process.argv[3] ?? 3)
const ONLY = process.argv[4] ?? ""
const DIALECTS = ["native", "binary", "json"]
/** How soon a peer connects again, unless it asks as fast as it can. */
const PAUSE_MILLIS = 500

interface Crowd {
  readonly name: string
  readonly count: number
  readonly onConnect: string
  readonly everySecond?: string
  readonly neverReads?: boolean
  readonly pauseMillis?: number
}

const CROWDS: ReadonlyArray<Crowd> = [
  {
    name: "500 that send a header slowly",
    count: 500,
    onConnect: "GET / HTTP/1.1\r\n",
    everySecond: "a"
  },
  { name: "9,000 that are silent", count: 9000, onConnect: "" },
  { name: "128 boards", count: 128, onConnect: request("/api/events") },
  {
    name: "500 boards that never read",
    count: 500,
    onConnect: request("/api/events"),
    neverReads: true
  },
  {
    name: "50 that ask for /metrics in a loop",
    count: 50,
    onConnect: request("/metrics"),
    pauseMillis: 0
  },
  {
    name: "50 that ask for /api/standing in a loop",
    count: 50,
    onConnect: request("/api/standing"),
    pauseMillis: 0
  },
  {
    name: "50 that send 1,000 requests at once in a loop",
    count: 50,
    onConnect: request("/metrics").repeat(1000),
    pauseMillis: 0
  },
  {
    name: "50 that send a header of 1 MB in a loop",
    count: 50,
    onConnect: `GET / HTTP/1.1\r\nX: ${"a".repeat(1 << 20)}`,
    pauseMillis: 0
  }
]

/** Counts the connections that the server has closed. */
const gather = Effect.fnUntraced(function* (port: number, crowd: Crowd) {
  const { everySecond, neverReads = false, onConnect, pauseMillis = PAUSE_MILLIS } = crowd
  const sockets = new Set<Net.Socket>()
  let hasStopped = false
  const closed = { count: 0 }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      hasStopped = true
      for (const socket of sockets) socket.destroy()
    })
  )
  const connect = () => {
    if (hasStopped) return
    const socket = Net.connect({ host: "127.0.0.1", port })
    let timer: NodeJS.Timeout | undefined
    sockets.add(socket)
    if (neverReads) socket.pause()
    else socket.resume()
    socket.on("connect", () => {
      socket.write(onConnect)
      if (everySecond !== undefined) timer = setInterval(() => socket.write(everySecond), 1000)
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      clearInterval(timer)
      sockets.delete(socket)
      closed.count++
      setTimeout(connect, pauseMillis)
    })
  }
  for (let index = 0; index < crowd.count; index++) {
    connect()
    if (index % 200 === 199) yield* Effect.sleep("20 millis")
  }
  yield* Effect.sleep("1 second")
  return closed
})

const measure = Effect.fnUntraced(function* (folder: string, crowd: Crowd | undefined) {
  const own = yield* temporaryFolder
  const server = yield* startServer({
    store: `sqlite:${own}/lottery.db`,
    more: ["--agencies", `${DIALECTS.length}`, "--http", "127.0.0.1:0"]
  })
  const pid = server.child.pid!
  const [, httpPort] = yield* server.logged(/url: http:\/\/127\.0\.0\.1:(\d+)/)
  const closed = crowd === undefined ? { count: 0 } : yield* gather(Number(httpPort), crowd)
  let maximumMib = 0
  yield* Effect.sync(() => {
    maximumMib = Math.max(maximumMib, residentMib(pid))
  }).pipe(Effect.andThen(Effect.sleep("50 millis")), Effect.forever, Effect.forkScoped)
  const [cpuBefore, closedBefore] = [cpuSeconds(pid), closed.count]
  const clients = yield* Effect.all(
    DIALECTS.map((dialect, index) =>
      startLottery({ args: clientArgs(folder, index + 1, server, dialect) })
    )
  )
  yield* server.logged(/apuestas_almacenadas/)
  const begin = performance.now()
  yield* server.logged(/action: sorteo/)
  const seconds = (performance.now() - begin) / 1000
  const [cpu, count] = [cpuSeconds(pid) - cpuBefore, closed.count - closedBefore]
  for (const { outcome } of clients) {
    const { code, stderr } = yield* outcome
    if (code !== 0) return yield* Effect.die(new Error(stderr))
  }
  const lines = server.stderr().split("\n").length
  return {
    rate: (BETS * DIALECTS.length) / seconds,
    maximumMib,
    cpu,
    closedPerSecond: count / seconds,
    lines
  }
}, Effect.scoped)
type Measured = Effect.Success<ReturnType<typeof measure>>

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* generate(folder, BETS, 7, DIALECTS.length)
  console.log(
    `${DIALECTS.join(", ")} with ${BETS} bets each, ${availableParallelism()} processors, ` +
      `median of ${RUNS} pairs`
  )
  console.log(
    "crowd | rate with / without it | bets per second | connections closed per second | " +
      "server's processor seconds without, with | resident MiB without, with | log lines"
  )
  for (const crowd of CROWDS.filter(({ name }) => name.includes(ONLY))) {
    const pairs: Array<readonly [Measured, Measured]> = []
    for (let run = 0; run < RUNS; run++) {
      pairs.push([yield* measure(folder, undefined), yield* measure(folder, crowd)])
    }
    const of = (index: 0 | 1, figure: keyof Measured) =>
      median(pairs.map((pair) => pair[index][figure]))
    console.log(
      [
        crowd.name,
        median(pairs.map(([without, with_]) => with_.rate / without.rate)).toFixed(2),
        Math.round(of(1, "rate")).toLocaleString("en"),
        Math.round(of(1, "closedPerSecond")).toLocaleString("en"),
        `${of(0, "cpu").toFixed(1)}, ${of(1, "cpu").toFixed(1)}`,
        `${of(0, "maximumMib")}, ${of(1, "maximumMib")}`,
        `${of(0, "lines")}, ${of(1, "lines")}`
      ].join(" | ")
    )
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
