/** Goal: each rule of the binary and JSON dialects, and above all the reasons of their refusals. */
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { decoder } from "../../src/protocol/BytesCodec.ts"
import * as Binary from "../../src/protocol/binary/BinaryPackets.ts"
import * as Json from "../../src/protocol/json/JsonMessages.ts"
import { readerOf } from "../support/peers/streams.ts"

const packet = (content: string | Uint8Array, more = 0): Buffer => {
  const bytes = Buffer.from(content)
  const size = Buffer.alloc(2)
  size.writeUInt16BE(bytes.length + 2)
  return Buffer.concat([size, bytes, Buffer.from([0, more])])
}
const json = (value: unknown): Buffer => {
  const text = Buffer.from(typeof value === "string" ? value : JSON.stringify(value))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}
const decodePacket = decoder(Binary.BinaryPacketFromBytes)
const decodeRequest = decoder(Json.JsonRequestFromBytes)
const decodeReply = decoder(Json.JsonReplyFromBytes)
const GOOD = "Ana;Perez;12345678;1999-03-17;7574"

const withName = (firstName: string) =>
  BetBatch.fromBets([
    new Bet({ firstName, lastName: "P", document: "1", birthdate: "1999-03-17", number: 1 })
  ])

describe("a binary packet", () => {
  const problemOf = (content: string | Uint8Array) => {
    const decoded = decodePacket(packet(content))
    return Result.isFailure(decoded) ? decoded.failure : undefined
  }

  it("may have a separator after the last bet, and leading zeros in a number", () => {
    const decoded = Result.getOrThrow(decodePacket(packet("7;Ana;Perez;1;1999-03-17;0007;", 1)))
    expect([...decoded.batch].map(({ number }) => number)).toEqual([7])
    expect(decoded.last).toBe(false)
    expect(decoded.agency).toBe(7)
  })

  it.effect("is as long as its size says", () =>
    Effect.gen(function* () {
      const whole = packet(`1;${GOOD}`)
      const longer = readerOf([Buffer.concat([whole, Buffer.from([7])])])
      expect(yield* Binary.readBinaryPacket(longer)).toMatchObject({ batch: { count: 1 } })
      expect(longer.buffered()).toEqual(Buffer.from([7]))
      const shorter = readerOf([whole.subarray(0, -1)])
      expect((yield* Effect.flip(Binary.readBinaryPacket(shorter)))._tag).toBe("EndOfStream")
    })
  )

  it("may have only an agency", () => {
    expect(Result.getOrThrow(decodePacket(packet("7"))).batch.count).toBe(0)
  })

  it.each([
    ["31 February", `1;${GOOD};Ana;P;1;1999-02-31;1`, 1, "birthdate"],
    ["a letter in the document", "1;Ana;P;1a;1999-02-28;1", 0, "document"],
    ["number 10000", "1;Ana;P;1;1999-02-28;10000", 0, "number"],
    ["an empty name", "1;;P;1;1999-02-28;1", 0, "first name"],
    ["a missing field", `1;${GOOD};Ana;P;1;1999-02-28`, 1, "expected 5 fields, got 4"],
    ["a negative number", "1;Ana;P;1;1999-02-28;-1", 0, "number"]
  ])("is refused with the bet and the reason: %s", (_what, content, index, reason) => {
    const problem = problemOf(content)
    expect(problem?.index).toBe(index)
    expect(problem?.agency).toBe(1)
    expect(problem?.reason).toContain(reason)
  })

  it("is refused if it is not UTF-8", () => {
    const content = Buffer.concat([Buffer.from("1;A"), Buffer.from([0xff]), Buffer.from(`${GOOD}`)])
    expect(problemOf(content)?.message).toBe("bet 1: first name: expected valid UTF-8")
  })

  it("must end in 0 or 1, which a similar framing without this field does not", () => {
    const content = Buffer.from(`1;${GOOD}`)
    const neighbour = Buffer.concat([Buffer.from([0, content.length]), content])
    const second = Buffer.from(packet(content))
    second.writeUInt16BE(2, second.length - 2)
    for (const [bytes, more] of [
      [neighbour, 0x3734],
      [second, 2]
    ] as const) {
      const decoded = decodePacket(bytes)
      expect(Result.isFailure(decoded) && decoded.failure).toMatchObject({
        reason: `expected 0 or 1 in the last two bytes of a packet (continue), got ${more}`,
        agency: 1,
        count: 1
      })
    }
  })

  it.each(["", ";Ana", "x;", "0;", "2147483648;", "12345678901;"])(
    "is refused without an agency: %j",
    (content) => {
      expect(problemOf(content)).toBeDefined()
    }
  )

  it("is refused with the number of bets that it seems to have", () => {
    const content = `1;${GOOD};${GOOD};Ana;P;1;1999-02-31;1`
    expect(problemOf(content)?.count).toBe(3)
    expect(problemOf(`${content};`)?.count).toBe(3)
    expect(problemOf(`1;${GOOD};Ana;P`)?.count).toBe(2)
  })

  it("cannot contain a name with its separator, or more bytes than fit in its size", () => {
    const encode = (batch: BetBatch) =>
      Binary.encodeBinaryPacket(new Binary.BinaryPacket({ agency: 1, batch, last: true }))
    expect(Result.isFailure(encode(withName("a;b")))).toBe(true)
    expect(Result.isSuccess(encode(withName('a,"b"')))).toBe(true)
    const row = withName("a".repeat(100))
    const rows = Buffer.concat(Array.from({ length: 600 }, () => row.bytes))
    expect(Result.isFailure(encode(new BetBatch(rows, 600)))).toBe(true)
  })

  it("fits if its rows are no longer than maxBatchBytes, for any size", () => {
    for (const bytes of [256, 300, 8192, 65_537]) {
      const most = Binary.maxBatchBytes(123, bytes)
      const rows = Buffer.alloc(most, "Ana,P,1,1999-03-17,1\n")
      const row = "Ana,P,1,1999-03-17,1\n".length
      const count = Math.floor(most / row)
      const batch = new BetBatch(rows.subarray(0, count * row), count)
      const encoded = Binary.encodeBinaryPacket(
        new Binary.BinaryPacket({ agency: 123, batch, last: true })
      )
      expect(Result.getOrThrow(encoded).length).toBeLessThanOrEqual(bytes)
      expect(Result.getOrThrow(encoded).length).toBeGreaterThan(bytes - row - 1)
    }
  })
})

describe("the binary request for winners and the binary answer", () => {
  it.effect("are an agency's number without bets, and 0 or 1", () =>
    Effect.gen(function* () {
      const ask = (content: string) => Binary.readBinaryQuestion(readerOf([packet(content, 7)]))
      expect(yield* ask("12;")).toBe(12)
      for (const content of ["12;A", "12;;", `12;${GOOD}`]) {
        expect((yield* Effect.flip(ask(content))).message).toContain("got bets")
      }
      const answer = decoder(Binary.BinaryAnswerFromBytes)
      for (const hex of ["0002", "0100", "0101", "01", "000001"]) {
        expect(Result.isFailure(answer(Buffer.from(hex, "hex"))), hex).toBe(true)
      }
    })
  )
})

describe("the binary winners", () => {
  const decodeWinners = decoder(Binary.BinaryWinnersFromBytes)
  const encode = (last: string) =>
    Binary.encodeBinaryWinners([...Array<string>(5957).fill("1234567890"), last])

  it("have at most as many bytes as fit in their size", () => {
    const bytes = Result.getOrThrow(encode("12345678"))
    expect([bytes.length, bytes[0], bytes[1]]).toEqual([2 + 65_535, 0xff, 0xff])
    expect(Result.getOrThrow(decodeWinners(bytes))).toHaveLength(5958)
    const tooMany = encode("123456789")
    expect(Result.isFailure(tooMany) && tooMany.failure.reason).toBe(
      "5958 winners do not fit in a binary answer; use the JSON dialect"
    )
  })

  it.effect("are as long as their size says", () =>
    Effect.gen(function* () {
      const read = (hex: string) => Binary.readBinaryWinners(readerOf([Buffer.from(hex, "hex")]))
      expect(yield* read("00013132")).toEqual(["1"])
      expect(yield* Effect.flip(read("000331"))).toMatchObject({ _tag: "EndOfStream" })
    })
  )
})

describe("a JSON message", () => {
  const GOOD_ROW = "Ana,Perez,12345678,1999-03-17,7574"
  const chunk = (payload: unknown, agency: unknown = "3") =>
    decodeRequest(json({ type_message: 1, agency, payload }))
  const problemOf = (payload: unknown) => {
    const decoded = chunk(payload)
    return Result.isFailure(decoded) ? decoded.failure : undefined
  }

  it("may have its agency as text or a number, and its type as a number or a name", () => {
    for (const agency of ["3", 3]) {
      for (const type_message of [3, "CONSULT_AGENCY_WINNERS"]) {
        const decoded = decodeRequest(json({ type_message, agency }))
        expect(Result.getOrThrow(decoded)).toEqual(new Json.ConsultWinners({ agency: 3 }))
      }
    }
  })

  it("keeps quotes, because the dialect has no quoting", () => {
    const decoded = Result.getOrThrow(chunk(['"Ana",P,1,1999-03-17,1']))
    const names = decoded._tag === "Chunk" ? [...decoded.batch].map((bet) => bet.firstName) : []
    expect(names).toEqual(['"Ana"'])
  })

  it.each([
    ["31 February", [GOOD_ROW, "Ana,P,1,1999-02-31,1"], 1, "birthdate"],
    ["six fields", ["Ana,P,1,1999-02-28,1,2"], 0, "number"],
    ["four fields", [GOOD_ROW, "Ana,P,1,1999-02-28"], 1, "expected 5 fields, got 4"],
    ["an empty string", [GOOD_ROW, ""], 1, "expected first,last"],
    ["two bets in a string", [`${GOOD_ROW}\n${GOOD_ROW}`], 0, "expected first,last"],
    ["a lone surrogate", ["A\ud800,P,1,1999-02-28,1"], 0, "expected first,last"]
  ])("is refused with the bet and the reason: %s", (_what, payload, index, reason) => {
    const problem = problemOf(payload)
    expect(problem?.index).toBe(index)
    expect(problem?.count).toBe(payload.length)
    expect(problem?.agency).toBe(3)
    expect(problem?.reason).toContain(reason)
  })

  it.each([
    "",
    "[]",
    "null",
    "{",
    "{}",
    '{"type_message":4,"agency":"1","payload":[]}',
    '{"type_message":1,"agency":"x","payload":[]}',
    '{"type_message":1,"agency":1,"payload":"x"}',
    '{"type_message":1,"agency":1,"payload":[1]}',
    `{"type_message":1,"agency":1,"payload":["${GOOD_ROW},]}`,
    `{"type_message":1,"agency":1,"payload":["${GOOD_ROW}x"]}`,
    `{"type_message":4,"agency":1,"payload":["${GOOD_ROW}"]}`,
    '{"type_message":1,"agency":1}',
    '{"type_message":1,"agency":1.5,"payload":[]}',
    '{"type_message":1,"agency":"1.0","payload":[]}',
    '{"type_message":1,"agency":"+1","payload":[]}',
    '{"type_message":1,"agency":" 1","payload":[]}',
    '{"type_message":1,"agency":"1\\n","payload":[]}',
    '{"type_message":1,"agency":[1],"payload":[]}',
    '{"type_message":true,"agency":1,"payload":[]}',
    '{"type_message":"1","agency":1,"payload":[]}',
    '{"type_message":"SEND_CHUNK ","agency":1,"payload":[]}',
    '{"type_message":1.5,"agency":1,"payload":[]}',
    '{"type_message":[1],"agency":1,"payload":[]}',
    '{"type_message":3,"agency":1,"payload":[]}',
    `{"type_message":3,"agency":1,"payload":["${GOOD_ROW}"]}`,
    `{"type_message":3,"agency":1,"x":"["${GOOD_ROW}"]"}`
  ])("is refused if it is invalid: %s", (text) => {
    expect(Result.isFailure(decodeRequest(json(text)))).toBe(true)
  })

  it.effect("is refused from its length, unread", () =>
    Effect.gen(function* () {
      const header = Buffer.alloc(4)
      header.writeUInt32BE(8 * 1024 * 1024 + 1)
      const refused = yield* Effect.flip(Json.takeJsonMessage(readerOf([header])))
      expect(refused.message).toContain("at most 8388608 bytes")
    })
  )

  it("of a server is always ASCII", () => {
    const reply = new Json.ChunkRejected({ reason: "ñ\u007f€\u{1f340}" })
    const encoded = Result.getOrThrow(Json.encodeJsonReply(reply))
    expect(encoded.subarray(4).every((byte) => byte >= 0x20 && byte < 0x7f)).toBe(true)
    expect(Result.getOrThrow(decodeReply(encoded))).toEqual(reply)
  })

  it("may have winners joined by commas or as a list", () => {
    for (const payload of ["1,2", ["1", "2"]]) {
      expect(Result.getOrThrow(decodeReply(json({ type_message: 2, payload })))).toEqual(
        new Json.InformWinners({ documents: ["1", "2"] })
      )
    }
  })

  it("fits if its rows are no longer than MAX_BATCH_BYTES, in the worst case", () => {
    const row = withName("ñ".repeat(50))
    const count = Math.floor(Json.MAX_BATCH_BYTES / row.bytes.length)
    const batch = new BetBatch(Buffer.concat(Array.from({ length: count }, () => row.bytes)), count)
    const encoded = Json.encodeJsonRequest(new Json.Chunk({ agency: 1, batch, last: true }))
    expect(Result.isSuccess(encoded)).toBe(true)
  })
})
