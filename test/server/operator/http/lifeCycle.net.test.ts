/**
 * Goal: HTTP says what the server can do at each moment of its life, from before its store is open
 * until it has stopped, and never keeps it from starting, serving or stopping. Method: servers in
 * this process and the built command, on real stores, with a PostgreSQL that hangs and stops.
 */
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { dirname, join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { describe, expect } from "vitest"
import { fixedNumber } from "../../../../src/domain/Draw.ts"
import { StoreUnavailable } from "../../../../src/server/store/BetStore.ts"
import * as exchanges from "../../../support/peers/exchange.ts"
import { get, openBoard } from "../../../support/peers/rawHttp.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import {
  COMMAND,
  instead,
  type Run,
  runLottery,
  startLottery
} from "../../../support/processes/lotteryCommand.ts"
import { until } from "../../../support/stores/HeldTransaction.ts"
import { describeCluster, freshSchema } from "../../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const start = Effect.fnUntraced(function* (options: WatchedServer.Options = {}) {
  const path = `${yield* temporaryFolder}/lottery.db`
  return yield* WatchedServer.start({ _tag: "sqlite", path }, [1], options)
})

/** What the two paths for load balancers and supervisors say. */
const stateOf = Effect.fnUntraced(function* (port: number) {
  const [health, ready] = [yield* get(port, "/healthz"), yield* get(port, "/readyz")]
  return { health: health.status, ready: ready.status, reason: ready.body.trim() }
})

/** Less often than HTTP accepts connections. */
const LOOK_EVERY = "100 millis"

/** Waits for a state, because looks are shared for a moment. */
const becomes = Effect.fnUntraced(function* (
  port: number,
  expected: Effect.Success<ReturnType<typeof stateOf>>
) {
  let found: unknown
  const isSo = Effect.map(Effect.delay(stateOf(port), LOOK_EVERY), (state) => {
    found = state
    return JSON.stringify(state) === JSON.stringify(expected)
  })
  yield* Effect.timeoutOption(until(isSo), "20 seconds")
  expect(found).toEqual(expected)
})

const READY = { health: 200, ready: 200, reason: "ready" }
const notReady = (reason: string) => ({ health: 200, ready: 503, reason })

describe("the state", () => {
  it.live("follows the draw", () =>
    Effect.gen(function* () {
      const { httpPort, lottery, port, store } = yield* start({ source: { _tag: "announced" } })
      yield* becomes(httpPort, READY)
      const board = yield* openBoard(httpPort)
      const agency = yield* Effect.forkScoped(
        exchanges.exchange({ port }, exchanges.BOOKS.native(1))
      )
      yield* becomes(httpPort, notReady("waiting for the number"))
      yield* store.recordNumber(7574)
      yield* lottery.lookAgain
      yield* becomes(httpPort, notReady("drawn"))
      expect((yield* get(httpPort, "/metrics")).status).toBe(200)
      yield* until(Effect.sync(() => board.text().includes('"phase":"drawn"')))
      const answer = yield* Fiber.join(agency)
      expect(exchanges.winnersIn.native(answer)).toEqual(exchanges.expectedWinners(1).native)
    }).pipe(Effect.scoped)
  )

  it.live("is not ready while the store does not answer or is unavailable", () =>
    Effect.gen(function* () {
      let flaw: Effect.Effect<never, StoreUnavailable> | undefined
      const { httpPort } = yield* start({
        source: fixedNumber(7574),
        flaw: (store) => ({
          ...store,
          draw: Effect.suspend(() => flaw ?? store.draw)
        })
      })
      yield* becomes(httpPort, READY)
      flaw = Effect.never
      yield* becomes(httpPort, notReady("the store does not answer"))
      flaw = Effect.fail(new StoreUnavailable({ reason: "Zdisk at /secret/path" }))
      yield* becomes(httpPort, notReady("the store is unavailable"))
      flaw = undefined
      yield* becomes(httpPort, READY)
    }).pipe(Effect.scoped)
  )
})

const HTTP = ["--http", "127.0.0.1:0"]
const serve = (...args: ReadonlyArray<string>): Run => ({
  args: ["server", "--host", "127.0.0.1", "--port", "0", "--agencies", "1", ...args]
})
const httpPortOf = /url: http:\/\/127\.0\.0\.1:(\d+)/

describeCluster("PostgreSQL", (acquire) => {
  it.live("that hangs or stops makes the server not ready, until it is back", () =>
    Effect.gen(function* () {
      const cluster = yield* acquire
      const url = yield* freshSchema(cluster.url())
      yield* cluster.pause
      const server = yield* startLottery(serve(...HTTP, "--store", url))
      const httpPort = Number((yield* server.logged(httpPortOf))[1])
      yield* becomes(httpPort, notReady("opening"))
      for (const path of ["/metrics", "/api/standing", "/api/events"]) {
        expect(yield* get(httpPort, path)).toMatchObject({ status: 503, body: "opening\n" })
      }
      expect((yield* get(httpPort, "/")).status).toBe(200)
      yield* cluster.resume
      yield* becomes(httpPort, READY)

      const board = yield* openBoard(httpPort)
      yield* cluster.pause
      yield* becomes(httpPort, notReady("the store does not answer"))
      const hangs = '"problem":"the store does not answer"'
      yield* until(Effect.sync(() => board.text().includes(hangs)))
      yield* cluster.resume
      yield* becomes(httpPort, READY)

      yield* cluster.stop("fast")
      yield* becomes(httpPort, notReady("the store does not answer"))
      const standing = get(httpPort, "/api/standing")
      yield* until(Effect.map(standing, ({ body }) => body === "the store is unavailable\n"))
      expect((yield* get(httpPort, "/healthz")).status).toBe(200)
      yield* cluster.start
      yield* becomes(httpPort, READY)
      const before = board.text().length
      yield* until(Effect.sync(() => board.text().slice(before).includes("event: server")))
      expect(board.isClosed()).toBe(false)
      yield* server.signal("SIGTERM")
      expect((yield* server.outcome).code).toBe(0)
    }).pipe(Effect.scoped)
  )

  it.live("that hangs does not keep a server with open boards from stopping", () =>
    Effect.gen(function* () {
      const cluster = yield* acquire
      const url = yield* freshSchema(cluster.url())
      const server = yield* startLottery(serve(...HTTP, "--store", url))
      const httpPort = Number((yield* server.logged(httpPortOf))[1])
      yield* becomes(httpPort, READY)
      yield* openBoard(httpPort)
      yield* cluster.pause
      yield* becomes(httpPort, notReady("the store does not answer"))
      yield* server.signal("SIGTERM")
      const { stderr } = yield* server.outcome
      yield* cluster.resume
      expect(stderr).toContain("result: success | resource: http")
    }).pipe(Effect.scoped)
  )
})

describe("a stop", () => {
  it.live("does not wait for open boards or for the end of a request", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* startLottery(serve(...HTTP, "--store", `sqlite:${folder}/x.db`))
      const httpPort = Number((yield* server.logged(httpPortOf))[1])
      yield* becomes(httpPort, READY)
      const boards = yield* Effect.forEach(Array(100).keys(), () => openBoard(httpPort))
      yield* until(Effect.sync(() => boards.every(({ text }) => text().includes("event: server"))))
      // A request that is never completed, too.
      const unfinished = yield* exchanges.dial({ port: httpPort })
      unfinished.write("GET / HTTP/1.1\r\n")
      yield* becomes(httpPort, READY)
      const began = performance.now()
      yield* server.signal("SIGTERM")
      const { code, stderr } = yield* server.outcome
      if (process.env.LOTTERY_TEST_LONG) {
        console.info(`stopped with 100 boards in ${Math.round(performance.now() - began)} ms`)
      }
      expect(code).toBe(0)
      expect(stderr).toContain("result: success | resource: http")
      expect(stderr).not.toContain("timed out")
      yield* until(Effect.sync(() => boards.every(({ isClosed }) => isClosed())))
    }).pipe(Effect.scoped)
  )
})

describe("a start", () => {
  /** Expects one line that says why, and no trace of a store. */
  const refuses = Effect.fnUntraced(function* (run: (folder: string) => Run, reason: RegExp) {
    const folder = yield* temporaryFolder
    const { args, ...more } = run(folder)
    const ended = yield* runLottery({
      ...more,
      args: [...args, "--store", `sqlite:${folder}/x.db`]
    })
    expect(ended.code).toBe(1)
    const lines = ended.stderr.split("\n").filter((line) => !line.includes(" INFO "))
    expect(lines.filter((line) => line !== "")).toEqual([expect.stringMatching(reason)])
    expect(existsSync(join(folder, "x.db"))).toBe(false)
  })

  it.live("is refused before the store is touched if the port of HTTP is in use", () =>
    Effect.gen(function* () {
      const port = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const other = Net.createServer().listen(0, "127.0.0.1", () =>
            resume(Effect.succeed(other))
          )
        }),
        (other) => Effect.sync(() => other.close())
      ).pipe(Effect.map((other) => Number(Object(other.address()).port)))
      yield* refuses(
        () => serve("--http", `127.0.0.1:${port}`),
        new RegExp(`CRITICAL cannot listen on 127\\.0\\.0\\.1:${port}: the port is in use$`)
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "is refused before the store is touched if the address of HTTP is another machine's",
    () =>
      refuses(
        () => serve("--http", "192.0.2.1:8080"),
        /CRITICAL cannot listen on 192\.0\.2\.1:8080: .*EADDRNOTAVAIL/
      )
  )

  it.live("is refused before the store is touched if a file of the board is missing", () =>
    Effect.gen(function* () {
      const copy = yield* temporaryFolder
      cpSync(dirname(COMMAND), copy, { recursive: true })
      for (const name of readdirSync(copy)) {
        if (name.startsWith("command-")) rmSync(join(copy, name, "board.css"))
      }
      yield* refuses(
        () => ({
          ...serve(...HTTP),
          under: instead([process.execPath, join(copy, "lottery.cjs")])
        }),
        /CRITICAL .*board\.css/
      )
      const bare = WatchedServer.boardFolder({})
      const path = `${yield* temporaryFolder}/lottery.db`
      const exit = yield* Effect.exit(
        WatchedServer.start({ _tag: "sqlite", path }, [1], { http: { boardFolder: yield* bare } })
      )
      expect(Exit.isFailure(exit)).toBe(true)
    }).pipe(Effect.scoped)
  )
})
