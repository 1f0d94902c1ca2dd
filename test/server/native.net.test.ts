/**
 * Goal: native sessions follow docs/wire.md. Method: scripted raw peers that send handwritten bytes
 * over real sockets, and a real store.
 */
import { createConnection } from "node:net"
import { it } from "@effect/vitest"
import { Effect, Exit, Scope, Stream } from "effect"
import { describe, expect } from "vitest"
import type { ExpectedAgencies } from "../../src/domain/Draw.ts"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const startServer = Effect.fnUntraced(function* (agencies: ExpectedAgencies = [1, 2]) {
  const folder = yield* temporaryFolder
  return yield* TestServer.start({ _tag: "csv", path: `${folder}/bets.csv` }, agencies)
})

const textOf = (server: TestServer.TestServer, agency: number) =>
  server.store.book(agency, 0).pipe(
    Stream.runCollect,
    Effect.map((batches) => Buffer.concat([...batches].map(({ bytes }) => bytes)).toString())
  )

/** Connects and sends Hello; returns the peer with its `welcome`. */
const hello = Effect.fnUntraced(function* (port: number, agency: number) {
  const peer = yield* RawPeer.connect(port)
  yield* peer.send(M.helloOf(agency))
  return { ...peer, welcome: yield* peer.control }
})

const book = [M.fields(10, 7574), M.fields(11), M.fields(11), M.fields(12, 7574)]
const other = [M.fields(20), M.fields(21, 7574)]

const welcomeTo = (held: ReadonlyArray<ReadonlyArray<string>>, finished = false) => ({
  _tag: "Welcome",
  draw: "default",
  bets: held.length,
  sha256: M.sha256Of(M.rowsOf(held)),
  finished,
  window: 1024,
  maxFrame: 1024 * 1024
})

describe("a native session", () => {
  it.live("sent byte by byte goes from Hello to the winners and is closed", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.drip(M.helloOf(1))
      expect(yield* peer.control).toEqual(welcomeTo([]))
      yield* peer.drip(M.betsOf(0, book.slice(0, 3)))
      expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 3 })
      yield* peer.drip(M.betsOf(3, book.slice(3)))
      expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 4 })
      yield* peer.drip(M.finishOf(book))
      const sha256 = M.sha256Of(M.rowsOf(book))
      expect(yield* peer.control).toEqual({ _tag: "Finished", bets: 4, sha256 })
      yield* peer.drip(M.AWAIT_WINNERS)
      expect(yield* peer.control).toEqual({ _tag: "Waiting", finished: 1, expected: 2 })
      const second = yield* hello(server.port, 2)
      yield* second.send(Buffer.concat([M.betsOf(0, other), M.finishOf(other), M.AWAIT_WINNERS]))
      yield* peer.halfClose
      let heard = yield* peer.control
      if (heard._tag === "Waiting") heard = yield* peer.control
      const documents = ["10", "12"]
      expect(heard).toEqual({ _tag: "Winners", number: 7574, documents, more: false })
      expect(yield* peer.rest).toEqual(Buffer.alloc(0))
      expect(yield* textOf(server, 1)).toBe(M.rowsOf(book))
      expect(server.log).toContain(
        "action: apuestas_almacenadas | result: success | agencia: 1 | cantidad: 3"
      )
      expect(server.log).toContain(
        "action: apuesta_almacenada | result: success | dni: 12 | numero: 7574"
      )
    })
  )

  it.live("sent at once with a half-close is answered in order, and each bet is acknowledged", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const peer = yield* RawPeer.connect(server.port)
      const frames = book.map((bet, position) => M.betsOf(position, [bet]))
      yield* peer.send(
        Buffer.concat([
          M.helloOf(1),
          ...frames,
          M.finishOf(book),
          M.finishOf(book),
          M.AWAIT_WINNERS
        ])
      )
      yield* peer.halfClose
      expect(yield* peer.control).toEqual(welcomeTo([]))
      let acknowledged = 0
      while (acknowledged < book.length) {
        const ack = yield* peer.control
        expect(ack._tag).toBe("Ack")
        expect(ack.bets).toBeGreaterThan(acknowledged)
        acknowledged = Number(ack.bets)
      }
      const tags = ["Finished", "Finished", "Waiting", "Winners"]
      for (const tag of tags) expect((yield* peer.control)._tag).toBe(tag)
      yield* server.lottery.allTold
    })
  )

  it.live("resumes at the end of the book, after other dialects, clients or a server restart", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const url = { _tag: "sqlite", path: `${folder}/lottery.db` } as const
      yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* TestServer.start(url, [1])
          const binary = yield* RawPeer.connect(server.port)
          yield* binary.send(M.packetOf(1, book.slice(0, 1), true))
          yield* binary.receive(2)
          const first = yield* hello(server.port, 1)
          expect(first.welcome).toEqual(welcomeTo(book.slice(0, 1)))
          yield* first.send(M.betsOf(1, book.slice(1, 2)))
          yield* first.control
          expect(yield* binary.rest).toEqual(M.REFUSED)
          const again = yield* hello(server.port, 1)
          expect(again.welcome).toEqual(welcomeTo(book.slice(0, 2)))
          yield* again.send(M.betsOf(2, book.slice(2, 3)))
          yield* again.control
          expect(yield* first.control).toMatchObject({ _tag: "Rejected", code: "Superseded" })
          expect(yield* first.rest).toEqual(Buffer.alloc(0))
        })
      )
      const server = yield* TestServer.start(url, [1])
      const peer = yield* hello(server.port, 1)
      expect(peer.welcome).toEqual(welcomeTo(book.slice(0, 3)))
      yield* peer.send(Buffer.concat([M.betsOf(3, book.slice(3)), M.finishOf(book)]))
      expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 4 })
      expect((yield* peer.control)._tag).toBe("Finished")
      const after = yield* hello(server.port, 1)
      expect(after.welcome).toEqual(welcomeTo(book, true))
      yield* after.send(M.AWAIT_WINNERS)
      expect((yield* after.control)._tag).toBe("Waiting")
      expect(yield* after.control).toMatchObject({ _tag: "Winners", documents: ["10", "12"] })
    })
  )

  it.live("does not supersede the writer with a Hello, a comparison or a refused book", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const upload = yield* hello(server.port, 1)
      yield* upload.send(M.betsOf(0, book.slice(0, 2)))
      expect(yield* upload.control).toEqual({ _tag: "Ack", bets: 2 })
      const compares = yield* hello(server.port, 1)
      yield* compares.send(Buffer.concat([M.COMPARE, M.betsOf(0, book.slice(0, 1))]))
      expect(yield* compares.control).toEqual({ _tag: "Ack", bets: 1 })
      const ends = yield* hello(server.port, 1)
      yield* ends.send(M.finishOf(other))
      expect(yield* ends.control).toMatchObject({ _tag: "Rejected", code: "BookMismatch" })
      yield* upload.send(M.betsOf(2, book.slice(2, 3)))
      expect(yield* upload.control).toEqual({ _tag: "Ack", bets: 3 })
      const overtaken = yield* hello(server.port, 1)
      yield* upload.send(M.betsOf(3, book.slice(3)))
      expect(yield* upload.control).toEqual({ _tag: "Ack", bets: 4 })
      yield* overtaken.send(M.betsOf(3, book.slice(3)))
      expect(yield* overtaken.control).toMatchObject({ _tag: "Rejected", code: "Conflict" })
      yield* upload.send(M.finishOf(book))
      expect(yield* upload.control).toMatchObject({ _tag: "Finished" })
      expect(yield* textOf(server, 1)).toBe(M.rowsOf(book))
      expect(server.log.filter((line) => line.includes("took over"))).toEqual([])
    })
  )

  it.live("acknowledges an empty frame without a log line", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const peer = yield* hello(server.port, 1)
      yield* peer.send(M.betsOf(0, []))
      expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 0 })
      expect(server.log.filter((line) => line.includes("apuesta_recibida"))).toEqual([])
    })
  )

  it.live("reports the number of finished agencies to a waiting one", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1, 2, 3])
      const peer = yield* hello(server.port, 1)
      yield* peer.send(Buffer.concat([M.finishOf([]), M.AWAIT_WINNERS]))
      expect((yield* peer.control)._tag).toBe("Finished")
      expect(yield* peer.control).toEqual({ _tag: "Waiting", finished: 1, expected: 3 })
      const second = yield* hello(server.port, 2)
      yield* second.send(M.finishOf([]))
      expect(yield* peer.control).toEqual({ _tag: "Waiting", finished: 2, expected: 3 })
    })
  )

  it.live("records an agency that closes at once after its winners, whatever is read ahead", () =>
    Effect.gen(function* () {
      const agencies = Array.from({ length: 40 }, (_, index) => index + 1)
      const server = yield* startServer(agencies as unknown as ExpectedAgencies)
      for (const agency of agencies) {
        const socket = createConnection({ host: "127.0.0.1", port: server.port })
        socket.write(Buffer.concat([M.helloOf(agency), M.finishOf([]), M.AWAIT_WINNERS]))
        socket.on("data", (chunk) => {
          if (chunk.includes("Winners")) socket.destroySoon()
        })
      }
      yield* server.lottery.allTold
    })
  )

  it.live("ends with ShuttingDown when the server stops", () =>
    Effect.gen(function* () {
      const serving = yield* Scope.make()
      const server = yield* Scope.provide(startServer(), serving)
      const idle = yield* hello(server.port, 1)
      const waiting = yield* hello(server.port, 2)
      yield* waiting.send(Buffer.concat([M.finishOf([]), M.AWAIT_WINNERS]))
      for (const tag of ["Finished", "Waiting"]) expect((yield* waiting.control)._tag).toBe(tag)
      yield* Effect.forkChild(Scope.close(serving, Exit.void))
      for (const peer of [idle, waiting]) {
        expect(yield* peer.control).toMatchObject({ _tag: "Rejected", code: "ShuttingDown" })
        expect(yield* peer.rest).toEqual(Buffer.alloc(0))
      }
    })
  )

  it.live("does not count the winners as received until the agency closes after them", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const peer = yield* hello(server.port, 1)
      yield* peer.send(Buffer.concat([M.finishOf([]), M.AWAIT_WINNERS]))
      for (const tag of ["Finished", "Waiting", "Winners"]) {
        expect((yield* peer.control)._tag).toBe(tag)
      }
      expect((yield* server.store.progressOf(1)).told).toBe(false)
      yield* peer.halfClose
      yield* server.lottery.allTold
      expect((yield* server.store.progressOf(1)).told).toBe(true)
    })
  )

  it.live("sends winners in as many messages as they need", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const peer = yield* hello(server.port, 1)
      const winning = Array.from({ length: 50_001 }, (_, index) => M.fields(index, 7574))
      for (let start = 0; start < winning.length; start += 10_000) {
        yield* peer.send(M.betsOf(start, winning.slice(start, start + 10_000)))
      }
      yield* peer.send(Buffer.concat([M.finishOf(winning), M.AWAIT_WINNERS]))
      const heard: Array<Record<string, unknown>> = []
      while (heard.at(-1)?.more !== false) heard.push(yield* peer.control)
      const messages = heard.filter(({ _tag }) => _tag === "Winners")
      expect(messages.map(({ more }) => more)).toEqual([true, false])
      expect(messages.flatMap(({ documents }) => documents)).toEqual(winning.map((bet) => bet[2]))
    })
  )
})

describe("a native refusal", () => {
  const held = book.slice(0, 2)
  const BAD = "Ana,P,1,1999-02-31,1\n"
  const cases: ReadonlyArray<
    readonly [what: string, frames: Uint8Array, refusal: Record<string, unknown>]
  > = [
    ["a gap", M.betsOf(3, [M.fields(1)]), { code: "Gap", position: 3 }],
    ["bets that are already stored", M.betsOf(1, [M.fields(1)]), { code: "Conflict", position: 1 }],
    [
      "a bad bet",
      M.betsFrame(2, 2, `${M.rowsOf([M.fields(1)])}${BAD}`),
      { code: "InvalidBet", position: 3, message: expect.stringContaining("birthdate") }
    ],
    ["a bad bet at a wrong position", M.betsFrame(9, 1, BAD), { code: "InvalidBet", position: 9 }],
    ["a wrong number of rows", M.betsFrame(2, 7, M.rowsOf([M.fields(1)])), { code: "Malformed" }],
    ["half a book", M.finishOf(held.slice(0, 1)), { code: "BookMismatch" }],
    ["another book", M.finishOf([M.fields(1), M.fields(2)]), { code: "BookMismatch" }],
    ["an early request for winners", M.AWAIT_WINNERS, { code: "NotFinished" }],
    ["a second Hello", M.helloOf(1).subarray(8), { code: "Malformed" }],
    ["an unknown message", M.controlFrame({ _tag: "Nonsense" }), { code: "Malformed" }],
    ["a frame that is too long", Buffer.from([0, 0x10, 0, 1]), { code: "TooLarge" }]
  ]
  it.live.each(cases)("of %s keeps the stored bets and closes", ([_what, frames, refusal]) =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* hello(server.port, 1)
      yield* peer.send(Buffer.concat([M.betsOf(0, held), frames]))
      expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 2 })
      expect(yield* peer.control).toMatchObject({ _tag: "Rejected", ...refusal })
      expect(yield* peer.rest).toEqual(Buffer.alloc(0))
      expect(yield* textOf(server, 1)).toBe(M.rowsOf(held))
      expect(server.log.filter((line) => line.includes("result: fail"))).toHaveLength(1)
      expect((yield* hello(server.port, 1)).welcome).toEqual(welcomeTo(held))
    })
  )

  it.live.each([
    ["another draw", M.helloOf(1, "christmas"), "WrongDraw"],
    ["an agency that does not take part", M.helloOf(7), "UnknownAgency"],
    ["bets before Hello", Buffer.concat([M.PREFACE, M.betsOf(0, [])]), "Malformed"],
    [
      "a long Hello",
      Buffer.concat([M.PREFACE, M.controlFrame({ _tag: "Hello", draw: "d".repeat(1024) })]),
      "TooLarge"
    ]
  ] as const)("of %s replaces the Welcome", ([_what, bytes, code]) =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(bytes)
      expect(yield* peer.control).toMatchObject({ _tag: "Rejected", code })
      expect(yield* peer.rest).toEqual(Buffer.alloc(0))
    })
  )

  it.live("of bets after Finish is AlreadyFinished, even for bad bets", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      for (const rows of [M.rowsOf([M.fields(1)]), BAD]) {
        const peer = yield* hello(server.port, 1)
        yield* peer.send(Buffer.concat([M.finishOf([]), M.betsFrame(0, 1, rows)]))
        expect((yield* peer.control)._tag).toBe("Finished")
        expect(yield* peer.control).toMatchObject({ code: "AlreadyFinished" })
      }
    })
  )

  it.live("of another book after Compare has the position of the first bet that differs", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* hello(server.port, 1)
      yield* peer.send(M.betsOf(0, book))
      yield* peer.control
      const changed = book.with(2, M.fields(99))
      const second = yield* hello(server.port, 1)
      yield* second.send(
        Buffer.concat([M.COMPARE, M.betsOf(0, changed.slice(0, 2)), M.betsOf(2, changed.slice(2))])
      )
      expect(yield* second.control).toEqual({ _tag: "Ack", bets: 2 })
      expect(yield* second.control).toMatchObject({ code: "BookMismatch", position: 2 })
      const longer = yield* hello(server.port, 1)
      yield* longer.send(Buffer.concat([M.COMPARE, M.betsOf(0, [...book, M.fields(1)])]))
      expect(yield* longer.control).toMatchObject({ code: "BookMismatch", position: 4 })
      yield* peer.send(M.finishOf(book))
      yield* peer.control
      const invalid = yield* hello(server.port, 1)
      yield* invalid.send(Buffer.concat([M.COMPARE, M.betsFrame(0, 1, Buffer.from("bad\n"))]))
      expect(yield* invalid.control).toMatchObject({ code: "InvalidBet", position: 0 })
      expect(yield* textOf(server, 1)).toBe(M.rowsOf(book))
    })
  )
})
