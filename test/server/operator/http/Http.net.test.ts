/**
 * Goal: no crowd of HTTP clients, and none that is slow, silent or greedy, costs the server more
 * than its limits; agencies are served all the while, and a flood leaves no line in the log.
 * Method: raw sockets against a server in this process. The test is short; LOTTERY_TEST_LONG opens
 * ten thousand connections.
 */
import type * as Net from "node:net"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { describe, expect } from "vitest"
import type { ExpectedAgencies } from "../../../../src/domain/Draw.ts"
import { MAX_CONNECTIONS } from "../../../../src/server/operator/http/HttpConnections.ts"
import { MAX_BOARDS } from "../../../../src/server/operator/http/HttpRoutes.ts"
import { Dice, mutate } from "../../../support/Mutation.ts"
import * as exchanges from "../../../support/peers/exchange.ts"
import * as rawHttp from "../../../support/peers/rawHttp.ts"
import { forAgency, SESSIONS } from "../../../support/peers/Sessions.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import { pause, until } from "../../../support/stores/HeldTransaction.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const start = Effect.fnUntraced(function* (
  agencies: ExpectedAgencies,
  options: WatchedServer.Options = {}
) {
  const path = `${yield* temporaryFolder}/bets.csv`
  return yield* WatchedServer.start({ _tag: "csv", path }, agencies, options)
})
type Server = Effect.Success<ReturnType<typeof start>>

const untilSo = (isSo: () => boolean) => until(Effect.sync(isSo))

/** Uploads a whole book, which leaves one line in the log. */
const upload = Effect.fnUntraced(function* ({ log, port }: Server, agency: number) {
  yield* Effect.forkScoped(exchanges.exchange({ port }, exchanges.BOOKS.native(agency)))
  yield* untilSo(() => log.some((line) => line.includes(`agencia: ${agency}`)))
})

/** Uploads a book in each dialect, holds the draw, and checks the winners of each agency. */
const serveAgencies = ({ port }: Server) =>
  Effect.forEach(
    exchanges.DIALECTS,
    Effect.fnUntraced(function* (dialect, index) {
      const agency = index + 1
      const answer = yield* exchanges.exchange({ port }, exchanges.BOOKS[dialect](agency))
      expect(exchanges.winnersIn[dialect](answer), dialect).toEqual(
        exchanges.expectedWinners(agency)[dialect]
      )
    }),
    { concurrency: "unbounded" }
  )

/** Lines that an agency's upload leaves. */
const ABOUT_AGENCIES = /^action: (accept_connections|receive_message|agency_\w+|apuestas?_\w+) /

/** Runs an attack; then the server must be in order, with nothing new in its log. */
const survive = Effect.fnUntraced(function* <E, R>(
  server: Server,
  attack: Effect.Effect<unknown, E, R>
) {
  const before = server.log.length
  yield* attack
  expect(server.log.slice(before).filter((line) => !ABOUT_AGENCIES.test(line))).toEqual([])
  yield* untilSo(() => server.watched.http.sockets.size < MAX_CONNECTIONS)
  // HTTP accepts few connections a second after a crowd.
  const health = rawHttp.get(server.httpPort, "/healthz")
  yield* until(Effect.map(health, ({ status }) => status === 200))
  yield* serveAgencies(server)
})

/** Connects without waiting for an answer; closes with the scope. */
const dialMany = (port: number, count: number) =>
  Effect.forEach(Array(count).keys(), () => exchanges.dial({ port }), { concurrency: 50 })

const DAMAGED = process.env.LOTTERY_TEST_LONG ? 10_000 : 300
const CROWD = process.env.LOTTERY_TEST_LONG ? 10_000 : MAX_CONNECTIONS + 200

describe("connections", () => {
  it.live("that send their request byte by byte are closed", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 2, 3])
      const slow = Effect.fnUntraced(function* ([first, more]: readonly [string, string]) {
        const socket = yield* exchanges.dial({ port: server.httpPort })
        socket.write(first)
        const timer = setInterval(() => socket.write(more), 100)
        const answer = yield* exchanges.rest(socket)
        clearInterval(timer)
        // A last byte that finds the connection closed may reset it before the answer is read.
        expect(["", "HTTP/1.1 408 "]).toContain(answer.toString().slice(0, 13))
      })
      const slowly = [
        ["", ""],
        ["\r\n", "\r\n"],
        ["GET /", "a"],
        [rawHttp.request("/", "GET", "Host: localhost\r\nX: ").trimEnd(), "a"]
      ] as const
      yield* survive(
        server,
        Effect.forEach(Array(100).keys(), (index) => slow(slowly[index % 4]!), {
          concurrency: "unbounded"
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("get one answer each, and requests that were sent ahead get none", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 2, 3])
      const ahead = Effect.gen(function* () {
        const requests = rawHttp.request("/metrics").repeat(10_000)
        const heard = yield* exchanges.exchange({ port: server.httpPort }, Buffer.from(requests))
        expect(heard.toString().split("HTTP/1.1 ").length - 1).toBeLessThanOrEqual(1)
      })
      yield* survive(server, Effect.all([ahead, ahead, ahead]))
    }).pipe(Effect.scoped)
  )

  it.live("beyond the limit are closed as they arrive, and agencies are served", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 2, 3, 4])
      const { sockets } = server.watched.http
      const crowd = Effect.gen(function* () {
        const dialled = yield* dialMany(server.httpPort, CROWD)
        const over = CROWD - MAX_CONNECTIONS
        yield* untilSo(() => dialled.filter(({ closed }) => closed).length >= over)
        expect(sockets.size).toBeLessThanOrEqual(MAX_CONNECTIONS)
        yield* upload(server, 4)
        expect(sockets.size).toBeLessThanOrEqual(MAX_CONNECTIONS)
      }).pipe(Effect.scoped)
      yield* survive(server, crowd)
    }).pipe(Effect.scoped)
  )

  it.live("that ask and leave at once harm nobody", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 2, 3], {
        // A store that is asked over a network, as by those who leave before it answers.
        flaw: (store) => ({ ...store, progress: Effect.delay(store.progress, "50 millis") })
      })
      const board = yield* rawHttp.openBoard(server.httpPort)
      const leave = (path: string) =>
        Effect.scoped(
          Effect.gen(function* () {
            const socket = yield* exchanges.dial({ port: server.httpPort })
            socket.write(rawHttp.request(path))
            yield* pause(10)
            socket.resetAndDestroy()
          })
        )
      const paths = ["/api/standing", "/metrics", "/readyz", "/api/events"]
      const hasty = Effect.forEach(Array(800).keys(), (index) => leave(paths[index % 4]!), {
        concurrency: 20
      })
      yield* survive(server, hasty)
      yield* untilSo(() => board.text().includes('"phase":"drawn"'))
      expect((yield* rawHttp.get(server.httpPort, "/api/standing")).body).toContain('"drawn"')
      yield* untilSo(() => server.watched.http.boards.size === 1)
    }).pipe(Effect.scoped)
  )

  it.live("that leave before their answer do not take it from others", () =>
    Effect.gen(function* () {
      const { httpPort } = yield* start([1], {
        flaw: (store) => ({ ...store, progress: Effect.delay(store.progress, "300 millis") })
      })
      // The feed looks first, and then rests.
      yield* pause(1000)
      const first = yield* exchanges.dial({ port: httpPort })
      first.write(rawHttp.request("/api/standing"))
      yield* pause(100)
      const second = yield* Effect.forkScoped(rawHttp.get(httpPort, "/api/standing"))
      yield* pause(100)
      first.resetAndDestroy()
      expect(yield* Fiber.join(second)).toMatchObject({ status: 200 })
    }).pipe(Effect.scoped)
  )
})

describe("boards", () => {
  it.live("survive agencies that announce the largest books that there can be", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 2])
      const board = yield* rawHttp.openBoard(server.httpPort)
      const book = { bets: Number.MAX_SAFE_INTEGER }
      for (const agency of [1, 2]) {
        const socket = yield* exchanges.dial({ port: server.port })
        socket.write(exchanges.helloWith(agency, { book }))
      }
      yield* untilSo(() => board.text().includes(`"bookBets":${book.bets}`))
      const answer = yield* rawHttp.get(server.httpPort, "/api/standing")
      expect(answer.status).toBe(200)
      yield* untilSo(() => board.text().split("event: server").length > 2)
    }).pipe(Effect.scoped)
  )

  it.live("and the standing survive messages of all kinds that are damaged", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 1002, 1003])
      const board = yield* rawHttp.openBoard(server.httpPort)
      const dice = new Dice(Number(process.env.LOTTERY_TEST_SEED ?? 20_261_129))
      const send = Effect.fnUntraced(function* (bytes: Buffer) {
        const socket = yield* exchanges.dial({ port: server.port })
        socket.end(bytes)
        yield* untilSo(() => socket.readableEnded || socket.closed || socket.bytesRead > 0)
      }, Effect.scoped)
      const mutants = Array.from({ length: DAMAGED }, () => {
        const agency = dice.pick([1002, 1003, 9999])
        const [one, other] = [dice.pick(SESSIONS), dice.pick(SESSIONS)]
        return mutate(dice, forAgency(one, agency), forAgency(other, agency)).bytes
      })
      yield* Effect.forEach(mutants, (bytes) => Effect.timeoutOption(send(bytes), "1 second"), {
        concurrency: 20
      })
      const before = board.text().length
      yield* untilSo(() => board.text().slice(before).includes("event: server"))
      expect(board.text().match(/"reason":"\w+"/g)?.length).toBeGreaterThan(10)
      expect((yield* rawHttp.get(server.httpPort, "/api/standing")).status).toBe(200)
    }).pipe(Effect.scoped)
  )

  it.live("are limited, and a place is free again once a board leaves", () =>
    Effect.gen(function* () {
      const server = yield* start([1, 2, 3])
      const { httpPort, watched } = server
      const crowd = Effect.gen(function* () {
        const boards = yield* Effect.forEach(Array(MAX_BOARDS).keys(), () =>
          rawHttp.openBoard(httpPort)
        )
        yield* untilSo(() => boards.every((board) => board.text().includes("event: standing")))
        expect(watched.http.boards.size).toBe(MAX_BOARDS)
        for (const method of ["GET", "HEAD"]) {
          const refused = yield* rawHttp.ask(httpPort, rawHttp.request("/api/events", method))
          expect(refused.status).toBe(503)
        }
        boards[0]!.socket.destroy()
        yield* untilSo(() => watched.http.boards.size < MAX_BOARDS)
        const next = yield* rawHttp.openBoard(httpPort)
        yield* untilSo(() => next.text().includes("event: standing"))
      }).pipe(Effect.scoped)
      yield* survive(server, crowd)
      yield* untilSo(() => watched.http.boards.size === 0)
    }).pipe(Effect.scoped)
  )

  it.live(
    "that do not read are disconnected, and others are not",
    () =>
      Effect.gen(function* () {
        const agencies: ExpectedAgencies = [1, ...Array.from({ length: 1999 }, (_, i) => i + 2)]
        let looks = 0
        const server = yield* start(agencies, {
          // Longer than the feed ever rests, so that only boards that do not read are silent.
          http: { silenceMillis: 4000 },
          // Every book differs at each look, so that each look fills the buffers of the system.
          flaw: (store) => ({
            ...store,
            progress: Effect.sync(() => {
              looks++
              const row = { finished: false, excluded: false, told: false, edition: 0 }
              return new Map(agencies.map((agency) => [agency, { ...row, bets: looks }]))
            })
          })
        })
        const { httpPort, watched } = server
        const reader = yield* rawHttp.openBoard(httpPort)
        const deaf = Effect.fnUntraced(function* (headers: string) {
          const socket: Net.Socket = yield* exchanges.dial({ port: httpPort })
          socket.pause()
          socket.write(rawHttp.request("/api/events", "GET", `Host: localhost\r\n${headers}`))
        })
        for (let count = 0; count < 5; count++) yield* deaf("")
        yield* deaf("Connection: Upgrade\r\nUpgrade: websocket\r\n")
        yield* untilSo(() => watched.http.boards.size === 7)
        yield* untilSo(() => watched.http.boards.size === 1)
        yield* untilSo(() => watched.http.sockets.size === 1)
        const before = reader.text().length
        yield* untilSo(() => reader.text().length > before)
        expect(reader.isClosed()).toBe(false)
      }).pipe(Effect.scoped),
    60_000
  )
})
