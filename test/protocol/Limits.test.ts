/** Goal: messages of the maximum length are encoded and accepted; longer ones are refused. */
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { describe, expect } from "vitest"
import { BetBatch } from "../../src/domain/BetBatch.ts"
import type { ByteReader } from "../../src/protocol/ByteReader.ts"
import { decoder, reading } from "../../src/protocol/BytesCodec.ts"
import * as Binary from "../../src/protocol/binary/BinaryPackets.ts"
import { detect } from "../../src/protocol/Dialect.ts"
import * as Json from "../../src/protocol/json/JsonMessages.ts"
import * as Line from "../../src/protocol/line/TextLine.ts"
import * as Frames from "../../src/protocol/native/NativeFrames.ts"
import * as Native from "../../src/protocol/native/NativeMessages.ts"
import { readerOf } from "../support/peers/streams.ts"

const MIB = 1024 * 1024

/** A length as four bytes. */
const lengthOf = (bytes: number): Buffer => {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(bytes)
  return header
}

/** A batch of this many bytes, whose rows no codec checks. */
const batchOf = (bytes: number) => new BetBatch(new Uint8Array(bytes), 1)

/** Valid bets of exactly this many bytes; the first name fills the rest. */
const rowsOf = (bytes: number) => {
  const row = "A,P,1,1999-03-17,1\n"
  const count = Math.floor(bytes / row.length)
  const filled = `${"A".repeat(bytes - count * row.length)}${row.repeat(count)}`
  return new BetBatch(Buffer.from(filled), count)
}

/** Messages of a given length, with the maximum length of each. */
const encoded: ReadonlyArray<
  readonly [what: string, most: number, encode: (bytes: number) => Result.Result<Uint8Array, Error>]
> = [
  ["a line with its line ending", 1024, (bytes) => Line.encodeTextLine("x".repeat(bytes - 1))],
  [
    "a packet after its size",
    65_535,
    (bytes) => {
      const batch = rowsOf(bytes - "1;".length - 2 + 1)
      return Binary.encodeBinaryPacket(new Binary.BinaryPacket({ agency: 1, batch, last: true }))
    }
  ],
  [
    "JSON after its length",
    8 * MIB,
    (bytes) => {
      const around = '{"type_message":3,"payload":""}'.length
      return Json.encodeJsonReply(new Json.ChunkRejected({ reason: "x".repeat(bytes - around) }))
    }
  ],
  [
    "a native frame of bets after its length",
    MIB,
    (bytes) =>
      Frames.encodeNativeRequest(new Native.Bets({ position: 0, batch: batchOf(bytes - 9) }))
  ],
  [
    "a native control frame after its length",
    MIB,
    (bytes) => {
      const around = '{"_tag":"Rejected","code":"","message":""}'.length
      const message = "x".repeat(bytes - 1 - around)
      return Frames.encodeNativeReply(new Native.Rejected({ code: "", message }))
    }
  ]
]

describe("encoding", () => {
  it.each(encoded)("%s has at most %i bytes", (_what, most, encode) => {
    const longest = Result.getOrThrow(encode(most))
    expect([0, 2, 4]).toContain(longest.length - most)
    expect(Result.isFailure(encode(most + 1))).toBe(true)
  })

  it("a frame of bets may have the position 2^32 - 1 and no higher one", () => {
    const encode = (position: number) =>
      Frames.encodeNativeRequest(new Native.Bets({ position, batch: batchOf(20) }))
    expect(Result.isSuccess(encode(2 ** 32 - 1))).toBe(true)
    expect(Result.isFailure(encode(2 ** 32))).toBe(true)
  })

  it("the largest batch fills a message", () => {
    expect(Binary.maxBatchBytes(1, 65_537)).toBe(65_532)
    expect(Binary.maxBatchBytes(1, 1_000_000)).toBe(65_532)
    expect(Frames.maxRowBytes(MIB)).toBe(MIB - 9)
  })
})

const readers: ReadonlyArray<
  readonly [
    what: string,
    most: number,
    read: (reader: ByteReader<never>) => Effect.Effect<unknown, { readonly _tag: string }>
  ]
> = [
  ["JSON", 8 * MIB, reading(Json.takeJsonMessage, Json.decodeJsonRequest)],
  ["a native frame of bets", MIB, Frames.readNativeRequest],
  ["a Hello", 1024, Frames.readHello],
  ["a native frame of a server", MIB, Frames.readNativeReply]
]

describe("reading", () => {
  it.effect.each(readers)("%s has at most %i bytes after its length", ([, most, read]) =>
    Effect.gen(function* () {
      const outcome = (bytes: number) =>
        Effect.flip(read(readerOf([Buffer.concat([lengthOf(bytes), Buffer.from([2])])])))
      // The reader accepts the length and waits for the rest, which never arrives.
      expect((yield* outcome(most))._tag).toBe("EndOfStream")
      expect((yield* outcome(most + 1))._tag).not.toBe("EndOfStream")
    })
  )

  it.effect("a packet has at least 3 bytes after its size: an agency of one digit", () =>
    Effect.gen(function* () {
      const read = (...bytes: ReadonlyArray<number>) =>
        Binary.readBinaryPacket(readerOf([Uint8Array.from(bytes)]))
      expect(yield* read(0, 3, 0x31, 0, 1)).toMatchObject({ agency: 1, last: false })
      expect((yield* Effect.flip(read(0, 2, 0, 1)))._tag).toBe("BadMessage")
    })
  )

  it("a line has at most 1024 bytes", () => {
    const decode = decoder(Line.TextLineFromBytes)
    expect(Result.isSuccess(decode(Buffer.from(`${"x".repeat(1023)}\n`)))).toBe(true)
    expect(Result.isFailure(decode(Buffer.from(`${"x".repeat(1024)}\n`)))).toBe(true)
    expect(detect(Buffer.from(`${"x".repeat(1023)}\n`), false)).toBe("line")
    expect(detect(Buffer.from(`${"x".repeat(1024)}\n`), false)).toBe("unknown")
  })

  it("JSON is detected by a length of at most 8 MiB", () => {
    const first = (bytes: number) =>
      detect(Buffer.concat([lengthOf(bytes), Buffer.from('{"')]), false)
    expect(first(8 * MIB)).toBe("json")
    expect(first(8 * MIB + 1)).toBe("unknown")
  })

  it("JSON that may arrive together with others has at most 256 KiB", () => {
    const end = (bytes: number) =>
      Json.jsonMessageEnd(Buffer.concat([lengthOf(bytes), Buffer.alloc(bytes)]))
    expect([end(256 * 1024), end(256 * 1024 + 1)]).toEqual([4 + 256 * 1024, undefined])
  })
})
