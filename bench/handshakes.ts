/**
 * Measures how long an agency takes to connect over TLS, from its first packet to an answer, while
 * unidentified peers open and close connections at a high rate, or hold many unfinished handshakes.
 * The server and the peers are separate processes; the agency is this one.
 *
 * node_modules/.bin/node bench/handshakes.ts [seconds] [part of a crowd's name]
 */
import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import * as Tls from "node:tls"
import { Effect } from "effect"
import { runLottery } from "../test/support/processes/lotteryCommand.ts"
import { startServer } from "../test/support/processes/lotteryParties.ts"
import { temporaryFolder } from "../test/support/TemporaryFolder.ts"
import { cpuSeconds, median, residentMib } from "./measure/ProcessFigures.ts"
import * as Program from "./measure/Program.ts"

const SECONDS = Number(process.argv[2] ?? 15)
const ONLY = process.argv[3] ?? ""
const PEERS = join(import.meta.dirname, "plain", "unidentifiedTlsPeers.ts")
const PAUSE_MILLIS = 50

const CROWDS: ReadonlyArray<readonly [name: string, args: ReadonlyArray<string>]> = [
  ["none", []],
  [
    "six addresses open 2,000 connections per second and close them",
    ["open", "2000", "6", "nothing"]
  ],
  ["the same, with the first bytes of a handshake", ["open", "2000", "6", "half"]],
  ["the same, with a handshake's whole first message", ["open", "2000", "6", "hello"]],
  ["four addresses hold 400 silent connections each", ["hold", "400", "4", "nothing"]],
  ["the same, with the first bytes of a handshake", ["hold", "400", "4", "half"]],
  ["the same, with a handshake's whole first message", ["hold", "400", "4", "hello"]],
  ["200 addresses hold 20 each, with the first bytes of a handshake", ["hold", "20", "200", "half"]]
]

/** Returns the milliseconds until a new connection gets an answer. */
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
  const peers =
    args.length === 0
      ? undefined
      : yield* Program.start({
          command: process.execPath,
          args: [PEERS, `${port}`, ...args, `${2 + crowd}`],
          folder
        })
  yield* Effect.sleep("3 seconds")
  const begin = performance.now()
  const cpu = cpuSeconds(pid)
  const millis: Array<number> = []
  while (performance.now() - begin < SECONDS * 1000) {
    millis.push(yield* connect(port, tls))
    yield* Effect.sleep(PAUSE_MILLIS)
  }
  const opened = (peers?.output() ?? "").split("\n").filter(Boolean).slice(3).map(Number)
  return {
    median: median(millis),
    maximum: Math.max(...millis),
    opened: opened.length === 0 ? 0 : Math.round(median(opened)),
    cpu: (cpuSeconds(pid) - cpu) / ((performance.now() - begin) / 1000),
    mib: residentMib(pid)
  }
}, Effect.scoped)

const main = Effect.gen(function* () {
  console.log(`${availableParallelism()} processors, ${SECONDS} s each`)
  console.log("peers | opened per second | connected in ms: median, maximum | server's CPU | MiB")
  for (const [crowd, [name, args]] of CROWDS.entries()) {
    if (!name.includes(ONLY)) continue
    const { cpu, maximum, median, mib, opened } = yield* measure(args, crowd)
    const times = `${median.toFixed(0)}, ${maximum.toFixed(0)}`
    console.log(`${name} | ${opened} | ${times} | ${cpu.toFixed(2)} | ${mib}`)
  }
})

await Effect.runPromise(main)
