/**
 * Goal: a server with a low limit of open files accepts fewer connections, stays up without free
 * descriptors and loses no acknowledged bet. Method: processes under Linux's `prlimit`, and more
 * connections than files.
 */
import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { it } from "@effect/vitest"
import { Effect, Fiber, Schedule, type Scope } from "effect"
import { describe, expect } from "vitest"
import * as M from "../../support/peers/messages.ts"
import * as RawPeer from "../../support/peers/RawPeer.ts"
import {
  exported,
  freePorts,
  inFolder,
  type Ports,
  STORES,
  startServer
} from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const openFiles = (pid: number) => readdirSync(`/proc/${pid}/fd`)

const setLimit = (pid: number, files: number) =>
  Effect.sync(() => execFileSync("prlimit", ["--pid", `${pid}`, `--nofile=${files}:`]))

/** Retries until the server echoes a line. */
const awaitServed = (port: number) =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(port)
    yield* peer.send(Buffer.from("PING\n"))
    const heard = yield* peer.rest
    if (heard.toString() !== "PING\n") {
      return yield* new RawPeer.NotHeard({ message: `heard ${heard}` })
    }
  }).pipe(Effect.scoped, Effect.retry(Schedule.spaced("50 millis")), Effect.timeout("20 seconds"))

const crowd = (
  count: number,
  port: number
): Effect.Effect<ReadonlyArray<RawPeer.RawPeer>, RawPeer.NotHeard, Scope.Scope> =>
  Effect.forEach(Array.from({ length: count }), () => RawPeer.connect(port), { concurrency: 50 })

/** Keeps this many idle connections to both ports open; reopens those that are closed. */
const press = (count: number, { port, winnersPort }: Ports) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => (index % 2 === 0 ? port : winnersPort)),
    (one) =>
      RawPeer.connect(one).pipe(
        Effect.flatMap(({ rest }) => rest),
        Effect.ignore,
        Effect.andThen(Effect.sleep("2 millis")),
        Effect.scoped,
        Effect.forever
      ),
    { concurrency: "unbounded", discard: true }
  )

const bet = (document: number) => M.fields(document, 7574)

/** Uploads a book of one bet and waits for its winners. */
const wholeBook = Effect.fnUntraced(function* (port: number, agency: number, document: number) {
  const peer = yield* RawPeer.connect(port)
  yield* peer.send(M.packetOf(agency, [bet(document)], false))
  expect(yield* peer.receive(2)).toEqual(M.STORED)
  yield* peer.send(M.packet(`${agency};`, false))
  expect(yield* peer.rest).toEqual(M.winnersOf(document))
}, Effect.scoped)

describe("a server with few files", () => {
  it.live("warns, accepts fewer connections, and serves new ones once others have left", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const server = yield* startServer({
        store: inFolder(folder, STORES[0]),
        more: ["--agencies", "1"],
        under: ["prlimit", "--nofile=128:128"]
      })
      expect(server.stderr()).toContain(
        "limited to 64 connections: this process may have 128 files open"
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const peers = yield* crowd(300, server.winnersPort)
          // Further connections are refused; descriptors for everything else remain.
          yield* server.logged(/the server already has 64 connections, its maximum/)
          expect(openFiles(server.child.pid!).length).toBeLessThanOrEqual(128)
          expect(peers).toHaveLength(300)
        })
      )
      yield* awaitServed(server.port)
      yield* wholeBook(server.port, 1, 10)
      yield* server.signal("SIGTERM")
      expect((yield* server.outcome).code).toBe(0)
    })
  )

  it.live.each(STORES)("starts and serves while hundreds connect: %s", (store) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const ports = yield* freePorts
      const pressing = yield* Effect.forkChild(press(300, ports))
      const server = yield* startServer({
        store: inFolder(folder, store),
        ports,
        more: ["--agencies", "1"],
        under: ["prlimit", "--nofile=96:96"]
      })
      yield* server.logged(/the server already has 32 connections, its maximum/)
      yield* Fiber.interrupt(pressing)
      yield* awaitServed(server.port)
      yield* wholeBook(server.port, 1, 10)
      yield* server.signal("SIGTERM")
      expect((yield* server.outcome).code).toBe(0)
    })
  )

  it.live.each(STORES)("stays up with none left and loses nothing: %s", (store) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const url = inFolder(folder, store)
      const server = yield* startServer({ store: url, more: ["--agencies", "2"] })
      const pid = server.child.pid!
      const uploading = yield* RawPeer.connect(server.port)
      let stored = 0
      let isOver = false
      const upload = yield* Effect.gen(function* () {
        while (!isOver) {
          yield* uploading.send(M.packetOf(1, [bet(stored)], true))
          expect(yield* uploading.receive(2)).toEqual(M.STORED)
          stored++
        }
      }).pipe(Effect.forkScoped)
      const moreStored = Effect.suspend(() => {
        const before = stored
        return Effect.repeat(Effect.sleep("5 millis"), { while: () => stored < before + 20 })
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* crowd(30, server.winnersPort)
          // Opened last, so that closing it frees no descriptor below the others.
          yield* awaitServed(server.winnersPort)
          yield* moreStored
          yield* setLimit(pid, openFiles(pid).length - 10)
          // The server has no descriptor for any of these, on either port.
          const lost = yield* crowd(40, server.port)
          for (const peer of lost) yield* Effect.forkScoped(peer.send(Buffer.from("PING\n")))
          yield* crowd(40, server.winnersPort)
          yield* moreStored
          yield* Effect.sleep("200 millis")
          yield* moreStored
          expect(lost.filter((peer) => peer.unheard() > 0)).toEqual([])
          expect(server.child.exitCode).toBeNull()
          yield* setLimit(pid, 1024)
          yield* awaitServed(server.port)
          yield* awaitServed(server.winnersPort)
        })
      )
      yield* moreStored
      isOver = true
      yield* Fiber.join(upload)
      const other = yield* Effect.forkScoped(wholeBook(server.port, 2, 1_000_000))
      yield* uploading.send(M.packetOf(1, [], false))
      expect(yield* uploading.receive(2)).toEqual(M.STORED)
      yield* uploading.send(M.packet("1;", false))
      const documents = Array.from({ length: stored }, (_, document) => document)
      expect(yield* uploading.rest).toEqual(M.winnersOf(...documents))
      yield* Fiber.join(other)
      yield* server.signal("SIGTERM")
      expect((yield* server.outcome).code).toBe(0)
      expect(yield* exported(url, 1)).toBe(M.rowsOf(documents.map(bet)))
    })
  )
})
