/**
 * What the server holds at most when thousands send at once: its resident memory before, with all
 * of them connected and silent, and at most while they send. They are all in this process, and end
 * no message.
 *
 * node_modules/.bin/node bench/memory.ts [connections]
 */
import * as Net from "node:net"
import { Effect } from "effect"
import { startServer } from "../test/support/processes/lotteryParties.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { residentMib } from "./ProcessFigures.ts"

const CONNECTIONS = Number(process.argv[2] ?? 9000)
const ADDRESSES = 20
/** So long they are watched once they send. */
const WATCHED_SECONDS = 8

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

/** Connects to the port on which silence is usual. */
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
  let most = silent
  for (let tenths = 0; tenths < 10 * WATCHED_SECONDS; tenths++) {
    yield* Effect.sleep("100 millis")
    most = Math.max(most, residentMib(pid))
  }
  return { before, silent, most }
}, Effect.scoped)

const main = Effect.gen(function* () {
  console.log(`resident MiB, ${CONNECTIONS} connections`)
  console.log("what they send | before | connected | at most | more than connected")
  for (const [name, bytes] of FLOODS) {
    const { before, most, silent } = yield* measure(bytes)
    console.log([name, before, silent, most, most - silent].join(" | "))
  }
})

await Effect.runPromise(main)
