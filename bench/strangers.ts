/**
 * What honest agencies notice of strangers: the rate at which their books are stored while others
 * hold hundreds or thousands of connections and send next to nothing, send all that they may and
 * stop, or never read. Beside each crowd the rate without it is measured, in turns; the server and
 * its agencies are processes of their own, the strangers are all in this one.
 *
 * node_modules/.bin/node bench/strangers.ts [bets of an agency] [runs] [crowd]
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
import { median, residentMib } from "./ProcessFigures.ts"

const AGENCIES = 4
const BETS = Number(process.argv[2] ?? 300_000)
const RUNS = Number(process.argv[3] ?? 3)
/** Measures only the crowds whose name has this in it. */
const ONLY = process.argv[4] ?? ""
const DIALECTS = ["native", "binary", "json", "native"]
/**
 * The books of two more agencies are stored before the others come: a bet of the first, some of the
 * second, and so on, so that the first agency's bets lie far apart.
 */
const SCATTERED = AGENCIES + 1
const BETWEEN = AGENCIES + 2
const SCATTERED_BETS = 2000
const BETS_BETWEEN = 100

interface Ports {
  readonly port: number
  readonly winnersPort: number
}

/** What a stranger does with a connection. */
interface Manners {
  readonly winners?: boolean
  /** Sent at once. */
  readonly first: Uint8Array
  /** Sent every second; of several one after the other. */
  readonly dripped?: Uint8Array | ReadonlyArray<Uint8Array>
  /** It takes nothing of what it is told. */
  readonly deaf?: boolean
}

interface Crowd {
  readonly name: string
  readonly count: number
  readonly manners: ReadonlyArray<Manners>
}

const PREFACE = Buffer.from("ff4c5452590d0a01", "hex")

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const DIGIT = Buffer.from("1")
/** The length of a JSON message and how it begins. */
const jsonOf = (length: number, sent: number): Buffer =>
  Buffer.concat([u32(length), Buffer.from('{"payload":["'), Buffer.alloc(sent, "a")])

const LARGEST_JSON = 8 * 1024 * 1024

/** A binary packet of one bet of the scattered book, as its line says. */
const packetOf = (line: string): Buffer => {
  const content = Buffer.from(`${SCATTERED};${line.replaceAll(",", ";")}`)
  return Buffer.concat([u32(content.length + 2).subarray(2), content, Buffer.of(0, 1)])
}

const crowdsWith = (scattered: ReadonlyArray<string>): ReadonlyArray<Crowd> => [
  {
    name: "500 that send the first bytes slowly",
    count: 500,
    manners: [{ first: Buffer.alloc(0), dripped: DIGIT }, { first: PREFACE.subarray(0, 4) }]
  },
  {
    name: "500 that send a header slowly",
    count: 500,
    manners: [
      { first: Buffer.concat([PREFACE, u32(100).subarray(0, 2)]) },
      { first: Buffer.concat([PREFACE, u32(100), Buffer.of(1)]), dripped: DIGIT },
      { first: Buffer.from("ffff", "hex"), dripped: DIGIT }
    ]
  },
  {
    name: "500 that send a body slowly",
    count: 500,
    manners: [
      { first: Buffer.from("ffff313b", "hex"), dripped: DIGIT },
      { first: jsonOf(LARGEST_JSON, 0), dripped: DIGIT },
      { first: jsonOf(250_000, 0), dripped: DIGIT }
    ]
  },
  {
    name: "500 that send most of a body and stop",
    count: 500,
    manners: [
      { first: Buffer.concat([Buffer.from("ffff313b", "hex"), Buffer.alloc(65_000, "1")]) },
      { first: jsonOf(LARGEST_JSON, LARGEST_JSON - 100) },
      { first: jsonOf(250_000, 200_000) }
    ]
  },
  {
    name: "500 that ask again and again and never read",
    count: 500,
    manners: [{ first: Buffer.from("PING\n"), deaf: true }]
  },
  {
    name: "1,000 that send one bet of a stored book",
    count: 1000,
    manners: [{ first: packetOf(scattered[0]!) }]
  },
  {
    name: "500 that go through a stored book bet by bet",
    count: 500,
    manners: [{ first: Buffer.alloc(0), dripped: scattered.map(packetOf) }]
  },
  {
    name: "9,900 that are silent on the second port",
    count: 9900,
    manners: [{ first: Buffer.alloc(0), winners: true }]
  }
]

/** Strangers come from so many addresses, beside the agencies' own. */
const ADDRESSES = 20

/** A stranger, which comes again whenever it is sent away. */
const keepComing = (index: number, ports: Ports, manners: Manners, sockets: Set<Net.Socket>) => {
  let isGone = false
  const come = () => {
    if (isGone) return
    const socket = Net.connect({
      host: "127.0.0.1",
      port: manners.winners ? ports.winnersPort : ports.port,
      localAddress: `127.0.1.${1 + (index % ADDRESSES)}`
    })
    sockets.add(socket)
    let timer: NodeJS.Timeout | undefined
    socket.on("connect", () => {
      socket.write(manners.first)
      const drips = [manners.dripped ?? []].flat()
      let turn = 0
      const drip = () => socket.write(drips[turn++ % drips.length]!)
      if (drips.length > 0) timer = setInterval(drip, 1000)
      if (manners.deaf) socket.pause()
      else socket.resume()
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      clearInterval(timer)
      sockets.delete(socket)
      setTimeout(come, 100)
    })
  }
  come()
  return () => {
    isGone = true
  }
}

/** Lets a crowd in until the scope closes, and waits until it is there. */
const gather = Effect.fnUntraced(function* (
  ports: Ports,
  { count, manners }: Crowd
): Effect.fn.Return<void, never, Scope.Scope> {
  const sockets = new Set<Net.Socket>()
  const leave: Array<() => void> = []
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const go of leave) go()
      for (const socket of sockets) socket.destroy()
    })
  )
  for (let index = 0; index < count; index++) {
    leave.push(keepComing(index, ports, manners[index % manners.length]!, sockets))
    if (index % 200 === 199) yield* Effect.sleep("20 millis")
  }
  yield* Effect.sleep("1 second")
})

interface Measured {
  /** Bets a second. */
  readonly rate: number
  readonly residentMib: number
  readonly mostMib: number
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
  let most = before
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(
        Effect.sync(() => {
          most = Math.max(most, residentMib(pid))
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
    rate: (BETS * AGENCIES) / seconds,
    residentMib: before,
    mostMib: most
  } satisfies Measured
}, Effect.scoped)

const linesOf = (folder: string, agency: number, count: number): ReadonlyArray<string> =>
  bookOf(folder, agency).split("\n").filter(Boolean).slice(0, count)

/** Makes a store of the two stored books, and lets their agencies have just these bets. */
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
  console.log("crowd | rate with / without it | bets a second | resident MiB before, at most")
  for (const crowd of crowds.filter(({ name }) => name.includes(ONLY))) {
    const ratios: Array<number> = []
    const rates: Array<number> = []
    let last: Measured | undefined
    for (let run = 0; run < RUNS; run++) {
      const without = yield* measure(folder, undefined)
      last = yield* measure(folder, crowd)
      ratios.push(last.rate / without.rate)
      rates.push(last.rate)
    }
    console.log(
      [
        crowd.name,
        median(ratios).toFixed(2),
        Math.round(median(rates)).toLocaleString("en"),
        `${last!.residentMib}, ${last!.mostMib}`
      ].join(" | ")
    )
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
