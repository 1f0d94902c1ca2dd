/** Goal: every codec reads and writes the messages of docs/wire.md, "Test vectors". */
import { createHash } from "node:crypto"
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import { decoder } from "../../src/protocol/BytesCodec.ts"
import * as Binary from "../../src/protocol/binary/BinaryPackets.ts"
import { detect } from "../../src/protocol/Dialect.ts"
import * as Json from "../../src/protocol/json/JsonMessages.ts"
import * as Line from "../../src/protocol/line/TextLine.ts"
import {
  encodeNativeReply,
  encodeNativeRequest,
  NativeReplyFromBytes,
  NativeRequestFromBytes
} from "../../src/protocol/native/NativeFrames.ts"
import * as Native from "../../src/protocol/native/NativeMessages.ts"
import { NATIVE_PREFACE } from "../../src/protocol/native/Preface.ts"
import vectors from "./vectors.json" with { type: "json" }

const bytesOf = (dialect: string, by: string, means: string): Buffer => {
  const vector = vectors.find((v) => v.dialect === dialect && v.by === by && v.means === means)
  if (vector?.hex === undefined) throw new Error(`no vector ${dialect} ${by} ${means}`)
  return Buffer.from(vector.hex, "hex")
}

/** Checks that bytes mean a message, and that its own encoding, which is returned, means it too. */
const expectMeaning = <A>(
  bytes: Uint8Array,
  message: A,
  decode: (bytes: Uint8Array) => Result.Result<unknown, unknown>,
  encode: (message: A) => Result.Result<Uint8Array, unknown>
): Uint8Array => {
  expect(Result.getOrThrow(decode(bytes))).toEqual(message)
  const encoded = Result.getOrThrow(encode(message))
  expect(Result.getOrThrow(decode(encoded))).toEqual(message)
  return encoded
}

const bet = (firstName: string, lastName: string, document: string, birthdate: string, n: number) =>
  new Bet({ firstName, lastName, document, birthdate, number: n })
const ana = bet("Ana", "Pérez", "12345678", "1999-03-17", 7574)
const tiago = bet("Tiago Nicolás", "Rivera", "34407251", "2001-08-29", 1033)
const two = BetBatch.fromBets([ana, tiago])
const one = BetBatch.fromBets([ana])

describe("text line", () => {
  const bytes = bytesOf("line", "client", "PING")
  it("PING", () => {
    expect(Result.getOrThrow(decoder(Line.TextLineFromBytes)(bytes))).toBe("PING")
    expect(Result.getOrThrow(Line.encodeTextLine("PING"))).toEqual(new Uint8Array(bytes))
  })
})

describe("binary packets", () => {
  const { BinaryPacket } = Binary
  const packets = [
    ["agency 1, two bets, more packets follow", { agency: 1, batch: two, last: false }],
    [
      "agency 1, last packet, no bets; also the request for the winners",
      { agency: 1, batch: BetBatch.empty, last: true }
    ],
    ["agency 12, last packet, one bet", { agency: 12, batch: one, last: true }]
  ] as const
  for (const [means, fields] of packets) {
    it(means, () => {
      const bytes = bytesOf("binary", "client", means)
      const packet = new BinaryPacket(fields)
      expect(Result.getOrThrow(decoder(Binary.BinaryPacketFromBytes)(bytes))).toEqual(packet)
      expect(Buffer.from(Result.getOrThrow(Binary.encodeBinaryPacket(packet)))).toEqual(bytes)
      expect(detect(bytes, false)).toBe("binary")
    })
  }

  for (const [means, stored] of [
    ["stored", true],
    ["refused", false]
  ] as const) {
    it(means, () => {
      const bytes = bytesOf("binary", "server", means)
      expect(Result.getOrThrow(decoder(Binary.BinaryAnswerFromBytes)(bytes))).toBe(stored)
      expect(Buffer.from(Result.getOrThrow(Binary.encodeBinaryAnswer(stored)))).toEqual(bytes)
    })
  }

  for (const [means, documents] of [
    ["winners 30876370 and 24807259", ["30876370", "24807259"]],
    ["no winners", []]
  ] as const) {
    it(means, () => {
      const bytes = bytesOf("binary", "server", means)
      expect(Result.getOrThrow(decoder(Binary.BinaryWinnersFromBytes)(bytes))).toEqual(documents)
      expect(Buffer.from(Result.getOrThrow(Binary.encodeBinaryWinners(documents)))).toEqual(bytes)
    })
  }
})

describe("JSON messages", () => {
  const requests = [
    ["agency 3, a chunk of two bets", new Json.Chunk({ agency: 3, batch: two, last: false })],
    [
      "agency 3, last chunk, empty",
      new Json.Chunk({ agency: 3, batch: BetBatch.empty, last: true })
    ],
    ["agency 3 asks for its winners", new Json.ConsultWinners({ agency: 3 })]
  ] as const
  const decodeRequest = decoder(Json.JsonRequestFromBytes)
  for (const [means, request] of requests) {
    it(means, () => {
      const bytes = bytesOf("json", "client", means)
      const encoded = expectMeaning(bytes, request, decodeRequest, Json.encodeJsonRequest)
      expect(encoded.subarray(4).every((byte) => byte < 0x80)).toBe(true)
      expect(detect(bytes, false)).toBe("json")
      expect(detect(encoded, false)).toBe("json")
    })
  }

  const replies = [
    ["chunk processed", new Json.ChunkProcessed()],
    [
      "winners 22737492, 23328212, 28188111",
      new Json.InformWinners({ documents: ["22737492", "23328212", "28188111"] })
    ],
    ["no winners", new Json.InformWinners({ documents: [] })]
  ] as const
  const decodeReply = decoder(Json.JsonReplyFromBytes)
  for (const [means, reply] of replies) {
    it(means, () => {
      expectMeaning(bytesOf("json", "server", means), reply, decodeReply, Json.encodeJsonReply)
    })
  }
})

describe("native", () => {
  const preface = bytesOf("native", "client", "preface")
  it("preface", () => {
    expect(Buffer.from(NATIVE_PREFACE)).toEqual(preface)
    expect(detect(preface, false)).toBe("native")
  })

  it("two bets at position 15000", () => {
    const bytes = bytesOf("native", "client", "two bets at position 15000")
    const bets = new Native.Bets({ position: 15_000, batch: two })
    expect(Result.getOrThrow(decoder(NativeRequestFromBytes)(new Uint8Array(bytes)))).toEqual(bets)
    expect(Buffer.from(Result.getOrThrow(encodeNativeRequest(bets)))).toEqual(bytes)
  })

  const sha256 = vectors.find((vector) => vector.dialect === "native" && vector.by === "both")!
    .sha256!
  const requests = [
    ["Hello of agency 3 for the draw default", new Native.Hello({ draw: "default", agency: 3 })],
    [
      "Hello of agency 3 for the draw default, with a book of 27000 bets",
      new Native.Hello({ draw: "default", agency: 3, book: { bets: 27_000 } })
    ],
    ["Finish with those two bets", new Native.Finish({ bets: 2, sha256 })]
  ] as const
  const decodeRequest = decoder(NativeRequestFromBytes)
  for (const [means, request] of requests) {
    it(means, () => {
      expectMeaning(bytesOf("native", "client", means), request, decodeRequest, encodeNativeRequest)
    })
  }

  const replies = [
    ["the first two bets are acknowledged", new Native.Ack({ bets: 2 })],
    [
      "winner 12345678, number 7574",
      new Native.Winners({ number: 7574, documents: ["12345678"], more: false })
    ]
  ] as const
  const decodeReply = decoder(NativeReplyFromBytes)
  for (const [means, reply] of replies) {
    it(means, () => {
      expectMeaning(bytesOf("native", "server", means), reply, decodeReply, encodeNativeReply)
    })
  }

  it("SHA-256 of the book of those two bets", () => {
    expect(createHash("sha256").update(two.bytes).digest("hex")).toBe(sha256)
  })
})
