/** Generates books, runs a server and clients as processes, and reads what is stored. */
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { Effect, Schema, Stream } from "effect"
import { expect } from "vitest"
import { BetStore, BetStoreReader } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { runLottery, startLottery } from "./lotteryCommand.ts"

export const AGENCIES = [1, 2, 3, 4, 5]

export const generate = (folder: string, bets: number, seed = 7, agencies = 5) =>
  runLottery({
    args: [
      ...["generate", "--agencies", `${agencies}`, "--bets", `${bets}`],
      ...["--seed", `${seed}`, "--out", folder]
    ]
  })

/** Reads an agency's book with LF line endings. */
export const bookOf = (folder: string, agency: number): string =>
  readFileSync(join(folder, `agency-${agency}.csv`), "utf8").replaceAll("\r\n", "\n")

/** Returns what a client prints after the draw. */
export const winnersOf = (book: string, number = 7574): string =>
  book
    .split("\n")
    .filter((line) => line.endsWith(`,${number}`))
    .map((line) => `${line.split(",")[2]}\n`)
    .join("")

export interface Ports {
  readonly port: number
  readonly winnersPort: number
}

/** Two free ports, so that a restarted server can reuse them. */
export const freePorts = Effect.map(
  Effect.forEach([0, 1], () =>
    Effect.callback<number>((resume) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = address !== null && typeof address === "object" ? address.port : 0
        server.close(() => resume(Effect.succeed(port)))
      })
    })
  ),
  ([port, winnersPort]): Ports => ({ port: port!, winnersPort: winnersPort! })
)

const FREE: Ports = { port: 0, winnersPort: 0 }

export interface ServerRun {
  readonly store: string
  readonly ports?: Ports
  readonly more?: ReadonlyArray<string>
  /** A prefix for the command line, such as a tracer. */
  readonly under?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

export const LISTENS = /listen .*port: (\d+) \| winners_port: (\d+)/

/** Starts a server without waiting until it listens. */
export const launchServer = ({ env = {}, more = [], ports = FREE, store, under = [] }: ServerRun) =>
  startLottery({
    args: [
      ...["server", "--host", "127.0.0.1", "--store", store],
      ...["--port", `${ports.port}`, "--winners-port", `${ports.winnersPort}`, ...more]
    ],
    under,
    env
  })

/** Starts a server and waits until it listens. */
export const startServer = Effect.fnUntraced(function* (run: ServerRun) {
  const server = yield* launchServer(run)
  const [, port, winnersPort] = yield* server.logged(LISTENS)
  return { ...server, port: Number(port), winnersPort: Number(winnersPort) }
})

export const clientArgs = (folder: string, agency: number, ports: Ports, dialect: string) => [
  "client",
  ...["--agency", `${agency}`, "--bets", join(folder, `agency-${agency}.csv`)],
  ...["--server", `127.0.0.1:${ports.port}`, "--winners-server", `127.0.0.1:${ports.winnersPort}`],
  ...["--dialect", dialect]
]

/** Returns the output of `lottery export` for an agency. */
export const exported = (store: string, agency: number) =>
  Effect.map(
    runLottery({ args: ["export", "--store", store, "--agency", `${agency}`] }),
    ({ code, stdout }) => {
      expect(code).toBe(0)
      return stdout
    }
  )

export const STORES = ["sqlite:lottery.db", "csv:bets.csv"] as const
export const inFolder = (folder: string, store: string): string => store.replace(":", `:${folder}/`)

/** Returns the number of bets in a store, which another process may be writing. */
export const heldBets = (store: string) =>
  Effect.gen(function* () {
    const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(store)
    const books = Effect.flatMap(BetStoreReader, ({ progress }) => progress)
    const progress = yield* Effect.provide(books, StoreUrl.layerReader(url, "default"))
    return [...progress.values()].reduce((sum, { bets }) => sum + bets, 0)
  }).pipe(Effect.scoped)

/** Returns an agency's book after the recovery that a server performs when it opens the store. */
export const recoveredBook = (store: string, agency: number) =>
  Effect.gen(function* () {
    const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(store)
    const read = Effect.gen(function* () {
      const { book } = yield* BetStore
      const batches = yield* Stream.runCollect(book(agency, 0))
      return Buffer.concat([...batches].map(({ bytes }) => bytes)).toString()
    })
    return yield* Effect.provide(read, StoreUrl.layer(url, "default"))
  }).pipe(Effect.scoped)
