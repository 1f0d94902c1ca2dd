/**
 * Measures how unidentified peers slow agencies down: the rate at which books are stored while a
 * crowd holds hundreds or thousands of connections that send almost nothing, send as much as they
 * may and stop, or never read. The rates with and without the crowd are measured alternately.
 * The server and the agencies are separate processes; the crowd is in this one.
 *
 * node_modules/.bin/node bench/unidentifiedPeers.ts [bets per agency] [runs] [part of crowd's name]
 */
import { copyFileSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { startLottery } from "../test/support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  generate,
  startServer
} from "../test/support/processes/lotteryParties.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { median, residentMib } from "./measure/ProcessFigures.ts"

const AGENCIES = 4
const BETS = Number(process.argv[2] ?? 300_000)
const RUNS = Number(process.argv[3] ?? 3)
const ONLY = process.argv[4] ?? ""
const DIALECTS = ["native", "binary", "json", "native"]
/**
 * The books of two more agencies are stored in advance, one bet of the first followed by several of
 * the second, so that the first agency's bets are far apart in the file.
 */
const SCATTERED = AGENCIES + 1
const BETWEEN = AGENCIES + 2
const SCATTERED_BETS = 2000
const BETS_BETWEEN = 100

interface Ports {
  readonly port: number
  readonly winnersPort: number
}

interface Behaviour {
  readonly winners?: boolean
  readonly onConnect: Uint8Array
  /** Several values are sent in turn. */
  readonly everySecond?: Uint8Array | ReadonlyArray<Uint8Array>
  readonly neverReads?: boolean
}

interface Crowd {
  readonly name: string
  readonly count: number
  readonly behaviours: ReadonlyArray<Behaviour>
}

const PREFACE = Buffer.from("ff4c5452590d0a01", "hex")

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const DIGIT = Buffer.from("1")
/** The start of a JSON message: its length prefix and `sent` bytes of content. */
const jsonOf = (length: number, sent: number): Buffer =>
  Buffer.concat([u32(length), Buffer.from('{"payload":["'), Buffer.alloc(sent, "a")])

const LARGEST_JSON = 8 * 1024 * 1024

const packetOf = (line: string): Buffer => {
  const content = Buffer.from(`${SCATTERED};${line.replaceAll(",", ";")}`)
  return Buffer.concat([u32(content.length + 2).subarray(2), content, Buffer.of(0, 1)])
}

const crowdsWith = (scattered: ReadonlyArray<string>): ReadonlyArray<Crowd> => [
  {
    name: "500 that send the first bytes slowly",
    count: 500,
    behaviours: [
      { onConnect: Buffer.alloc(0), everySecond: DIGIT },
      { onConnect: PREFACE.subarray(0, 4) }
    ]
  },
  {
    name: "500 that send a header slowly",
    count: 500,
    behaviours: [
      { onConnect: Buffer.concat([PREFACE, u32(100).subarray(0, 2)]) },
      { onConnect: Buffer.concat([PREFACE, u32(100), Buffer.of(1)]), everySecond: DIGIT },
      { onConnect: Buffer.from("ffff", "hex"), everySecond: DIGIT }
    ]
  },
  {
    name: "500 that send a body slowly",
    count: 500,
    behaviours: [
      { onConnect: Buffer.from("ffff313b", "hex"), everySecond: DIGIT },
      { onConnect: jsonOf(LARGEST_JSON, 0), everySecond: DIGIT },
      { onConnect: jsonOf(250_000, 0), everySecond: DIGIT }
    ]
  },
  {
    name: "500 that send most of a body and stop",
    count: 500,
    behaviours: [
      { onConnect: Buffer.concat([Buffer.from("ffff313b", "hex"), Buffer.alloc(65_000, "1")]) },
      { onConnect: jsonOf(LARGEST_JSON, LARGEST_JSON - 100) },
      { onConnect: jsonOf(250_000, 200_000) }
    ]
  },
  {
    name: "500 that ask again and again and never read",
    count: 500,
    behaviours: [{ onConnect: Buffer.from("PING\n"), neverReads: true }]
  },
  {
    name: "1,000 that send one bet of a stored book",
    count: 1000,
    behaviours: [{ onConnect: packetOf(scattered[0]!) }]
  },
  {
    name: "500 that send a stored book bet by bet, one bet per second each",
    count: 500,
    behaviours: [{ onConnect: Buffer.alloc(0), everySecond: scattered.map(packetOf) }]
  },
  {
    name: "9,900 that are silent on the second port",
    count: 9900,
    behaviours: [{ onConnect: Buffer.alloc(0), winners: true }]
  }
]

/** Source addresses of the crowd; the agencies have another one. */
const ADDRESSES = 20

/** Connects a peer, and reconnects it whenever the server disconnects it. */
const keepConnected = (
  index: number,
  ports: Ports,
  behaviour: Behaviour,
  sockets: Set<Net.Socket>
) => {
  let hasStopped = false
  const connect = () => {
    if (hasStopped) return
    const socket = Net.connect({
      host: "127.0.0.1",
      port: behaviour.winners ? ports.winnersPort : ports.port,
      localAddress: `127.0.1.${1 + (index % ADDRESSES)}`
    })
    sockets.add(socket)
    let timer: NodeJS.Timeout | undefined
    socket.on("connect", () => {
      socket.write(behaviour.onConnect)
      const drips = [behaviour.everySecond ?? []].flat()
      let turn = 0
      const drip = () => socket.write(drips[turn++ % drips.length]!)
      if (drips.length > 0) timer = setInterval(drip, 1000)
      if (behaviour.neverReads) socket.pause()
      else socket.resume()
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      clearInterval(timer)
      sockets.delete(socket)
      setTimeout(connect, 100)
    })
  }
  connect()
  return () => {
    hasStopped = true
  }
}

const gather = Effect.fnUntraced(function* (
  ports: Ports,
  { behaviours, count }: Crowd
): Effect.fn.Return<void, never, Scope.Scope> {
  const sockets = new Set<Net.Socket>()
  const stops: Array<() => void> = []
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const stop of stops) stop()
      for (const socket of sockets) socket.destroy()
    })
  )
  for (let index = 0; index < count; index++) {
    stops.push(keepConnected(index, ports, behaviours[index % behaviours.length]!, sockets))
    if (index % 200 === 199) yield* Effect.sleep("20 millis")
  }
  yield* Effect.sleep("1 second")
})

interface Measured {
  readonly betsPerSecond: number
  readonly residentMib: number
  readonly maximumMib: number
}

const measure = Effect.fnUntraced(function* (folder: string, crowd: Crowd | undefined) {
  const own = yield* temporaryFolder
  copyFileSync(join(folder, "bets.csv"), join(own, "bets.csv"))
  const server = yield* startServer({
    store: `csv:${own}/bets.csv`,
    more: ["--agencies", `${BETWEEN}`]
  })
  const pid = server.child.pid!
  if (crowd !== undefined) yield* gather(server, crowd)
  const before = residentMib(pid)
  let maximum = before
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(
        Effect.sync(() => {
          maximum = Math.max(maximum, residentMib(pid))
        }),
        Effect.sleep("50 millis")
      )
    )
  )
  const clients = yield* Effect.all(
    [...DIALECTS, "native", "native"].map((dialect, index) =>
      startLottery({ args: clientArgs(folder, index + 1, server, dialect) })
    )
  )
  yield* server.logged(/apuestas_almacenadas/)
  const begin = performance.now()
  yield* server.logged(/action: sorteo/)
  const seconds = (performance.now() - begin) / 1000
  for (const { outcome } of clients) {
    const { code, stderr } = yield* outcome
    if (code !== 0) return yield* Effect.die(new Error(stderr))
  }
  return {
    betsPerSecond: (BETS * AGENCIES) / seconds,
    residentMib: before,
    maximumMib: maximum
  } satisfies Measured
}, Effect.scoped)

const linesOf = (folder: string, agency: number, count: number): ReadonlyArray<string> =>
  bookOf(folder, agency).split("\n").filter(Boolean).slice(0, count)

/** Writes the store and the book files of the two agencies; returns the first book's lines. */
const storeScattered = (folder: string): ReadonlyArray<string> => {
  const scattered = linesOf(folder, SCATTERED, SCATTERED_BETS)
  const between = linesOf(folder, BETWEEN, SCATTERED_BETS * BETS_BETWEEN)
  const rows = scattered.flatMap((line, index) => [
    `${SCATTERED},${line}`,
    ...between
      .slice(index * BETS_BETWEEN, (index + 1) * BETS_BETWEEN)
      .map((other) => `${BETWEEN},${other}`)
  ])
  const write = (name: string, lines: ReadonlyArray<string>) =>
    writeFileSync(join(folder, name), lines.map((line) => `${line}\r\n`).join(""))
  write("bets.csv", rows)
  write(`agency-${SCATTERED}.csv`, scattered)
  write(`agency-${BETWEEN}.csv`, between)
  return scattered
}

const main = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* generate(folder, BETS, 7, BETWEEN)
  const crowds = crowdsWith(storeScattered(folder))
  console.log(
    `${AGENCIES} agencies (${DIALECTS.join(", ")}) with ${BETS} bets each, ` +
      `${availableParallelism()} processors, median of ${RUNS} pairs`
  )
  console.log("crowd | rate with / without it | bets per second | resident MiB before, maximum")
  for (const crowd of crowds.filter(({ name }) => name.includes(ONLY))) {
    const ratios: Array<number> = []
    const rates: Array<number> = []
    let last: Measured | undefined
    for (let run = 0; run < RUNS; run++) {
      const without = yield* measure(folder, undefined)
      last = yield* measure(folder, crowd)
      ratios.push(last.betsPerSecond / without.betsPerSecond)
      rates.push(last.betsPerSecond)
    }
    console.log(
      [
        crowd.name,
        median(ratios).toFixed(2),
        Math.round(median(rates)).toLocaleString("en"),
        `${last!.residentMib}, ${last!.maximumMib}`
      ].join(" | ")
    )
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
