/**
 * Goal: in a native conversation with any server, the client sends the right messages, keeps to the
 * window and handles every answer. Method: a connection in memory, on the test clock.
 */
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import type { Book } from "../../../src/client/book/Book.ts"
import { converse } from "../../../src/client/conversation/NativeConversation.ts"
import { MAX_BYTES_IN_FLIGHT } from "../../../src/client/conversation/NativeUpload.ts"
import { bookOf, keepLog, recordProgress, row, rows } from "../../support/clientBooks.ts"
import * as Agency from "../../support/peers/AgencyEnd.ts"
import * as AgencyLink from "../../support/peers/AgencyLink.ts"
import { controlFrame } from "../../support/peers/messages.ts"

const begin = Effect.fnUntraced(function* (book: Book) {
  const server = yield* AgencyLink.make
  const progress = recordProgress(book.total)
  const log = keepLog()
  const participation = { agency: 3, draw: "default", book, progress }
  const fiber = yield* converse(server.connection, participation).pipe(
    Effect.provide([log.layer, NodeFileSystem.layer]),
    Effect.forkChild
  )
  const documents = Fiber.join(fiber)
  const { told } = progress
  const isFinished = () => progress.isFinished
  const fails = Effect.flip(documents)
  return { server, log: log.lines, progress, told, isFinished, documents, fails }
})

/** Begins a conversation, and answers the Hello with `welcome`. */
const greeted = Effect.fnUntraced(function* (book: Book, welcome: object) {
  const conversation = yield* begin(book)
  yield* Agency.hello(conversation.server)
  yield* Agency.say(conversation.server, welcome)
  return conversation
})

/** Lets the client run until it waits. */
const settle = TestClock.adjust("10 millis")

/** Serves the end of a conversation, from Finish on. */
const tellWinners = Effect.fnUntraced(function* (server: Agency.AgencyEnd, book: string) {
  expect(yield* Agency.control(server)).toEqual({
    _tag: "Finish",
    bets: book.split("\n").length - 1,
    sha256: Agency.sha256(book)
  })
  yield* Agency.say(server, Agency.finished(book))
  expect(yield* Agency.control(server)).toEqual({ _tag: "AwaitWinners" })
  yield* Agency.say(server, Agency.winners(["7"]))
})

describe("a whole conversation", () => {
  it.effect("sends Hello, bets, Finish and AwaitWinners, and reads winners in several frames", () =>
    Effect.gen(function* () {
      const book = bookOf([rows(0, 3), rows(3, 5)])
      const { documents, isFinished, log, server, told } = yield* begin(book)
      expect(yield* Agency.hello(server)).toEqual({
        _tag: "Hello",
        draw: "default",
        agency: 3,
        book: { bets: 5 }
      })
      yield* Agency.say(server, Agency.welcome())
      expect(yield* Agency.bets(server)).toEqual({ position: 0, count: 3, rows: rows(0, 3) })
      expect(yield* Agency.bets(server)).toEqual({ position: 3, count: 2, rows: rows(3, 5) })
      yield* Agency.say(server, Agency.ack(3), Agency.ack(5))
      expect(yield* Agency.control(server)).toEqual({
        _tag: "Finish",
        bets: 5,
        sha256: Agency.sha256(rows(0, 5))
      })
      expect(isFinished()).toBe(false)
      yield* Agency.say(server, Agency.finished(rows(0, 5)))
      expect(yield* Agency.control(server)).toEqual({ _tag: "AwaitWinners" })
      expect(isFinished()).toBe(true)
      yield* Agency.say(
        server,
        { _tag: "Waiting", finished: 1, expected: 2 },
        { _tag: "Waiting", finished: 2, expected: 2 },
        Agency.winners(["30", "40"], true),
        Agency.winners([], true),
        Agency.winners(["40"])
      )
      expect(yield* documents).toEqual(["30", "40", "40"])
      expect(told).toEqual([0, 3, 5, "1 of 2", "2 of 2"])
      expect(log).toEqual([
        "action: apuestas_enviadas | result: success | agencia: 3 | cantidad: 3",
        "action: apuestas_enviadas | result: success | agencia: 3 | cantidad: 2"
      ])
    })
  )

  it.effect("with one bet logs the bet, and with an empty book sends none", () =>
    Effect.gen(function* () {
      const one = yield* greeted(bookOf([row(8)]), Agency.welcome())
      yield* Agency.bets(one.server)
      yield* Agency.say(one.server, Agency.ack(1))
      yield* tellWinners(one.server, row(8))
      yield* one.documents
      expect(one.log).toContain("action: apuesta_enviada | result: success | dni: 8 | numero: 7574")
      const none = yield* greeted(bookOf([]), Agency.welcome())
      yield* tellWinners(none.server, "")
      expect(yield* none.documents).toEqual(["7"])
    })
  )

  it.effect("resumes in the middle of a batch if the server has its beginning", () =>
    Effect.gen(function* () {
      const book = bookOf([rows(0, 3), rows(3, 6), rows(6, 8)])
      const { documents, log, server, told } = yield* greeted(book, Agency.welcome(rows(0, 4)))
      expect(yield* Agency.bets(server)).toEqual({ position: 4, count: 2, rows: rows(4, 6) })
      expect(yield* Agency.bets(server)).toEqual({ position: 6, count: 2, rows: rows(6, 8) })
      yield* Agency.say(server, Agency.ack(8))
      yield* tellWinners(server, rows(0, 8))
      yield* documents
      expect(told).toEqual([4, 6, 8])
      expect(log[0]).toBe("action: upload_resumed | result: success | agencia: 3 | posicion: 4")
    })
  )

  it.effect("only finishes a fully stored book, and only waits if it is finished", () =>
    Effect.gen(function* () {
      const book = bookOf([rows(0, 4)])
      const held = yield* greeted(book, Agency.welcome(rows(0, 4)))
      yield* tellWinners(held.server, rows(0, 4))
      yield* held.documents
      const done = yield* greeted(book, Agency.welcome(rows(0, 4), { finished: true }))
      expect(yield* Agency.control(done.server)).toEqual({ _tag: "AwaitWinners" })
      yield* Agency.say(done.server, Agency.winners([]))
      expect(yield* done.documents).toEqual([])
      expect(done.told).toEqual([4])
      expect(done.isFinished()).toBe(true)
      expect(done.log).toEqual([])
    })
  )
})

describe("frames in flight", () => {
  it.effect("are as full as the server accepts, and never empty", () =>
    Effect.gen(function* () {
      const maxFrame = 9 + Buffer.byteLength(rows(0, 2))
      const book = bookOf([rows(0, 4)])
      const { server } = yield* greeted(book, Agency.welcome("", { maxFrame }))
      for (const from of [0, 2]) {
        expect(yield* Agency.bets(server)).toEqual({
          position: from,
          count: 2,
          rows: rows(from, from + 2)
        })
      }
      yield* Agency.say(server, Agency.ack(4))
      yield* tellWinners(server, rows(0, 4))
    })
  )

  const tenFrames = bookOf(Array.from({ length: 10 }, (_, index) => row(index)))

  it.effect("fill the window, and each acknowledgement allows more", () =>
    Effect.gen(function* () {
      const { server } = yield* greeted(tenFrames, Agency.welcome("", { window: 3 }))
      for (let position = 0; position < 3; position++) {
        expect(yield* Agency.bets(server)).toMatchObject({ position })
      }
      yield* settle
      expect(server.pending()).toBe(0)
      yield* Agency.say(server, Agency.ack(1))
      expect(yield* Agency.bets(server)).toMatchObject({ position: 3 })
      yield* settle
      expect(server.pending()).toBe(0)
      // One acknowledgement for three frames.
      yield* Agency.say(server, Agency.ack(4))
      for (const position of [4, 5, 6]) {
        expect(yield* Agency.bets(server)).toMatchObject({ position })
      }
      yield* settle
      expect(server.pending()).toBe(0)
    })
  )

  it.effect("have at most 2 MiB of rows, however large the window is", () =>
    Effect.gen(function* () {
      const rowBytes = row(1_000_000).length
      const perFrame = Math.floor((1024 * 1024 - 9) / rowBytes)
      const frames = Array.from({ length: 8 }, (_, index) => {
        const start = 1_000_000 + index * perFrame
        return rows(start, start + perFrame)
      })
      const { server } = yield* greeted(bookOf(frames), Agency.welcome("", { window: 100 }))
      yield* settle
      const frameBytes = 13 + perFrame * rowBytes
      expect(server.pending()).toBe(Math.floor(MAX_BYTES_IN_FLIGHT / frameBytes) * frameBytes)
      yield* Agency.bets(server)
      yield* Agency.say(server, Agency.ack(perFrame))
      yield* settle
      expect(server.pending()).toBe(Math.floor(MAX_BYTES_IN_FLIGHT / frameBytes) * frameBytes)
    })
  )

  it.effect("are split between rows to the size that the server accepts", () =>
    Effect.gen(function* () {
      const two = 9 + 2 * row(0).length
      const book = bookOf([rows(0, 5), row(5)])
      const { server } = yield* greeted(book, Agency.welcome("", { window: 9, maxFrame: two + 1 }))
      expect(yield* Agency.bets(server)).toEqual({ position: 0, count: 2, rows: rows(0, 2) })
      expect(yield* Agency.bets(server)).toEqual({ position: 2, count: 2, rows: rows(2, 4) })
      expect(yield* Agency.bets(server)).toEqual({ position: 4, count: 1, rows: row(4) })
      expect(yield* Agency.bets(server)).toEqual({ position: 5, count: 1, rows: row(5) })
      for (const maxFrame of [1, 9, 8 + row(0).length]) {
        const small = yield* greeted(book, Agency.welcome("", { maxFrame }))
        expect(yield* small.fails).toMatchObject({
          _tag: "BadMessage",
          message: expect.stringContaining("bet 1 is larger")
        })
      }
    })
  )

  for (const [what, acks, wrong] of [
    ["beyond what was sent", [4], "it acknowledged 4 bets, expected 0 to 3"],
    ["backwards", [2, 1], "it acknowledged 1 bets, expected 2 to "]
  ] as const) {
    it.effect(`cannot be acknowledged ${what}`, () =>
      Effect.gen(function* () {
        const { fails, server } = yield* greeted(tenFrames, Agency.welcome("", { window: 3 }))
        yield* settle
        yield* Agency.say(server, ...acks.map(Agency.ack))
        expect(yield* fails).toMatchObject({
          _tag: "BadAnswer",
          message: expect.stringContaining(wrong)
        })
      })
    )
  }

  it.effect("may be acknowledged twice, and bet by bet", () =>
    Effect.gen(function* () {
      const { documents, server } = yield* greeted(bookOf([rows(0, 3)]), Agency.welcome())
      yield* Agency.bets(server)
      yield* Agency.say(server, ...[0, 1, 1, 2, 3].map(Agency.ack))
      yield* tellWinners(server, rows(0, 3))
      yield* documents
    })
  )
})

describe("a refusal", () => {
  const book = bookOf([rows(0, 2), rows(2, 4)])

  for (const [code, retryable] of [
    ["InvalidBet", false],
    ["Superseded", false],
    ["StoreUnavailable", true],
    ["Conflict", true],
    ["Tuesday", false]
  ] as const) {
    it.effect(`${code} is ${retryable ? "retryable" : "final"} at every stage`, () =>
      Effect.gen(function* () {
        const refusal = Agency.rejected(code, { position: 1 })
        const expected = {
          _tag: "Refused",
          code,
          retryable,
          message: `the server refused (${code}) at position 1: the reason`
        }
        expect(yield* (yield* greeted(book, refusal)).fails).toMatchObject(expected)
        const uploading = yield* greeted(book, Agency.welcome())
        yield* Agency.bets(uploading.server)
        yield* Agency.say(uploading.server, refusal)
        expect(yield* uploading.fails).toMatchObject(expected)
        const finishing = yield* greeted(book, Agency.welcome(rows(0, 4)))
        yield* Agency.control(finishing.server)
        yield* Agency.say(finishing.server, refusal)
        expect(yield* finishing.fails).toMatchObject(expected)
        const waiting = yield* greeted(book, Agency.welcome(rows(0, 4), { finished: true }))
        yield* Agency.control(waiting.server)
        yield* Agency.say(waiting.server, { _tag: "Waiting", finished: 1, expected: 2 }, refusal)
        expect(yield* waiting.fails).toMatchObject(expected)
      })
    )
  }

  it.effect("is read after a failed write; without one the connection is lost", () =>
    Effect.gen(function* () {
      for (const refused of [true, false]) {
        const { fails, server } = yield* greeted(book, Agency.welcome("", { window: 1 }))
        yield* Agency.bets(server)
        yield* server.deafen
        yield* Agency.say(server, Agency.ack(2))
        yield* settle
        if (refused) yield* Agency.say(server, Agency.rejected("ShuttingDown"))
        yield* TestClock.adjust("1 second")
        const expected = refused ? { code: "ShuttingDown" } : { _tag: "ConnectionLost" }
        expect(yield* fails).toMatchObject(expected)
      }
    })
  )

  it.effect("is read after a Finish that could not be written", () =>
    Effect.gen(function* () {
      for (const refused of [true, false]) {
        const { fails, server } = yield* greeted(bookOf([row(1)]), Agency.welcome())
        yield* Agency.bets(server)
        yield* server.deafen
        yield* Agency.say(server, Agency.ack(1))
        yield* settle
        if (refused) yield* Agency.say(server, Agency.rejected("Timeout"))
        yield* TestClock.adjust("1 second")
        const expected = refused ? { code: "Timeout" } : { _tag: "ConnectionLost" }
        expect(yield* fails).toMatchObject(expected)
      }
    })
  )
})

describe("an invalid answer", () => {
  const book = bookOf([rows(0, 2)])

  it.effect("is final", () =>
    Effect.gen(function* () {
      for (const answer of [
        Agency.ack(0),
        Agency.welcome("", { draw: "spring" }),
        { _tag: "Welcome" }
      ]) {
        expect(yield* (yield* greeted(book, answer)).fails).toMatchObject({ _tag: "BadAnswer" })
      }
      const other = { _tag: "Finished", bets: 2, sha256: "a".repeat(64) }
      const finishing = yield* greeted(book, Agency.welcome(rows(0, 2)))
      yield* Agency.say(finishing.server, other)
      expect(yield* finishing.fails).toMatchObject({
        reason: "it finished a different book of 2 bets"
      })
      const long = yield* begin(book)
      yield* long.server.send(Buffer.from([0, 0x10, 0, 1]))
      expect(yield* long.fails).toMatchObject({
        _tag: "BadAnswer",
        message: expect.stringContaining("at most 1048576 bytes")
      })
    })
  )
})

describe("a different stored book", () => {
  const mine = rows(0, 6)
  const book = bookOf([rows(0, 3), rows(3, 6)])

  it.effect("is compared with a connection, which is shown as such", () =>
    Effect.gen(function* () {
      const { progress, server } = yield* begin(book)
      yield* progress.interrupt("lost")
      yield* Agency.hello(server)
      yield* Agency.say(server, Agency.welcome(rows(5, 9)))
      expect(yield* Agency.control(server)).toEqual({ _tag: "Compare" })
      expect(progress.interruption).toBeUndefined()
    })
  )

  /** Runs a conversation that leads to Compare, and returns its AnotherBook error. */
  const compared = Effect.fnUntraced(function* (
    welcome: object,
    script: (server: AgencyLink.AgencyLink) => Effect.Effect<void>
  ) {
    const { fails, log, server, told } = yield* greeted(book, welcome)
    expect(yield* Agency.control(server)).toEqual({ _tag: "Compare" })
    yield* script(server)
    const error = yield* fails
    expect(error._tag).toBe("AnotherBook")
    expect({ log, told }).toEqual({ log: [], told: [] })
    return error
  })
  const held = mine.replace(",4,", ",44,")

  it.effect("is reported with the first difference and what to do", () =>
    Effect.gen(function* () {
      const error = yield* compared(
        Agency.welcome(held),
        Effect.fnUntraced(function* (server) {
          expect(yield* Agency.bets(server)).toEqual({ position: 0, count: 3, rows: rows(0, 3) })
          expect(yield* Agency.bets(server)).toMatchObject({ position: 3, count: 3 })
          yield* Agency.say(server, Agency.ack(3), Agency.rejected("BookMismatch", { position: 4 }))
        })
      )
      expect(error).toMatchObject({ agency: 3, stored: 6, total: 6, position: 4 })
      expect(error.message).toBe(
        "agency 3: the server has a different book of 6 bets; this one has 6, and they first " +
          "differ at bet 5. To send this one instead, discard the server's book before the draw, " +
          "where its store is: lottery discard --store URL --agency 3 --yes; then start this " +
          "client again"
      )
    })
  )

  it.effect("is reported with the line that differs, and so is a refused bet", () =>
    Effect.gen(function* () {
      const placeOf = (position: number) => Effect.succeed(`book.csv:${position + 10}`)
      const other = yield* greeted({ ...book, placeOf }, Agency.welcome(held))
      yield* Agency.control(other.server)
      yield* Agency.say(other.server, Agency.rejected("BookMismatch", { position: 4 }))
      expect((yield* other.fails).message).toContain("first differ at book.csv:14. To send")
      const refused = yield* greeted({ ...book, placeOf }, Agency.welcome())
      yield* Agency.say(refused.server, Agency.rejected("InvalidBet", { position: 1 }))
      expect((yield* refused.fails).message).toBe(
        "the server refused (InvalidBet) at book.csv:11: the reason"
      )
    })
  )

  it.effect("is detected even if it is unfinished and shorter", () =>
    Effect.gen(function* () {
      const error = yield* compared(
        Agency.welcome(held.split("\n").slice(0, 5).join("\n").concat("\n")),
        Effect.fnUntraced(function* (server) {
          yield* Agency.bets(server)
          expect(yield* Agency.bets(server)).toEqual({ position: 3, count: 2, rows: rows(3, 5) })
          yield* Agency.say(server, Agency.rejected("BookMismatch", { position: 4 }))
        })
      )
      expect(error).toMatchObject({ stored: 5, total: 6, position: 4 })
      expect(error.message).toContain("they first differ at bet 5.")
    })
  )

  it.effect("may be longer, or shorter and finished, with one a prefix of the other", () =>
    Effect.gen(function* () {
      const longer = yield* compared(
        Agency.welcome(rows(0, 9)),
        Effect.fnUntraced(function* (server) {
          yield* Agency.bets(server)
          yield* Agency.bets(server)
          yield* Agency.say(server, Agency.ack(6))
        })
      )
      expect(longer).toMatchObject({ stored: 9, total: 6, position: 6 })
      expect(longer.message).toContain("identical up to bet 6, where this one ends")
      const shorter = yield* compared(
        Agency.welcome(rows(0, 4), { finished: true }),
        Effect.fnUntraced(function* (server) {
          expect(yield* Agency.bets(server)).toMatchObject({ position: 0, count: 3 })
          // Only as many bets as the server has are sent for comparison.
          expect(yield* Agency.bets(server)).toEqual({ position: 3, count: 1, rows: row(3) })
          yield* Agency.say(server, Agency.ack(4))
        })
      )
      expect(shorter).toMatchObject({ stored: 4, total: 6, position: 4 })
      expect(shorter.message).toContain("identical up to bet 4, where the server's ends")
      const batch = yield* compared(
        Agency.welcome(rows(0, 3), { finished: true }),
        Effect.fnUntraced(function* (server) {
          yield* Agency.bets(server)
          yield* settle
          expect(server.pending()).toBe(0)
          yield* Agency.say(server, Agency.ack(3))
        })
      )
      expect(batch).toMatchObject({ stored: 3, total: 6, position: 3 })
      const none = yield* greeted(book, Agency.welcome("", { finished: true }))
      expect(yield* none.fails).toMatchObject({ _tag: "AnotherBook", stored: 0, position: 0 })
    })
  )

  it.effect("is compared within the window", () =>
    Effect.gen(function* () {
      yield* compared(
        Agency.welcome(held, { window: 1 }),
        Effect.fnUntraced(function* (server) {
          yield* Agency.bets(server)
          yield* settle
          expect(server.pending()).toBe(0)
          yield* Agency.say(server, Agency.rejected("BookMismatch", { position: 2 }))
        })
      )
    })
  )

  it.effect("is reported without a position if the server does not give one", () =>
    Effect.gen(function* () {
      const answers: ReadonlyArray<
        (server: AgencyLink.AgencyLink) => Effect.Effect<void, never, never>
      > = [
        (server) => Agency.say(server, Agency.rejected("Malformed")),
        (server) => Agency.say(server, Agency.rejected("BookMismatch")),
        (server) => Agency.say(server, Agency.rejected("BookMismatch", { position: 6 })),
        (server) => Agency.say(server, Agency.rejected("ShuttingDown", { position: 2 })),
        (server) => Agency.say(server, { _tag: "Waiting", finished: 1, expected: 2 }),
        (server) => server.close,
        () => TestClock.adjust("45 seconds")
      ]
      for (const answer of answers) {
        const error = yield* compared(Agency.welcome(held), answer)
        expect(error).toMatchObject({ stored: 6, total: 6, position: undefined })
        expect(error.message).toContain("this one has 6. To send this one instead")
      }
    })
  )
})

describe("a book that changed after the check", () => {
  for (const [what, then, now] of [
    ["is shorter", [rows(0, 2), row(2)], "only 3"],
    ["is longer by a part of a batch", [rows(0, 2), rows(2, 5)], "more"],
    ["is longer by a batch", [rows(0, 2), rows(2, 4), row(4)], "more"]
  ] as const) {
    it.effect(`and ${what} is never finished`, () =>
      Effect.gen(function* () {
        const book = bookOf([rows(0, 2), rows(2, 4)], then)
        const { fails, server } = yield* greeted(book, Agency.welcome())
        const error = yield* fails
        expect(error._tag).toBe("BookChanged")
        expect(error.message).toContain(`it had 4 bets and now has ${now}`)
        // At most the first batch was sent, and no Finish.
        expect([0, 13 + rows(0, 2).length]).toContain(server.pending())
      })
    )
  }

  for (const [what, acknowledged, code] of [
    ["refuses its digest", 4, "BookMismatch"],
    ["refuses a bet", 2, "InvalidBet"],
    ["refuses a frame", 0, "Malformed"]
  ] as const) {
    it.effect(`and has other bytes is reported if the server ${what}`, () =>
      Effect.gen(function* () {
        const book = bookOf([rows(0, 2), rows(2, 4)], [rows(0, 2), rows(6, 8)])
        const { fails, server } = yield* greeted(book, Agency.welcome())
        yield* Agency.bets(server)
        yield* Agency.bets(server)
        yield* Agency.say(server, Agency.ack(acknowledged))
        if (acknowledged === 4) {
          expect(yield* Agency.control(server)).toMatchObject({ _tag: "Finish", bets: 4 })
        }
        yield* Agency.say(server, Agency.rejected(code))
        const error = yield* fails
        expect(error._tag).toBe("BookChanged")
        expect(error.message).toContain(
          "it had 4 bets and now has the same number of different bets"
        )
      })
    )
  }

  it.effect("is not reported if it did not change", () =>
    Effect.gen(function* () {
      const { fails, server } = yield* greeted(bookOf([rows(0, 2)]), Agency.welcome())
      yield* Agency.bets(server)
      yield* Agency.say(server, Agency.ack(2), Agency.rejected("BookMismatch"))
      expect(yield* fails).toMatchObject({ _tag: "Refused", code: "BookMismatch" })
    })
  )

  it.effect("is not reported as different from the stored book", () =>
    Effect.gen(function* () {
      const book = bookOf([rows(0, 4)], [rows(4, 8)])
      const { fails } = yield* greeted(book, Agency.welcome(rows(0, 2)))
      expect((yield* fails)._tag).toBe("BookChanged")
    })
  )
})

describe("a silent server", () => {
  const book = bookOf([rows(0, 2)])
  const silence = { _tag: "ConnectionLost", reason: "nothing received for 45 s" }

  it.effect("is given up after 45 s at every stage", () =>
    Effect.gen(function* () {
      const atHello = yield* begin(book)
      const atBets = yield* greeted(book, Agency.welcome())
      const atFinish = yield* greeted(book, Agency.welcome(rows(0, 2)))
      const atWinners = yield* greeted(book, Agency.welcome(rows(0, 2), { finished: true }))
      yield* TestClock.adjust("44 seconds")
      // Part of an answer restarts the 45 s.
      yield* atHello.server.send(Buffer.from([0]))
      yield* Agency.say(atWinners.server, { _tag: "Waiting", finished: 1, expected: 2 })
      yield* TestClock.adjust("1 second")
      for (const { fails } of [atBets, atFinish]) expect(yield* fails).toMatchObject(silence)
      yield* TestClock.adjust("43 seconds")
      yield* Agency.say(atWinners.server, { _tag: "Waiting", finished: 1, expected: 2 })
      yield* TestClock.adjust("1 second")
      expect(yield* atHello.fails).toMatchObject(silence)
      yield* Agency.say(atWinners.server, Agency.winners(["1"]))
      expect(yield* atWinners.documents).toEqual(["1"])
    })
  )
})

describe("answers in pieces", () => {
  const held = rows(0, 2)
  const book = bookOf([held, rows(2, 4)])
  /** All answers of a conversation, sent without waiting for the client. */
  const answers = Buffer.concat(
    [
      Agency.welcome(held),
      Agency.ack(4),
      Agency.finished(rows(0, 4)),
      { _tag: "Waiting", finished: 1, expected: 1 },
      Agency.winners(["1"], true),
      Agency.winners(["2"])
    ].map(controlFrame)
  )

  it.effect("are understood byte by byte", () =>
    Effect.gen(function* () {
      const { documents, server } = yield* begin(book)
      for (const byte of answers) yield* server.send(Uint8Array.of(byte))
      expect(yield* documents).toEqual(["1", "2"])
    })
  )

  it.effect("that end after any byte count as a lost connection", () =>
    Effect.gen(function* () {
      for (let cut = 0; cut < answers.length; cut++) {
        const closed = yield* begin(book)
        yield* closed.server.send(answers.subarray(0, cut))
        yield* closed.server.close
        const error = yield* closed.fails
        expect(error._tag, `closed after ${cut} bytes`).toBe("ConnectionLost")
        expect(error.message).toMatch(/the server closed it (without|after \d+ bytes of) an answer/)
        const broken = yield* begin(book)
        yield* broken.server.send(answers.subarray(0, cut))
        yield* settle
        yield* broken.server.reset
        // After a failed write the client waits a second for a refusal.
        yield* TestClock.adjust("1 second")
        expect((yield* broken.fails)._tag, `reset after ${cut} bytes`).toBe("ConnectionLost")
      }
    })
  )
})
