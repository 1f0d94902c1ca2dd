/**
 * Measures the server's memory while thousands of peers send at once: before they connect, while
 * all are connected and silent, and the maximum while they send. The peers are all in this process
 * and never complete a message.
 *
 * node_modules/.bin/node bench/memory.ts [connections]
 */
import * as Net from "node:net"
import { Effect } from "effect"
import { startServer } from "../test/support/processes/lotteryParties.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { residentMib } from "./measure/ProcessFigures.ts"

const CONNECTIONS = Number(process.argv[2] ?? 9000)
const ADDRESSES = 20
const SENDING_SECONDS = 8

const jsonOf = (length: number, sent: number): Buffer => {
  const bytes = Buffer.alloc(4 + sent, "a")
  bytes.writeUInt32BE(length)
  bytes.write('{"payload":["', 4)
  return bytes
}

const LARGEST_JSON = 8 * 1024 * 1024

const FLOODS: ReadonlyArray<readonly [name: string, bytes: Buffer]> = [
  [
    "binary packets of 65 kB",
    Buffer.concat([Buffer.from("ffff313b", "hex"), Buffer.alloc(65_000, "1")])
  ],
  ["JSON messages of 250 kB", jsonOf(250_000, 249_000)],
  ["JSON messages of 8 MiB", jsonOf(LARGEST_JSON, LARGEST_JSON - 1000)]
]

/** Connects to the winners' port, where silence is allowed. */
const connect = Effect.fnUntraced(function* (port: number) {
  const sockets: Array<Net.Socket> = []
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
    })
  )
  for (let index = 0; index < CONNECTIONS; index++) {
    const localAddress = `127.0.1.${1 + (index % ADDRESSES)}`
    const socket = Net.connect({ host: "127.0.0.1", port, localAddress })
    sockets.push(socket.on("error", () => {}).resume())
    if (index % 200 === 199) yield* Effect.sleep("20 millis")
  }
  yield* Effect.sleep("2 seconds")
  return sockets
})

const measure = Effect.fnUntraced(function* (bytes: Buffer) {
  const folder = yield* temporaryFolder
  const server = yield* startServer({ store: `csv:${folder}/bets.csv` })
  const pid = server.child.pid!
  const before = residentMib(pid)
  const sockets = yield* connect(server.winnersPort)
  const silent = residentMib(pid)
  for (const socket of sockets) socket.write(bytes)
  let maximum = silent
  for (let tenths = 0; tenths < 10 * SENDING_SECONDS; tenths++) {
    yield* Effect.sleep("100 millis")
    maximum = Math.max(maximum, residentMib(pid))
  }
  return { before, silent, maximum }
}, Effect.scoped)

const main = Effect.gen(function* () {
  console.log(`resident MiB, ${CONNECTIONS} connections`)
  console.log("peers send | before | connected | maximum | maximum - connected")
  for (const [name, bytes] of FLOODS) {
    const { before, maximum, silent } = yield* measure(bytes)
    console.log([name, before, silent, maximum, maximum - silent].join(" | "))
  }
})

await Effect.runPromise(main)
