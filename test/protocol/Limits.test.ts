/** Goal: what is as long as the wire allows is said and taken, and nothing that is one more. */
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

/** The four bytes that say a length. */
const lengthOf = (bytes: number): Buffer => {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(bytes)
  return header
}

/** One bet in so many bytes, which no codec looks at any more. */
const batchOf = (bytes: number) => new BetBatch(new Uint8Array(bytes), 1)

/** Bets in so many bytes, the first of them with a name that fills these. */
const rowsOf = (bytes: number) => {
  const row = "A,P,1,1999-03-17,1\n"
  const count = Math.floor(bytes / row.length)
  const filled = `${"A".repeat(bytes - count * row.length)}${row.repeat(count)}`
  return new BetBatch(Buffer.from(filled), count)
}

/** What is encoded of so many bytes, one of which is the last that fits. */
const encoded: ReadonlyArray<
  readonly [what: string, most: number, encode: (bytes: number) => Result.Result<Uint8Array, Error>]
> = [
  ["a line, its end included", 1024, (bytes) => Line.encodeTextLine("x".repeat(bytes - 1))],
  [
    "a packet behind its size",
    65_535,
    (bytes) => {
      const batch = rowsOf(bytes - "1;".length - 2 + 1)
      return Binary.encodeBinaryPacket(new Binary.BinaryPacket({ agency: 1, batch, last: true }))
    }
  ],
  [
    "JSON behind its length",
    8 * MIB,
    (bytes) => {
      const around = '{"type_message":3,"payload":""}'.length
      return Json.encodeJsonReply(new Json.ChunkRejected({ reason: "x".repeat(bytes - around) }))
    }
  ],
  [
    "a native frame of bets behind its length",
    MIB,
    (bytes) =>
      Frames.encodeNativeRequest(new Native.Bets({ position: 0, batch: batchOf(bytes - 9) }))
  ],
  [
    "a native control frame behind its length",
    MIB,
    (bytes) => {
      const around = '{"_tag":"Rejected","code":"","message":""}'.length
      const message = "x".repeat(bytes - 1 - around)
      return Frames.encodeNativeReply(new Native.Rejected({ code: "", message }))
    }
  ]
]

describe("what is said", () => {
  it.each(encoded)("%s has %i bytes at most", (_what, most, encode) => {
    const longest = Result.getOrThrow(encode(most))
    expect([0, 2, 4]).toContain(longest.length - most)
    expect(Result.isFailure(encode(most + 1))).toBe(true)
  })

  it("at the last position that a frame can say", () => {
    const encode = (position: number) =>
      Frames.encodeNativeRequest(new Native.Bets({ position, batch: batchOf(20) }))
    expect(Result.isSuccess(encode(2 ** 32 - 1))).toBe(true)
    expect(Result.isFailure(encode(2 ** 32))).toBe(true)
  })

  it("in a batch that fills a message", () => {
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

describe("what is taken", () => {
  it.effect.each(readers)("%s has %i bytes behind its length at most", ([, most, read]) =>
    Effect.gen(function* () {
      const outcome = (bytes: number) =>
        Effect.flip(read(readerOf([Buffer.concat([lengthOf(bytes), Buffer.from([2])])])))
      // It is waited for, and does not come.
      expect((yield* outcome(most))._tag).toBe("EndOfStream")
      expect((yield* outcome(most + 1))._tag).not.toBe("EndOfStream")
    })
  )

  it.effect("a packet has 3 bytes behind its size at least: an agency of one digit", () =>
    Effect.gen(function* () {
      const read = (...bytes: ReadonlyArray<number>) =>
        Binary.readBinaryPacket(readerOf([Uint8Array.from(bytes)]))
      expect(yield* read(0, 3, 0x31, 0, 1)).toMatchObject({ agency: 1, last: false })
      expect((yield* Effect.flip(read(0, 2, 0, 1)))._tag).toBe("BadMessage")
    })
  )

  it("a line has 1024 bytes at most", () => {
    const decode = decoder(Line.TextLineFromBytes)
    expect(Result.isSuccess(decode(Buffer.from(`${"x".repeat(1023)}\n`)))).toBe(true)
    expect(Result.isFailure(decode(Buffer.from(`${"x".repeat(1024)}\n`)))).toBe(true)
    expect(detect(Buffer.from(`${"x".repeat(1023)}\n`), false)).toBe("line")
    expect(detect(Buffer.from(`${"x".repeat(1024)}\n`), false)).toBe("unknown")
  })

  it("JSON is told by a length of 8 MiB at most", () => {
    const first = (bytes: number) =>
      detect(Buffer.concat([lengthOf(bytes), Buffer.from('{"')]), false)
    expect(first(8 * MIB)).toBe("json")
    expect(first(8 * MIB + 1)).toBe("unknown")
  })

  it("together with others JSON has 256 KiB at most", () => {
    const begins = (bytes: number) =>
      Json.beginsWithJsonMessage(Buffer.concat([lengthOf(bytes), Buffer.alloc(bytes)]))
    expect([begins(256 * 1024), begins(256 * 1024 + 1)]).toEqual([true, false])
  })
})
