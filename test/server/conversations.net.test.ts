/**
 * Goal: sessions with the course's clients follow docs/wire.md. Method: scripted raw peers that
 * send handwritten bytes over real sockets, and a real store.
 */
import { it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import type { ExpectedAgencies } from "../../src/domain/Draw.ts"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const startServer = Effect.fnUntraced(function* (
  agencies: ExpectedAgencies = [1, 2],
  options: TestServer.Options = {}
) {
  const path = `${yield* temporaryFolder}/lottery.db`
  return yield* TestServer.start({ _tag: "sqlite", path }, agencies, 7574, options)
})

/** Returns the documents of an agency's stored bets. */
const documents = (server: TestServer.TestServer, agency: number) =>
  server.store.book(agency, 0).pipe(
    Stream.runCollect,
    Effect.map((batches) => [...batches].flatMap((batch) => [...batch]).map((b) => b.document))
  )

const betOf = (document: number): Bet => {
  const [firstName, lastName, text, birthdate, number] = M.fields(document) as [
    string,
    string,
    string,
    string,
    string
  ]
  return new Bet({ firstName, lastName, document: text, birthdate, number: Number(number) })
}

const linesAbout = (server: TestServer.TestServer, action: string) =>
  server.log.filter((line) => line.startsWith(`action: ${action} |`))

/** Sends an agency's whole book and returns its winners. */
const wholeBook = Effect.fnUntraced(function* (
  port: number,
  agency: number,
  bets: ReadonlyArray<ReadonlyArray<string>>
) {
  const peer = yield* RawPeer.connect(port)
  yield* peer.send(M.packetOf(agency, bets, false))
  expect(yield* peer.receive(2)).toEqual(M.STORED)
  yield* peer.send(M.packet(`${agency};`, false))
  return yield* peer.rest
}, Effect.scoped)

describe("a text line", () => {
  it.live("is echoed on either port, and the connection is closed", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      for (const port of [server.port, server.winnersPort]) {
        const peer = yield* RawPeer.connect(port)
        yield* peer.drip(Buffer.from("[CLIENT 1] Message N°1\r\n"))
        expect((yield* peer.rest).toString()).toBe("[CLIENT 1] Message N°1\n")
      }
      expect(linesAbout(server, "receive_message")[0]).toBe(
        "action: receive_message | result: success | ip: 127.0.0.1 | msg: [CLIENT 1] Message N°1"
      )
    })
  )

  it.live("of one letter is answered once the peer sends FIN", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(Buffer.from("A\n"))
      yield* peer.halfClose
      expect((yield* peer.rest).toString()).toBe("A\n")
    })
  )
})

describe("binary packets", () => {
  it.live("sent byte by byte are stored and acknowledged, and winners follow after the draw", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.drip(M.packetOf(1, [M.fields(10, 7574), M.fields(11, 1)], true))
      expect(yield* peer.receive(2)).toEqual(M.STORED)
      yield* peer.drip(M.packetOf(1, [M.fields(12, 7574)], false))
      expect(yield* peer.receive(2)).toEqual(M.STORED)
      yield* peer.drip(M.packet("1;", false))
      expect(yield* wholeBook(server.port, 2, [M.fields(20, 7574), M.fields(21)])).toEqual(
        M.winnersOf(20)
      )
      expect(yield* peer.rest).toEqual(M.winnersOf(10, 12))
      expect(yield* documents(server, 1)).toEqual(["10", "11", "12"])
      expect(linesAbout(server, "sorteo")).toEqual([
        "action: sorteo | result: success | cantidad: 5 | cant_ganadores: 3"
      ])
      expect(server.log).toContain(
        "action: apuestas_almacenadas | result: success | agencia: 1 | cantidad: 2"
      )
      expect(server.log).toContain("action: apuesta_recibida | result: success | cantidad: 2")
      expect(server.log).toContain(
        "action: apuesta_almacenada | result: success | dni: 12 | numero: 7574"
      )
    })
  )

  it.live("sent at once with the request for winners and a half-close are answered in order", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(
        Buffer.concat([
          M.packetOf(1, [M.fields(10)], true),
          M.packet("1;", true),
          M.packetOf(1, [M.fields(11, 7574)], false),
          M.packet("1;", true)
        ])
      )
      yield* peer.halfClose
      expect(yield* peer.rest).toEqual(
        Buffer.concat([M.STORED, M.STORED, M.STORED, M.winnersOf(11)])
      )
    })
  )

  it.live('in a similar framing without "continue" are refused and not stored', () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const content = Buffer.from(`1;${M.fields(10, 7574).join(";")}`)
      const bare = Buffer.concat([Buffer.from([0, content.length]), content])
      const good = M.packetOf(1, [M.fields(10, 7574)], true)
      for (const bytes of [bare, Buffer.concat([bare, Buffer.from([0, 1])])]) {
        for (const before of [[], [good]]) {
          const peer = yield* RawPeer.connect(server.port)
          yield* peer.send(Buffer.concat([...before, bytes]))
          expect(yield* peer.rest).toEqual(
            Buffer.concat([...before.map(() => M.STORED), M.REFUSED])
          )
          expect(linesAbout(server, "apuesta_recibida").at(-1)).toContain(
            "error: expected 0 or 1 in the last two bytes of a packet (continue), got 14132"
          )
        }
      }
      expect(yield* documents(server, 1)).toEqual(["10"])
    })
  )

  it.live('end with a request for winners, which has no bets and any value of "continue"', () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const last = M.packetOf(1, [M.fields(11, 7574)], false)
      const question = Buffer.from([0, 4, 0x31, 0x3b, 0x12, 0x34])
      const ask = Effect.fnUntraced(function* (bytes: Uint8Array) {
        const peer = yield* RawPeer.connect(server.port)
        yield* peer.send(Buffer.concat([last, bytes]))
        return yield* peer.rest
      }, Effect.scoped)
      expect(yield* ask(question)).toEqual(Buffer.concat([M.STORED, M.winnersOf(11)]))
      expect(yield* ask(last)).toEqual(M.STORED)
      expect(linesAbout(server, "apuesta_recibida").at(-1)).toContain(
        "error: expected a request for winners after the last packet, got bets"
      )
    })
  )

  it.live("with a bad bet are refused completely, and other agencies are not affected", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const other = yield* RawPeer.connect(server.port)
      yield* other.send(M.packetOf(2, [M.fields(20)], true))
      const bad: ReadonlyArray<readonly [string | Uint8Array, string]> = [
        ["1;Ana;P;1;1999-02-31;1", "bet 1: birthdate: expected a real date"],
        ["1;Ana;P;1a;1999-02-28;1", "bet 1: document: expected 1 to 10 digits"],
        ["1;Ana;P;1;1999-02-28;10000", "bet 1: number: expected 1 to 4 digits"],
        ["1;;P;1;1999-02-28;1", "bet 1: first name: expected a name"],
        [`1;${M.fields(11).join(";")};Ana;P;1;1999-02-28`, "bet 2: expected 5 fields, got 4"],
        [Buffer.from("313b41ff3b503b313b313939392d30322d32383b31", "hex"), "valid UTF-8"],
        ["3;Ana;P;1;1999-02-28;1", "agency 3 does not take part in the draw, expected one of 1, 2"]
      ]
      for (const [content, reason] of bad) {
        const peer = yield* RawPeer.connect(server.port)
        yield* peer.send(M.packetOf(1, [M.fields(10)], true))
        expect(yield* peer.receive(2)).toEqual(M.STORED)
        const sender = content.toString().startsWith("3")
          ? yield* RawPeer.connect(server.port)
          : peer
        yield* sender.send(M.packet(content, true))
        expect(yield* sender.rest).toEqual(M.REFUSED)
        const line = linesAbout(server, "apuesta_recibida").at(-1)
        expect(line).toContain("result: fail")
        expect(line).toContain(reason)
      }
      expect(linesAbout(server, "apuesta_recibida").at(-3)).toMatch(
        /result: fail \| cantidad: 1 \| agencia: 1 \| posicion: 1 \| ip: 127.0.0.1 \| error: bet 1/
      )
      expect(yield* documents(server, 1)).toEqual(["10"])
      expect(yield* other.receive(2)).toEqual(M.STORED)
      yield* other.send(M.packetOf(2, [M.fields(21)], true))
      expect(yield* other.receive(2)).toEqual(M.STORED)
    })
  )

  it.live("of another agency on the same connection are refused", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.packetOf(1, [M.fields(10)], true))
      yield* peer.send(M.packetOf(2, [M.fields(20)], true))
      expect(yield* peer.rest).toEqual(Buffer.concat([M.STORED, M.REFUSED]))
      expect(yield* documents(server, 2)).toEqual([])
    })
  )

  it.live("after the last one, except the request for winners, end the connection unanswered", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.packetOf(1, [M.fields(10)], false))
      yield* peer.send(M.packetOf(1, [M.fields(11)], false))
      expect(yield* peer.rest).toEqual(M.STORED)
      expect(yield* documents(server, 1)).toEqual(["10"])
    })
  )
})

describe("JSON messages", () => {
  it.live(
    "use two connections that are opened together, the second silent until the book is stored",
    () =>
      Effect.gen(function* () {
        const server = yield* startServer([3])
        const chunks = yield* RawPeer.connect(server.port)
        const winners = yield* RawPeer.connect(server.winnersPort)
        yield* chunks.drip(M.chunkOf(3, [M.fields(30, 7574), M.fields(31)], false))
        expect(yield* chunks.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
        // Longer than the main port's timeout for the first byte.
        yield* Effect.sleep("600 millis")
        yield* chunks.send(M.chunkOf(3, [], true))
        expect(yield* chunks.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
        yield* winners.drip(M.consultOf(3))
        expect(M.readJson(yield* winners.rest)).toEqual({ type_message: 2, payload: "30" })
      })
  )

  it.live("may request winners on another connection before the last chunk", () =>
    Effect.gen(function* () {
      const server = yield* startServer([3])
      const asking = yield* RawPeer.connect(server.winnersPort)
      yield* asking.send(M.consultOf(3))
      yield* asking.halfClose
      const chunks = yield* RawPeer.connect(server.port)
      yield* chunks.send(M.chunkOf(3, [M.fields(30)], true))
      expect(M.readJson(yield* asking.rest)).toEqual({ type_message: 2, payload: "" })
    })
  )

  it.live("with a bad bet are rejected with the reason", () =>
    Effect.gen(function* () {
      const server = yield* startServer([3])
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.chunkOf(3, [M.fields(30), ["Ana", "P", "1", "1999-13-01", "1"]], false))
      const reply = M.readJson(yield* peer.rest) as { type_message: number; payload: string }
      expect(reply.type_message).toBe(3)
      expect(reply.payload).toContain("bet 2: birthdate")
      expect(yield* documents(server, 3)).toEqual([])
    })
  )

  it.live("cannot request winners on the chunks' connection before the last chunk", () =>
    Effect.gen(function* () {
      const server = yield* startServer([3])
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.chunkOf(3, [M.fields(30)], false))
      yield* peer.receive(M.CHUNK_PROCESSED.length)
      yield* peer.send(M.consultOf(3))
      expect(M.readJson(yield* peer.rest)).toMatchObject({ type_message: 3 })
    })
  )

  it.live("and binary packets take part in the same draw", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1, 2])
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.chunkOf(1, [M.fields(10, 7574)], true))
      yield* peer.receive(M.CHUNK_PROCESSED.length)
      yield* peer.send(M.consultOf(1))
      expect(yield* wholeBook(server.port, 2, [M.fields(20, 7574)])).toEqual(M.winnersOf(20))
      expect(M.readJson(yield* peer.rest)).toEqual({ type_message: 2, payload: "10" })
    })
  )
})

describe("a book that is sent again from the start", () => {
  const book = Array.from({ length: 9 }, (_, index) => M.fields(100 + index, index))

  it.live(
    "is compared with the stored bets, whatever the packet sizes, and continues after them",
    () =>
      Effect.gen(function* () {
        const server = yield* startServer([1])
        const first = yield* RawPeer.connect(server.port)
        yield* first.send(M.packetOf(1, book.slice(0, 3), true))
        yield* first.send(M.packetOf(1, book.slice(3, 5), true))
        expect(yield* first.receive(4)).toEqual(Buffer.concat([M.STORED, M.STORED]))
        yield* first.reset
        const second = yield* RawPeer.connect(server.port)
        for (const [bets, more] of [
          [book.slice(0, 2), true],
          [book.slice(2, 7), true],
          [book.slice(7), false]
        ] as const) {
          yield* second.send(M.packetOf(1, bets, more))
          expect(yield* second.receive(2)).toEqual(M.STORED)
        }
        expect(yield* documents(server, 1)).toEqual(book.map((bet) => bet[2]))
        expect(server.log).toContain(
          "action: apuesta_recibida | result: success | cantidad: 5 | repetidas: 3"
        )
        expect(server.log).toContain(
          "action: apuestas_almacenadas | result: success | agencia: 1 | cantidad: 2"
        )
      })
  )

  it.live("is stored in a few commits if it arrives at once, and each packet is acknowledged", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1, 2])
      const peer = yield* RawPeer.connect(server.port)
      const packets = book.map((bet, at) => M.packetOf(1, [bet], at < book.length - 1))
      yield* peer.send(Buffer.concat([...packets, M.packetOf(1, [], false)]))
      expect(yield* peer.receive(2 * book.length)).toEqual(
        Buffer.concat(packets.map(() => M.STORED))
      )
      expect(yield* documents(server, 1)).toEqual(book.map((bet) => bet[2]))
      const stored = server.log.filter((line) => line.includes("apuestas_almacenadas"))
      expect(stored.length).toBeLessThan(packets.length)
    })
  )

  it.live("is stored up to a bad packet, and only that packet is refused", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const peer = yield* RawPeer.connect(server.port)
      const good = [M.packetOf(1, book.slice(0, 2), true), M.packetOf(1, book.slice(2, 3), true)]
      const bad = M.packetOf(1, [book[3]!.with(3, "1999-02-31")], true)
      yield* peer.send(Buffer.concat([...good, bad, M.packetOf(1, book.slice(4), false)]))
      expect(yield* peer.receive(6)).toEqual(Buffer.concat([M.STORED, M.STORED, M.REFUSED]))
      expect(yield* peer.rest).toHaveLength(0)
      expect(yield* documents(server, 1)).toEqual(book.slice(0, 3).map((bet) => bet[2]))
    })
  )

  it.live("is acknowledged again after the draw, and gets the same winners", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const bets = [M.fields(10, 7574), M.fields(10, 7574), M.fields(11)]
      expect(yield* wholeBook(server.port, 1, bets)).toEqual(M.winnersOf(10, 10))
      expect(yield* wholeBook(server.port, 1, bets)).toEqual(M.winnersOf(10, 10))
      expect(yield* documents(server, 1)).toEqual(["10", "10", "11"])
    })
  )

  const refusedBooks: ReadonlyArray<
    readonly [string, ReadonlyArray<ReadonlyArray<string>>, number]
  > = [
    ["with a changed bet", book.with(4, M.fields(999)), 4],
    ["with two swapped bets", book.with(2, book[6]!).with(6, book[2]!), 2],
    ["but is shorter", book.slice(0, 8), 8],
    ["but is longer", [...book, M.fields(999)], 9]
  ]
  for (const [what, other, position] of refusedBooks) {
    it.live(`${what} is refused and changes nothing`, () =>
      Effect.gen(function* () {
        const server = yield* startServer([1, 2])
        const first = yield* RawPeer.connect(server.port)
        yield* first.send(M.packetOf(1, book, false))
        expect(yield* first.receive(2)).toEqual(M.STORED)
        const second = yield* RawPeer.connect(server.port)
        yield* second.send(M.packetOf(1, other, false))
        expect(yield* second.rest).toEqual(M.REFUSED)
        expect(linesAbout(server, "apuesta_recibida").at(-1)).toContain(
          `agencia: 1 | posicion: ${position} |`
        )
        expect(yield* documents(server, 1)).toEqual(book.map((bet) => bet[2]))
      })
    )
  }

  it.live("cannot be finished with fewer bets than are stored", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.packetOf(1, book, true))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      const second = yield* RawPeer.connect(server.port)
      yield* second.send(M.packetOf(1, book.slice(0, 4), false))
      expect(yield* second.rest).toEqual(M.REFUSED)
      const third = yield* RawPeer.connect(server.port)
      yield* third.send(M.packet("1;", false))
      expect(yield* third.rest).toEqual(M.REFUSED)
      expect((yield* server.store.progressOf(1)).finished).toBe(false)
    })
  )

  it.live("supersedes the previous writer", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.chunkOf(1, book.slice(0, 3), false))
      yield* first.receive(M.CHUNK_PROCESSED.length)
      // Neither an incomplete packet nor a request for winners supersedes the writer.
      const part = yield* RawPeer.connect(server.port)
      yield* part.send(M.packetOf(1, book, true).subarray(0, 40))
      const question = yield* RawPeer.connect(server.winnersPort)
      yield* question.send(M.consultOf(1))
      yield* Effect.sleep("100 millis")
      yield* first.send(M.chunkOf(1, book.slice(3, 4), false))
      yield* first.receive(M.CHUNK_PROCESSED.length)
      const second = yield* RawPeer.connect(server.port)
      yield* second.send(M.packetOf(1, book, false))
      expect(yield* second.receive(2)).toEqual(M.STORED)
      expect(M.readJson(yield* first.rest)).toMatchObject({ type_message: 3 })
      expect(M.readJson(yield* question.rest)).toMatchObject({ type_message: 2 })
      expect(yield* documents(server, 1)).toEqual(book.map((bet) => bet[2]))
    })
  )
})

describe("messages that arrive together", () => {
  const good = [M.fields(10), M.fields(11)]

  it.live("are answered in order, and all before a refused one are acknowledged", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      yield* server.store.append(1, 0, BetBatch.fromBets([betOf(10), betOf(11), betOf(12)]))
      const binary = yield* RawPeer.connect(server.port)
      const different = M.packetOf(1, [M.fields(99)], true)
      const unseen = M.packetOf(1, [M.fields(13)], true)
      yield* binary.send(Buffer.concat([M.packetOf(1, good, true), different, unseen]))
      expect(yield* binary.rest).toEqual(Buffer.concat([M.STORED, M.REFUSED]))
      const json = yield* RawPeer.connect(server.port)
      const early = M.chunkOf(1, [], true)
      yield* json.send(Buffer.concat([M.chunkOf(1, good, false), early]))
      const answers = yield* json.rest
      expect(answers.subarray(0, M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      expect(M.readJson(answers.subarray(M.CHUNK_PROCESSED.length))).toMatchObject({
        type_message: 3
      })
      const single = yield* RawPeer.connect(server.port)
      yield* single.send(M.packetOf(1, [M.fields(10)], true))
      expect(yield* single.receive(2)).toEqual(M.STORED)
      expect(yield* documents(server, 1)).toEqual(["10", "11", "12"])
      expect(linesAbout(server, "apuesta_recibida")).toEqual([
        expect.stringMatching(/success \| cantidad: 2 \| repetidas: 2$/),
        expect.stringMatching(/fail \| cantidad: 1 \| agencia: 1 \| posicion: 2 \|/),
        expect.stringMatching(/success \| cantidad: 2 \| repetidas: 2$/),
        expect.stringMatching(/fail \| cantidad: 0 \| agencia: 1 \| posicion: 2 \|/),
        expect.stringMatching(/success \| cantidad: 1 \| repetidas: 1$/)
      ])
      expect(linesAbout(server, "apuesta_almacenada")).toEqual([])
    })
  )
})

describe("an incomplete message", () => {
  it.live.each([
    ["binary", M.packetOf(1, [M.fields(10)], true), M.STORED],
    ["json", M.chunkOf(1, [M.fields(10)], false), M.CHUNK_PROCESSED]
  ] as const)("does not delay the messages before it: %s", ([, message, stored]) =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(Buffer.concat([message, message.subarray(0, -1)]))
      expect(yield* peer.receive(stored.length)).toEqual(stored)
      expect(yield* documents(server, 1)).toEqual(["10"])
      yield* peer.send(message.subarray(-1))
      expect(yield* peer.receive(stored.length)).toEqual(stored)
      expect(yield* documents(server, 1)).toEqual(["10", "10"])
    })
  )
})

describe("thousands of messages that arrive together", () => {
  it.live(
    "are answered a few hundred at a time, because each takes more memory than its length",
    () =>
      Effect.gen(function* () {
        const server = yield* startServer([1])
        const peer = yield* RawPeer.connect(server.port)
        yield* peer.send(Buffer.concat(Array(1000).fill(M.packetOf(1, [], true))))
        expect(yield* peer.receive(2000)).toEqual(Buffer.concat(Array(1000).fill(M.STORED)))
        expect(linesAbout(server, "apuesta_recibida").length).toBeGreaterThan(3)
      })
  )
})

describe("a message that arrives during a commit", () => {
  it.live("is answered, even if the peer half-closes right after it", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1], {
        flaw: (store) => ({
          ...store,
          append: (...given) => Effect.andThen(Effect.sleep("100 millis"), store.append(...given))
        })
      })
      const peer = yield* RawPeer.connect(server.port)
      for (const document of [10, 11]) {
        yield* peer.send(M.packetOf(1, [M.fields(document)], true))
        if (document === 10) expect(yield* peer.receive(2)).toEqual(M.STORED)
      }
      yield* Effect.sleep("30 millis")
      yield* peer.send(M.packetOf(1, [M.fields(12)], true))
      yield* peer.halfClose
      expect(yield* peer.rest).toEqual(Buffer.concat([M.STORED, M.STORED]))
    })
  )
})

describe("an agency's writer", () => {
  const book = [M.fields(10), M.fields(11)]

  it.live("is not superseded by a book that is refused", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.packetOf(1, book, true))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      const refused = [
        M.packetOf(1, [M.fields(99)], true),
        M.packetOf(1, book.slice(0, 1), false),
        M.packetOf(1, [M.fields(10), M.fields(10000000000)], true)
      ]
      for (const packet of refused) {
        const other = yield* RawPeer.connect(server.port)
        yield* other.send(packet)
        expect(yield* other.rest).toEqual(M.REFUSED)
      }
      yield* first.send(M.packetOf(1, [M.fields(12)], false))
      expect(yield* first.receive(2)).toEqual(M.STORED)
    })
  )

  it.live.each([
    ["binary", (bets: ReadonlyArray<ReadonlyArray<string>>) => M.packetOf(1, bets, true)],
    ["json", (bets: ReadonlyArray<ReadonlyArray<string>>) => M.chunkOf(1, bets, false)]
  ] as const)("is not superseded by a connection that only repeats stored bets: %s", ([, encode]) =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.packetOf(1, book, true))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      const rival = yield* RawPeer.connect(server.port)
      yield* rival.send(encode(book.slice(0, 1)))
      yield* rival.receive(2)
      yield* first.send(M.packetOf(1, [M.fields(12)], true))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      yield* rival.send(encode([...book.slice(1), M.fields(99)]))
      yield* rival.rest
      yield* first.send(M.packetOf(1, [M.fields(13)], false))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      expect(yield* documents(server, 1)).toEqual(["10", "11", "12", "13"])
    })
  )

  it.live("may wait at the barrier after its book is finished, and is not superseded", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1, 2])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.packetOf(1, book, false))
      yield* first.send(M.packet("1;", false))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      const second = yield* RawPeer.connect(server.port)
      yield* second.send(M.packetOf(1, book, false))
      expect(yield* second.receive(2)).toEqual(M.STORED)
      yield* wholeBook(server.port, 2, [])
      expect((yield* first.rest).length).toBeGreaterThanOrEqual(2)
      expect(server.log.filter((line) => line.includes("took over"))).toEqual([])
    })
  )

  const uploads = [
    ["binary", M.packetOf(1, book, true), M.STORED.length],
    ["json", M.chunkOf(1, book, false), M.CHUNK_PROCESSED.length],
    ["native", Buffer.concat([M.helloOf(1), M.betsOf(0, book)]), undefined]
  ] as const
  it.live.each(uploads)(
    "that is superseded is logged once, with both addresses: %s",
    ([, bytes, answer]) =>
      Effect.gen(function* () {
        const server = yield* startServer([1, 2])
        const first = yield* RawPeer.connect(server.port, { from: "127.0.0.2" })
        yield* first.send(bytes)
        yield* answer === undefined
          ? Effect.andThen(first.control, first.control)
          : first.receive(answer)
        const second = yield* RawPeer.connect(server.port, { from: "127.0.0.3" })
        yield* second.send(M.packetOf(1, [...book, M.fields(99)], true))
        expect(yield* second.receive(2)).toEqual(M.STORED)
        yield* first.halfClose
        yield* first.rest
        expect(server.log.filter((line) => line.includes("took over"))).toEqual([
          "action: apuesta_recibida | result: fail | agencia: 1 | posicion: 2 | ip: 127.0.0.2 | " +
            "superseded_by: 127.0.0.3 | error: another connection took over agency 1"
        ])
      })
  )
})

describe("an agency that has its winners", () => {
  it.live("is not disconnected by another connection of the agency", () =>
    Effect.gen(function* () {
      const server = yield* startServer([1])
      const first = yield* RawPeer.connect(server.port)
      yield* first.send(M.chunkOf(1, [M.fields(10, 7574)], true))
      yield* first.receive(M.CHUNK_PROCESSED.length)
      yield* first.send(M.consultOf(1))
      expect(M.readJson(yield* first.rest)).toEqual({ type_message: 2, payload: "10" })
      // The first connection is still open.
      const second = yield* RawPeer.connect(server.port)
      yield* second.send(M.packetOf(1, [M.fields(10, 7574)], false))
      expect(yield* second.receive(2)).toEqual(M.STORED)
      yield* Effect.sleep("100 millis")
      expect(server.log.filter((line) => line.includes("result: fail"))).toEqual([])
    })
  )
})

describe("an agency that disconnects", () => {
  it.live("before the draw does not delay the server's shutdown", () =>
    Effect.gen(function* () {
      const log = yield* Effect.gen(function* () {
        const server = yield* startServer([1, 2])
        const gone = yield* RawPeer.connect(server.port)
        yield* gone.send(M.packetOf(1, [M.fields(10, 7574)], false))
        expect(yield* gone.receive(2)).toEqual(M.STORED)
        yield* gone.send(M.packet("1;", false))
        yield* Effect.sleep("50 millis")
        yield* gone.reset
        yield* Effect.sleep("50 millis")
        expect(server.log.at(-1)).toMatch(/receive_message .* connection lost/)
        // The draw does not need this connection: the agency can request its winners later.
        expect(yield* wholeBook(server.port, 2, [M.fields(20, 7574)])).toEqual(M.winnersOf(20))
        expect((yield* server.store.progressOf(1)).told).toBe(false)
        expect(yield* wholeBook(server.port, 1, [M.fields(10, 7574)])).toEqual(M.winnersOf(10))
        return server.log
      }).pipe(Effect.scoped)
      expect(log.filter((line) => line.includes("timed out"))).toEqual([])
      expect(log).toContain("action: close_resource | result: success | resource: connections")
    })
  )

  it.live("during its commits does not delay the server's shutdown", () =>
    Effect.gen(function* () {
      const log = yield* Effect.gen(function* () {
        const server = yield* startServer([1, 2])
        for (let round = 0; round < 10; round++) {
          const peer = yield* RawPeer.connect(server.port)
          const packets = Array.from({ length: 20 }, (_, index) =>
            M.packetOf(1, [M.fields(index)], true)
          )
          yield* peer.send(Buffer.concat(packets))
          yield* peer.receive(2)
          yield* peer.reset
        }
        return server.log
      }).pipe(Effect.scoped)
      expect(log.filter((line) => line.includes("timed out"))).toEqual([])
    })
  )
})

describe("the barrier", () => {
  it.live("releases no winners before the last of thirty agencies has finished, in any order", () =>
    Effect.gen(function* () {
      const agencies = Array.from({ length: 30 }, (_, index) => index + 1)
      const server = yield* startServer([1, ...agencies.slice(1)])
      const told: Array<number> = []
      const play = (agency: number) =>
        wholeBook(server.port, agency, [M.fields(1000 + agency, 7574), M.fields(1)]).pipe(
          Effect.tap((winners) =>
            Effect.sync(() => {
              expect(winners).toEqual(M.winnersOf(1000 + agency))
              told.push(agency)
            })
          )
        )
      const early = yield* Effect.forEach(agencies.slice(1).reverse(), (agency) =>
        Effect.forkChild(play(agency))
      )
      yield* Effect.sleep("500 millis")
      expect(told).toEqual([])
      yield* play(1)
      yield* Effect.forEach(early, Fiber.join)
      expect(told.sort((a, b) => a - b)).toEqual(agencies)
      yield* server.lottery.allTold
      expect(linesAbout(server, "sorteo").length).toBe(1)
    })
  )
})

describe("the first bytes", () => {
  it.live.each([
    ["are shown in the log", [0x10, 3, 1, 2, 0], "10 03 01 02 00"],
    [
      "are logged as a JSON message that is too large",
      [0, 0x90, 0, 0, 0x7b, 0x22],
      "00 90 00 00 7b 22; a JSON message of 9437184 bytes, expected at most 8388608"
    ],
    [
      "are not shown after an almost native preface, because a token may follow",
      [...M.PREFACE.with(7, 2), ...M.controlFrame({ token: "secret" })],
      "ff 4c 54 52 59 0d 0a 02"
    ]
  ] as const)("of an unknown dialect %s, and the connection is closed", ([, bytes, shown]) =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(Uint8Array.from(bytes))
      expect(yield* peer.rest).toEqual(Buffer.alloc(0))
      expect(linesAbout(server, "receive_message")).toEqual([
        "action: receive_message | result: fail | ip: 127.0.0.1 | " +
          `error: unknown first bytes: ${shown}`
      ])
    })
  )

  it.live("have a time limit on the main port, but not on the winners' port", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const silent = yield* RawPeer.connect(server.port)
      const patient = yield* RawPeer.connect(server.winnersPort)
      expect(yield* silent.rest).toEqual(Buffer.alloc(0))
      yield* patient.send(Buffer.from("PING\n"))
      expect((yield* patient.rest).toString()).toBe("PING\n")
    })
  )

  it.live("that arrive too slowly to identify the dialect end the connection", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const slow = yield* RawPeer.connect(server.port)
      yield* slow.send(Buffer.from([0]))
      expect(yield* slow.rest).toEqual(Buffer.alloc(0))
      expect(linesAbout(server, "receive_message")[0]).toContain(
        "expected enough bytes to identify the dialect in 300ms, got 1 byte: 00"
      )
    })
  )

  it.live("of a packet that is cut off by a FIN are not stored", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.packetOf(1, [M.fields(10)], true).subarray(0, 30))
      yield* peer.halfClose
      expect(yield* peer.rest).toEqual(Buffer.alloc(0))
      expect(yield* documents(server, 1)).toEqual([])
      expect(linesAbout(server, "receive_message")[0]).toContain("stopped sending after 30 bytes")
    })
  )
})
