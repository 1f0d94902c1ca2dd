/** Goal: each rule of the native frames, and above all the reasons of their refusals. */
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { describe, expect } from "vitest"
import { MAX_AGENCY } from "../../src/domain/Agency.ts"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { make } from "../../src/protocol/ByteReader.ts"
import { decoder } from "../../src/protocol/BytesCodec.ts"
import { MAX_HELLO_BYTES, MAX_TOKEN_BYTES } from "../../src/protocol/Limits.ts"
import * as Frames from "../../src/protocol/native/NativeFrames.ts"
import * as Native from "../../src/protocol/native/NativeMessages.ts"
import { betsFrame, controlFrame, readControl } from "../support/peers/messages.ts"
import { readerOf } from "../support/peers/streams.ts"

const decodeRequest = decoder(Frames.NativeRequestFromBytes)
const decodeReply = decoder(Frames.NativeReplyFromBytes)
const GOOD = "Ana,Perez,12345678,1999-03-17,7574\n"

const problemOf = (frame: Uint8Array) => {
  const decoded = decodeRequest(frame)
  return Result.isFailure(decoded) ? decoded.failure : undefined
}

describe("a frame of bets", () => {
  it("uses its rows without a copy and encodes to the same bytes", () => {
    const frame = betsFrame(15_000, 2, `${GOOD}"O""Hara, the 2nd",P,1,1999-03-17,0\n`)
    const bets = Result.getOrThrow(decodeRequest(frame))
    expect(bets).toMatchObject({ _tag: "Bets", position: 15_000, batch: { count: 2 } })
    expect(bets._tag === "Bets" && bets.batch.bytes.buffer).toBe(frame.buffer)
    expect(Buffer.from(Result.getOrThrow(Frames.encodeNativeRequest(bets)))).toEqual(frame)
  })

  it.each([
    ["31 February", `${GOOD}Ana,P,1,1999-02-31,1\n`, 1, "birthdate"],
    ["leading zeros", "Ana,P,1,1999-02-28,0007\n", 0, "leading zeros"],
    ["unnecessary quotes", '"Ana",P,1,1999-02-28,7\n', 0, "quotes"],
    ["an open quote", '"Ana,P,1,1999-02-28,7\n', 0, "5 fields"],
    ["leading zeros in a row with quotes", '"A,b",P,1,1999-02-28,07\n', 0, "leading zeros"],
    ["an invalid field in a row with quotes", '"A,b",P,1x,1999-02-28,7\n', 0, "document"],
    ["CR before LF", "Ana,P,1,1999-02-28,7\r\n", 0, "number"],
    ["four fields", `${GOOD}${GOOD}Ana,P,1,1999-02-28\n`, 2, "5 fields"],
    ["no LF at the end", "Ana,P,1,1999-02-28,7", 0, "LF"],
    ["an empty row", `${GOOD}\n`, 1, "5 fields"],
    ["bytes that are not UTF-8", Buffer.from('"\xff,",P,1,1999-02-28,7\n', "latin1"), 0, "UTF-8"]
  ] as const)("is refused with the row and the reason: %s", (_what, rows, index, reason) => {
    const count = Buffer.from(rows).filter((byte) => byte === 0x0a).length || 1
    const problem = problemOf(betsFrame(70, count, rows))
    expect(problem).toMatchObject({ index, position: 70, count })
    expect(problem?.reason).toContain(reason)
  })

  it("is refused if its number of rows is not its count", () => {
    for (const count of [0, 1, 3]) {
      const problem = problemOf(betsFrame(0, count, GOOD + GOOD))
      expect(problem?.reason).toBe(`expected ${count} rows, got 2`)
      expect(problem?.index).toBeUndefined()
    }
  })

  it("is refused without position and count", () => {
    const problem = problemOf(Buffer.from([0, 0, 0, 4, 2, 0, 0, 0]))
    expect(problem?.reason).toBe("expected position and count in a frame of bets")
  })

  it("is not encoded if it is too large", () => {
    const bet = new Bet({
      firstName: '"'.repeat(100),
      lastName: '"'.repeat(100),
      document: "1",
      birthdate: "1999-03-17",
      number: 1
    })
    const batch = BetBatch.fromBets(Array.from({ length: 2500 }, () => bet))
    const encoded = Frames.encodeNativeRequest(new Native.Bets({ position: 0, batch }))
    expect(Result.isFailure(encoded) && encoded.failure.message).toContain("do not fit in a frame")
  })
})

describe("a control message", () => {
  it("may have unknown keys", () => {
    const frame = controlFrame({ _tag: "Hello", draw: "default", agency: 3, colour: "red" })
    expect(Result.getOrThrow(decodeRequest(frame))).toEqual(
      new Native.Hello({ draw: "default", agency: 3 })
    )
  })

  it("that is a Hello fits in its limit, however long its values are", () => {
    const hello = new Native.Hello({
      draw: "d".repeat(64),
      agency: MAX_AGENCY,
      token: "t".repeat(MAX_TOKEN_BYTES),
      book: { bets: Number.MAX_SAFE_INTEGER }
    })
    const frame = Result.getOrThrow(Frames.encodeNativeRequest(hello))
    expect(frame.length - 4).toBeLessThanOrEqual(MAX_HELLO_BYTES)
    expect(Result.getOrThrow(decodeRequest(frame))).toEqual(hello)
  })

  it("is JSON with its tag", () => {
    const frame = Result.getOrThrow(Frames.encodeNativeReply(new Native.Ack({ bets: 12 })))
    expect(readControl(frame)).toEqual({ _tag: "Ack", bets: 12 })
  })

  it.each([
    ["invalid JSON", "{"],
    ["another tag", { _tag: "Goodbye" }],
    ["a server's message", { _tag: "Ack", bets: 1 }],
    ["an agency as text", { _tag: "Hello", draw: "default", agency: "3" }],
    ["agency 0", { _tag: "Hello", draw: "default", agency: 0 }],
    ["half a bet in a book", { _tag: "Hello", draw: "d", agency: 3, book: { bets: 0.5 } }],
    ["a book without its number of bets", { _tag: "Hello", draw: "d", agency: 3, book: {} }],
    ["a book that is a number", { _tag: "Hello", draw: "d", agency: 3, book: 5 }],
    ["a digest in capitals", { _tag: "Finish", bets: 1, sha256: "A".repeat(64) }],
    ["a digest of 63 digits", { _tag: "Finish", bets: 1, sha256: "a".repeat(63) }],
    ["a count below 0", { _tag: "Finish", bets: -1, sha256: "a".repeat(64) }],
    ["half a bet", { _tag: "Finish", bets: 0.5, sha256: "a".repeat(64) }]
  ])("is refused: %s", (_what, message) => {
    expect(problemOf(controlFrame(message))).toBeDefined()
  })

  const TOKEN = "f3a91c77d0e24b58"
  const helloWith = (fields: object) => ({ _tag: "Hello", draw: "d", agency: 3, ...fields })
  it.each([
    ["agency 0", helloWith({ token: TOKEN, agency: 0 })],
    ["an agency as text", helloWith({ token: TOKEN, agency: "3" })],
    ["a token in a list", helloWith({ token: [TOKEN] })],
    ["a token with half a character", helloWith({ token: `${TOKEN}\ud800` })],
    ["a token as the draw, and no agency", { _tag: "Hello", draw: TOKEN }],
    ["another tag", helloWith({ _tag: "Hallo", token: TOKEN })],
    ["no tag", { token: TOKEN, agency: 3 }],
    ["the token as its tag", { _tag: TOKEN }],
    ["JSON that is cut off", `{"_tag":"Hello","token":"${TOKEN}"`],
    ["text that is not JSON", TOKEN],
    ["a string", `"${TOKEN}"`]
  ])("keeps a token out of its refusal: %s", (_what, message) => {
    const problem = problemOf(controlFrame(message))
    const shown = `${problem} ${problem?.message} ${problem?.stack} ${JSON.stringify(problem)}`
    for (let at = 0; at + 4 <= TOKEN.length; at++) {
      expect(shown).not.toContain(TOKEN.slice(at, at + 4))
    }
  })

  it.each([
    ["its tag", { _tag: "Goodbye" }, ", got _tag Goodbye"],
    ["a tag of 20 letters", { _tag: "a".repeat(20) }, `, got _tag ${"a".repeat(20)}`],
    ["no tag of 21 letters", { _tag: "a".repeat(21) }, ""],
    ["no tag with a line ending", { _tag: "Hello\n" }, ""],
    ["no empty tag", { _tag: "" }, ""],
    ["no tag of other letters", { _tag: "Olé" }, ""],
    ["no number", { _tag: 1 }, ""],
    ["nothing of text that is not JSON", "Goodbye", ""]
  ])("is refused showing %s", (_what, message, got) => {
    expect(problemOf(controlFrame(message))?.message).toBe(`expected a JSON control message${got}`)
  })

  it("of a client is refused as a server's", () => {
    expect(Result.isFailure(decodeReply(controlFrame({ _tag: "AwaitWinners" })))).toBe(true)
    expect(Result.isFailure(decodeReply(betsFrame(0, 1, GOOD)))).toBe(true)
  })

  const FINISHED = { _tag: "Finished", bets: 0, sha256: "a".repeat(64) }
  const WAITING = { _tag: "Waiting", finished: 1, expected: 2 }
  const WINNERS = { _tag: "Winners", number: 7574, documents: ["10"], more: false }

  it.each([
    ["a receipt", FINISHED, { receipt: "lottery-receipt/v1 …\n" }],
    ["two proofs", WAITING, { seal: ["c2sp.org/tlog-proof@v1\n", "…"] }],
    ["a result", WINNERS, { result: "lottery-result/v1 …\n" }]
  ])("of a server may have, in a sealed draw, %s", (_what, plain, sealed) => {
    for (const message of [plain, { ...plain, ...sealed }]) {
      const decoded = Result.getOrThrow(decodeReply(controlFrame(message)))
      expect(readControl(Result.getOrThrow(Frames.encodeNativeReply(decoded)))).toEqual(message)
      // A client ignores the keys of servers to come, as older ones ignore these.
      const grown = decodeReply(controlFrame({ ...message, tomorrow: [1] }))
      expect(Result.getOrThrow(grown)).toEqual(decoded)
    }
  })

  it.each([
    ["a receipt that is null", FINISHED, { receipt: null }],
    ["one proof", WAITING, { seal: ["…"] }],
    ["three proofs", WAITING, { seal: ["…", "…", "…"] }],
    ["a proof that is a number", WAITING, { seal: ["…", 1] }],
    ["a result with half a character", WINNERS, { result: "\ud800" }]
  ])("of a server is refused: %s", (_what, plain, more) => {
    expect(Result.isFailure(decodeReply(controlFrame({ ...plain, ...more })))).toBe(true)
  })

  it("may be a rejection with an unknown code, which is final", () => {
    const rejected = { _tag: "Rejected", code: "Tuesday", message: "closed" }
    expect(Result.getOrThrow(decodeReply(controlFrame(rejected)))).toMatchObject(rejected)
    expect(Native.isRetryable("Tuesday")).toBe(false)
  })

  it.each([
    [true, ["Gap", "Conflict", "StoreUnavailable", "Busy", "Timeout", "ShuttingDown"]],
    [false, ["Malformed", "TooLarge", "WrongDraw", "UnknownAgency", "Unauthorized", "InvalidBet"]],
    [
      false,
      [
        "Excluded",
        "Missed",
        "BookMismatch",
        "NotFinished",
        "AlreadyFinished",
        "Superseded",
        "busy",
        ""
      ]
    ]
  ] as const)(
    "says with its code whether a client may begin again: %s after %s",
    (isRetryable, codes) => {
      expect(codes.map(Native.isRetryable)).toEqual(codes.map(() => isRetryable))
    }
  )

  it("of a server must allow at least one frame of one byte", () => {
    const welcome = { _tag: "Welcome", draw: "d", bets: 0, sha256: "a".repeat(64), finished: false }
    const decode = (window: number, maxFrame: number) =>
      Result.isSuccess(decodeReply(controlFrame({ ...welcome, window, maxFrame })))
    expect([decode(1, 1), decode(0, 1), decode(1, 0)]).toEqual([true, false, false])
  })
})

describe("a frame", () => {
  it.each([
    ["of another kind", [0, 0, 0, 2, 3, 0], "expected a frame of kind 1 or 2, got 3"],
    ["without a kind", [0, 0, 0, 0], "expected a frame of at least 1 byte, got 0"]
  ])("is refused %s", (_what, bytes, reason) => {
    expect(problemOf(Buffer.from(bytes))?.reason).toBe(reason)
  })

  it.effect("is refused from its length, before its body arrives", () =>
    Effect.gen(function* () {
      const tooLong = Buffer.from([0, 0x10, 0, 1])
      expect(yield* Effect.flip(Frames.readNativeRequest(readerOf([tooLong])))).toMatchObject({
        _tag: "FrameTooLarge",
        length: 1024 * 1024 + 1,
        limit: 1024 * 1024
      })
      const hello = Buffer.from([0, 0, 4, 1])
      expect(yield* Effect.flip(Frames.readHello(readerOf([hello])))).toMatchObject({
        _tag: "FrameTooLarge",
        limit: 1024
      })
      const ended = yield* Effect.flip(Frames.readHello(readerOf([Buffer.from([0, 0, 4, 0])])))
      expect(ended).toMatchObject({ _tag: "EndOfStream", pending: 4 })
    })
  )

  const LIMIT = 16 * 1024
  const header = (length: number, ...kind: ReadonlyArray<number>) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(length)
    return Buffer.concat([bytes, Buffer.from(kind)])
  }
  const refusalOf = (...pieces: ReadonlyArray<Buffer>) =>
    Effect.flip(Frames.readNativeRequest(readerOf([...pieces])))

  it.effect("is refused from its length and kind if a client's JSON is too long", () =>
    Effect.gen(function* () {
      for (const length of [LIMIT + 1, 1024 * 1024]) {
        const whole = yield* refusalOf(header(length, 1))
        expect(whole).toMatchObject({ _tag: "FrameTooLarge", length, limit: LIMIT })
        // The kind may arrive after the length.
        expect(yield* refusalOf(header(length), Buffer.from([1]))).toEqual(whole)
        expect(yield* refusalOf(header(length, 2))).toMatchObject({ _tag: "EndOfStream" })
      }
      expect(yield* refusalOf(header(LIMIT, 1))).toMatchObject({ _tag: "EndOfStream", pending: 5 })
      expect(yield* refusalOf(header(1024 * 1024 + 1, 1))).toMatchObject({ limit: 1024 * 1024 })
    })
  )

  it.effect("of a client may have JSON of the maximum length", () =>
    Effect.gen(function* () {
      const message = { _tag: "AwaitWinners", more: "" }
      const room = LIMIT - 1 - JSON.stringify(message).length
      const frame = controlFrame({ ...message, more: "x".repeat(room) })
      expect(frame.length).toBe(4 + LIMIT)
      const read = yield* Frames.readNativeRequest(readerOf([frame]))
      expect(read).toEqual(new Native.AwaitWinners())
    })
  )

  it.effect("of a server may have more JSON than a client's", () =>
    Effect.gen(function* () {
      const documents = Array.from({ length: 5000 }, (_, at) => `${at}`)
      const frame = controlFrame({ _tag: "Winners", number: 1, documents, more: false })
      expect(frame.length).toBeGreaterThan(LIMIT)
      const read = yield* Frames.readNativeReply(readerOf([frame]))
      expect(read).toMatchObject({ _tag: "Winners", documents })
    })
  )

  it.effect("without a kind is refused as soon as its length arrives", () =>
    Effect.gen(function* () {
      let sent = 0
      const open = make<never>(
        Effect.suspend(() => (sent++ === 0 ? Effect.succeed([header(0)]) : Effect.never))
      )
      const outcome = yield* Effect.flip(Frames.readNativeRequest(open))
      expect(outcome).toMatchObject({ _tag: "BadMessage" })
    })
  )
})
