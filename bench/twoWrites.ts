/**
 * Measures clients that send a message's header and body in two writes and wait for each answer, as
 * some of the course's clients do: five books of the real ones' sizes at once, in JSON. Compares
 * them with clients that send both in one write.
 *
 * node_modules/.bin/node bench/twoWrites.ts [HOST PORT BATCH]
 *
 * With arguments it uses that server, which needs five agencies and an empty store, for one
 * measurement with two writes.
 */
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { Console, Effect } from "effect"
import { chunkOf } from "../test/support/peers/messages.ts"
import build from "../test/support/processes/buildCommand.ts"
import { EXPECTED } from "../test/support/realBooks.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { freshStore, startServer } from "./measure/Lottery.ts"
import { shown } from "./report/PerformanceTable.ts"
import { generated } from "./sections/startUp.ts"

const HEADER_BYTES = 4

interface Address {
  readonly host: string
  readonly port: number
}

/** The messages of a book. */
const messagesOf = (folder: string, agency: number, batch: number) => {
  const lines = readFileSync(join(folder, `agency-${agency}.csv`), "utf8")
    .trim()
    .split("\r\n")
  const messages: Array<Buffer> = []
  for (let start = 0; start < lines.length; start += batch) {
    const bets = lines.slice(start, start + batch).map((line) => line.split(","))
    messages.push(chunkOf(agency, bets, start + batch >= lines.length))
  }
  return messages
}

/** Sends messages one after the other, each after the answer to the one before it. */
const send = ({ host, port }: Address, messages: ReadonlyArray<Buffer>, writes: 1 | 2) =>
  Effect.callback<void>((resume) => {
    // Like a socket of Python, it has Nagle's algorithm.
    const socket = connect({ host, port, noDelay: false })
    let next = 0
    const sendNext = () => {
      const message = messages[next++]
      if (message === undefined) return resume(Effect.sync(() => socket.destroy()))
      if (writes === 1) return socket.write(message)
      socket.write(message.subarray(0, HEADER_BYTES))
      return socket.write(message.subarray(HEADER_BYTES))
    }
    socket.on("connect", sendNext)
    // Every answer is small and arrives whole.
    socket.on("data", sendNext)
    socket.on("error", (error) => resume(Effect.die(error)))
  })

const sendBooks = Effect.fnUntraced(function* (
  address: Address,
  books: string,
  batch: number,
  writes: 1 | 2
) {
  const all = EXPECTED.map(({ agency }) => messagesOf(books, agency, batch))
  const begin = performance.now()
  yield* Effect.forEach(all, (messages) => send(address, messages, writes), {
    concurrency: "unbounded"
  })
  return (performance.now() - begin) / 1000
})

const measure = Effect.fnUntraced(function* (books: string, batch: number, writes: 1 | 2) {
  const folder = yield* temporaryFolder
  const server = yield* startServer(folder, yield* freshStore("csv", undefined), EXPECTED.length)
  const address = { host: "127.0.0.1", port: server.port }
  return yield* sendBooks(address, books, batch, writes)
}, Effect.scoped)

const main = Effect.gen(function* () {
  yield* Effect.promise(build)
  const books = yield* generated(yield* temporaryFolder, 1)
  const [host, port, batch] = process.argv.slice(2)
  if (host !== undefined) {
    const seconds = yield* sendBooks({ host, port: Number(port) }, books, Number(batch), 2)
    return yield* Console.log(`${shown(seconds)} s`)
  }
  for (const batch of [100, 1000]) {
    for (const writes of [2, 1] as const) {
      const seconds = yield* measure(books, batch, writes)
      const how = writes === 1 ? "one write" : "two writes"
      yield* Console.log(`${how} per message of ${batch} bets: ${shown(seconds)} s`)
    }
  }
}).pipe(Effect.scoped)

await Effect.runPromise(main)
