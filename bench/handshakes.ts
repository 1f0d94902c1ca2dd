/**
 * How long an honest agency takes to connect over TLS, from its first packet to an answer, while
 * strangers open and close connections as fast as they can be opened, or hold many of which the
 * handshake never ends. The server, the strangers and the agency are processes of their own.
 *
 * node_modules/.bin/node bench/handshakes.ts [seconds] [crowd]
 */
import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import * as Tls from "node:tls"
import { Effect } from "effect"
import { runLottery } from "../test/support/processes/lotteryCommand.ts"
import { startServer } from "../test/support/processes/lotteryParties.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { cpuSeconds, median, residentMib } from "./ProcessFigures.ts"
import * as Program from "./Program.ts"

const SECONDS = Number(process.argv[2] ?? 15)
/** Measures only the crowds whose name has this in it. */
const ONLY = process.argv[3] ?? ""
const STRANGERS = join(import.meta.dirname, "plain", "strangersAtTls.ts")
/** Between two connections of the agency, in milliseconds. */
const PAUSE = 50

const CROWDS: ReadonlyArray<readonly [name: string, args: ReadonlyArray<string>]> = [
  ["nobody", []],
  ["six addresses open and close 2,000 a second", ["open", "2000", "6", "nothing"]],
  ["the same, with the first bytes of a handshake", ["open", "2000", "6", "half"]],
  ["the same, with a handshake's first message", ["open", "2000", "6", "hello"]],
  ["four addresses hold 400 silent ones each", ["hold", "400", "4", "nothing"]],
  ["the same, with the first bytes of a handshake", ["hold", "400", "4", "half"]],
  ["the same, with a handshake's first message", ["hold", "400", "4", "hello"]],
  ["200 addresses hold 20 each, with the first bytes", ["hold", "20", "200", "half"]]
]

/** Milliseconds until a new connection has its answer. */
const connect = (port: number, tls: Tls.ConnectionOptions) =>
  Effect.callback<number>((resume) => {
    const start = performance.now()
    const done = () => resume(Effect.succeed(performance.now() - start))
    const socket = Tls.connect({ host: "127.0.0.1", port, servername: "localhost", ...tls })
    socket.once("data", done).once("error", () => resume(Effect.succeed(Number.POSITIVE_INFINITY)))
    socket.end("PING\n")
  })

const measure = Effect.fnUntraced(function* (args: ReadonlyArray<string>, crowd: number) {
  const folder = yield* temporaryFolder
  yield* runLottery({ args: ["keys", "--agencies", "1", "--out", folder] })
  const file = (name: string) => join(folder, name)
  const server = yield* startServer({
    store: `sqlite:${file("lottery.db")}`,
    more: [
      ...["--agencies", "1", "--tls-cert", file("server.pem"), "--tls-key", file("server-key.pem")],
      ...["--tls-client-ca", file("ca.pem")]
    ]
  })
  const pid = server.child.pid!
  const { port } = server
  const tls = {
    ca: readFileSync(file("ca.pem")),
    cert: readFileSync(file("agency-1.pem")),
    key: readFileSync(file("agency-1-key.pem"))
  }
  yield* Effect.replicateEffect(connect(port, tls), 20)
  const strangers =
    args.length === 0
      ? undefined
      : yield* Program.start({
          command: process.execPath,
          args: [STRANGERS, `${port}`, ...args, `${2 + crowd}`],
          folder
        })
  yield* Effect.sleep("3 seconds")
  const begin = performance.now()
  const cpu = cpuSeconds(pid)
  const millis: Array<number> = []
  while (performance.now() - begin < SECONDS * 1000) {
    millis.push(yield* connect(port, tls))
    yield* Effect.sleep(PAUSE)
  }
  const opened = (strangers?.output() ?? "").split("\n").filter(Boolean).slice(3).map(Number)
  return {
    median: median(millis),
    most: Math.max(...millis),
    opened: opened.length === 0 ? 0 : Math.round(median(opened)),
    cpu: (cpuSeconds(pid) - cpu) / ((performance.now() - begin) / 1000),
    mib: residentMib(pid)
  }
}, Effect.scoped)

const main = Effect.gen(function* () {
  console.log(`${availableParallelism()} processors, ${SECONDS} s each`)
  console.log("strangers | opened a second | connected in ms: median, most | server's CPU | MiB")
  for (const [crowd, [name, args]] of CROWDS.entries()) {
    if (!name.includes(ONLY)) continue
    const { cpu, median, mib, most, opened } = yield* measure(args, crowd)
    const times = `${median.toFixed(0)}, ${most.toFixed(0)}`
    console.log(`${name} | ${opened} | ${times} | ${cpu.toFixed(2)} | ${mib}`)
  }
})

await Effect.runPromise(main)
