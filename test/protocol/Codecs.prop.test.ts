/**
 * Goal: every codec decodes what it encoded, however the stream is cut. Any other bytes give a
 * message or a typed error, never an exception or a hang.
 * Method: random messages from the dialects' Schemas; random, truncated and corrupted bytes.
 */
import { it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { describe, expect } from "vitest"
import { Document } from "../../src/domain/Bet.ts"
import { type ByteReader, EndOfStream } from "../../src/protocol/ByteReader.ts"
import { BadMessage, decoder, encoder, reading } from "../../src/protocol/BytesCodec.ts"
import * as Binary from "../../src/protocol/binary/BinaryPackets.ts"
import * as Json from "../../src/protocol/json/JsonMessages.ts"
import * as Line from "../../src/protocol/line/TextLine.ts"
import * as NativeFrames from "../../src/protocol/native/NativeFrames.ts"
import * as Native from "../../src/protocol/native/NativeMessages.ts"
import { cut, readerOf } from "../support/peers/streams.ts"

const runs = process.env.LOTTERY_TEST_LONG ? 20_000 : 500

/** A kind of message with its type erased. */
interface Kind {
  readonly name: string
  readonly schema: Schema.Codec<unknown, unknown>
  readonly codec: Schema.Codec<unknown, Uint8Array>
  readonly read: (reader: ByteReader<never>) => Effect.Effect<unknown, ReadError>
}

type ReadError = BadMessage | EndOfStream | NativeFrames.FrameTooLarge

const kind = <T, E>(
  name: string,
  schema: Schema.Codec<T, E>,
  codec: Schema.Codec<T, Uint8Array>,
  read: (reader: ByteReader<never>) => Effect.Effect<T, ReadError>
) => ({ name, schema, codec, read }) as unknown as Kind

const readJsonRequest = reading(Json.takeJsonMessage, Json.decodeJsonRequest)

const kinds: ReadonlyArray<Kind> = [
  kind("text line", Line.LineText, Line.TextLineFromBytes, Line.readTextLine),
  kind("binary packet", Binary.BinaryPacket, Binary.BinaryPacketFromBytes, Binary.readBinaryPacket),
  kind("binary answer", Schema.Boolean, Binary.BinaryAnswerFromBytes, Binary.readBinaryAnswer),
  kind(
    "binary winners",
    Schema.Array(Document),
    Binary.BinaryWinnersFromBytes,
    Binary.readBinaryWinners
  ),
  kind("JSON request", Json.JsonRequest, Json.JsonRequestFromBytes, readJsonRequest),
  kind("JSON reply", Json.JsonReply, Json.JsonReplyFromBytes, Json.readJsonReply),
  kind(
    "native request",
    Native.NativeRequest,
    NativeFrames.NativeRequestFromBytes,
    NativeFrames.readNativeRequest
  ),
  kind(
    "native reply",
    Native.NativeReply,
    NativeFrames.NativeReplyFromBytes,
    NativeFrames.readNativeReply
  )
]

const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))
const Bytes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
const Offset = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))

/** Reads messages until the stream ends or one is invalid. */
const readAll = Effect.fnUntraced(function* (read: Kind["read"], reader: ByteReader<never>) {
  const messages: Array<unknown> = []
  for (;;) {
    const result = yield* Effect.result(read(reader))
    if (Result.isFailure(result)) return { messages, end: result.failure }
    messages.push(result.success)
  }
})

const expectTyped = (end: unknown) =>
  expect(
    [BadMessage, EndOfStream, NativeFrames.FrameTooLarge].some((kind) => end instanceof kind),
    String(end)
  ).toBe(true)

for (const { codec, name, read, schema } of kinds) {
  const encode = encoder(codec)
  const decode = decoder(codec)
  /** Returns undefined if the dialect cannot represent the message. */
  const bytesOf = (message: unknown) => Result.getOrUndefined(encode(message))

  describe(name, () => {
    it.effect.prop(
      "decodes to what was encoded",
      [schema],
      ([message]) =>
        Effect.sync(() => {
          const encoded = encode(message)
          if (Result.isFailure(encoded)) return expect(encoded.failure).toBeInstanceOf(BadMessage)
          expect(Result.getOrThrow(decode(encoded.success))).toEqual(message)
        }),
      { arbitrary: { runs } }
    )

    it.effect.prop(
      "is read the same however the stream is cut",
      [Schema.Array(schema), Cuts],
      ([messages, lengths]) =>
        Effect.gen(function* () {
          const encodable = messages.filter((message) => bytesOf(message) !== undefined)
          const stream = new Uint8Array(Buffer.concat(encodable.map((one) => bytesOf(one)!)))
          const outcome = yield* readAll(read, readerOf(cut(stream, lengths)))
          expect(outcome.messages).toEqual(encodable)
          expect(outcome.end).toEqual(new EndOfStream({ pending: 0 }))
        }),
      { arbitrary: { runs } }
    )

    it.effect.prop(
      "gives a typed error if it is truncated",
      [schema, Offset, Cuts],
      ([message, offset, lengths]) =>
        Effect.gen(function* () {
          const bytes = bytesOf(message)
          if (bytes === undefined) return
          const truncated = bytes.subarray(0, offset % bytes.length)
          const { end } = yield* readAll(read, readerOf(cut(truncated, lengths)))
          expectTyped(end)
          const decoded = decode(truncated)
          if (Result.isFailure(decoded)) expectTyped(decoded.failure)
        }),
      { arbitrary: { runs } }
    )

    it.effect.prop(
      "gives a message or a typed error for a corrupted byte",
      [schema, Offset, Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 255 })), Cuts],
      ([message, offset, flip, lengths]) =>
        Effect.gen(function* () {
          const bytes = bytesOf(message)?.slice()
          if (bytes === undefined) return
          bytes[offset % bytes.length]! ^= flip
          expectTyped((yield* readAll(read, readerOf(cut(bytes, lengths)))).end)
        }),
      { arbitrary: { runs } }
    )

    it.effect.prop(
      "gives a message or a typed error for random bytes",
      [Bytes, Cuts],
      ([bytes, lengths]) =>
        Effect.gen(function* () {
          const stream = Uint8Array.from(bytes)
          expectTyped((yield* readAll(read, readerOf(cut(stream, lengths)))).end)
        }),
      { arbitrary: { runs } }
    )
  })
}

const Continue = Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 0xffff }))

describe("binary packet", () => {
  const decode = decoder(Binary.BinaryPacketFromBytes)

  it.effect.prop(
    "is refused unless it ends in 0 or 1",
    [Binary.BinaryPacket, Continue],
    ([packet, more]) =>
      Effect.sync(() => {
        const encoded = Binary.encodeBinaryPacket(packet)
        if (Result.isFailure(encoded)) return
        const bytes = Buffer.from(encoded.success)
        bytes.writeUInt16BE(more, bytes.length - 2)
        const decoded = decode(bytes)
        expect(Result.isFailure(decoded) && decoded.failure.agency).toBe(packet.agency)
      }),
    { arbitrary: { runs } }
  )
})

const AckText = Schema.Literals([
  '{"_tag":"Ack","bets":N}',
  '{"_tag":"Ack","bets":-N}',
  '{"_tag":"Ack","bets":0N}',
  '{"_tag":"Ack","bets":N.5}',
  '{"_tag":"Ack","bets":N}}',
  ' {"_tag":"Ack","bets":N}',
  '{"_tag":"Ack","bets":"N"}',
  '{"_tag":"Ack","bets":N,"more":1}',
  '{"_tag":"Acks","bets":N}'
])
const AckBets = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

it.effect.prop(
  "an acknowledgement without a Schema is decoded as with one",
  [
    AckText,
    Schema.Union([AckBets, Schema.Literals([0, 999_999_999_999_999, 10 ** 16])]),
    Schema.Int
  ],
  ([text, bets, kindByte]) =>
    Effect.sync(() => {
      const body = Buffer.from(text.replace("N", `${bets}`))
      for (const kindOfFrame of [1, kindByte & 0xff]) {
        const frame = Buffer.concat([Uint8Array.of(0, 0, 0, body.length + 1, kindOfFrame), body])
        expect(NativeFrames.decodeNativeReply(frame)).toEqual(
          decoder(NativeFrames.NativeReplyFromBytes)(frame)
        )
      }
    })
)
