/**
 * The frames of dialect 4, native (wire: "Native"). Every function is pure: bytes in, data out.
 *
 *     client  = FF 4C 54 52 59 0D 0A 01  *frame           server = *frame
 *     frame   = length:u32 kind:u8 body                   length counts kind and body
 *     control = kind 1, a JSON object with `_tag`
 *     bets    = kind 2, position:u32 count:u32, then `count` canonical rows; from a client only
 */
import { Data, Effect, Result, Schema } from "effect"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { batchFromRows } from "../../domain/CanonicalRows.ts"
import type { ByteReader } from "../ByteReader.ts"
import { BadMessage, bytesCodec, decoder, encoder } from "../BytesCodec.ts"
import { MAX_CONTROL_BYTES, MAX_FRAME_BYTES, MAX_HELLO_BYTES } from "../Limits.ts"
import * as Native from "./NativeMessages.ts"

/** A frame longer than it may be, refused from its header. */
export class FrameTooLarge extends Data.TaggedError("FrameTooLarge")<{
  readonly length: number
  readonly limit: number
}> {
  override get message(): string {
    return `expected a frame of at most ${this.limit} bytes, got ${this.length}`
  }
}

const LENGTH_BYTES = 4
const KIND_BYTES = 1
const BODY_START = LENGTH_BYTES + KIND_BYTES
/** The position and the count before the rows. */
const BETS_HEADER_BYTES = 8
const ROWS_START = BODY_START + BETS_HEADER_BYTES
const CONTROL = 1
const BETS = 2

/** How many bytes of rows fit a frame that may have `maxFrame` bytes after its length. */
export const maxRowBytes = (maxFrame: number): number => maxFrame - KIND_BYTES - BETS_HEADER_BYTES

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const newFrame = (kind: number, bodyBytes: number): Uint8Array => {
  const frame = new Uint8Array(BODY_START + bodyBytes)
  view(frame).setUint32(0, KIND_BYTES + bodyBytes)
  frame[LENGTH_BYTES] = kind
  return frame
}

/** The kind of a whole frame, or why it is none. */
const kindOf = (frame: Uint8Array): Result.Result<number, BadMessage> => {
  const got = frame.length - LENGTH_BYTES
  const length = got < KIND_BYTES ? undefined : view(frame).getUint32(0)
  return length === got
    ? Result.succeed(frame[LENGTH_BYTES]!)
    : Result.fail(
        new BadMessage({ reason: `expected ${length ?? 1} bytes of a frame, got ${got}` })
      )
}

const utf8 = new TextEncoder()

const encodeControl = (message: object): Result.Result<Uint8Array, BadMessage> => {
  const json = utf8.encode(JSON.stringify(message))
  if (KIND_BYTES + json.length > MAX_FRAME_BYTES) {
    return Result.fail(new BadMessage({ reason: `a message of ${json.length} bytes is too long` }))
  }
  const frame = newFrame(CONTROL, json.length)
  frame.set(json, BODY_START)
  return Result.succeed(frame)
}

/** Reads JSON of the encoded side of `messages`, one of which it must be. */
const controlDecoder = <A, I>(messages: Schema.Codec<A, I>) => {
  const decode = Schema.decodeResult(Schema.fromJsonString(Schema.toEncoded(messages)))
  return (frame: Uint8Array): Result.Result<I, BadMessage> => {
    const text = decodeUtf8(frame.subarray(BODY_START))
    if (text === undefined) return Result.fail(new BadMessage({ reason: "expected JSON in UTF-8" }))
    return Result.mapError(decode(text), () => notAMessage(text))
  }
}

const decodeTag = Schema.decodeResult(
  Schema.fromJsonString(
    Schema.Struct({ _tag: Schema.String.check(Schema.isPattern(/^[A-Za-z]{1,20}$/)) })
  )
)

/** Shows no more of the text than its tag: a Hello may carry a secret, and errors are logged. */
const notAMessage = (text: string): BadMessage => {
  const tagged = Result.getOrUndefined(decodeTag(text))
  const got = tagged === undefined ? "" : `, got one with _tag ${tagged._tag}`
  return new BadMessage({ reason: `expected a message as JSON${got}` })
}

const decodeBets = (frame: Uint8Array) => {
  if (frame.length < ROWS_START) {
    return Result.fail(new BadMessage({ reason: "expected position and count in a frame of bets" }))
  }
  const position = view(frame).getUint32(BODY_START)
  const count = view(frame).getUint32(BODY_START + 4)
  return Result.mapBoth(batchFromRows(frame.subarray(ROWS_START), count), {
    onSuccess: (batch) => ({ _tag: "Bets" as const, position, batch }),
    onFailure: (problem) => new BadMessage({ ...problem, count, position })
  })
}

/** The largest position that a frame of bets can say. */
const MAX_POSITION = 0xffff_ffff

const encodeBets = ({ batch, position }: (typeof Native.Bets)["Encoded"]) => {
  const length = KIND_BYTES + BETS_HEADER_BYTES + batch.bytes.length
  if (length > MAX_FRAME_BYTES || position > MAX_POSITION) {
    const reason = `${length} bytes of bets at position ${position} do not fit a frame`
    return Result.fail(new BadMessage({ reason }))
  }
  const frame = newFrame(BETS, BETS_HEADER_BYTES + batch.bytes.length)
  view(frame).setUint32(BODY_START, position)
  view(frame).setUint32(BODY_START + 4, batch.count)
  frame.set(batch.bytes, ROWS_START)
  return Result.succeed(frame)
}

const unknownKind = (kind: number) =>
  Result.fail(new BadMessage({ reason: `expected a frame of kind 1 or 2, got ${kind}` }))

const decodeClientControl = controlDecoder(Native.ClientControl)
const decodeServerControl = controlDecoder(Native.NativeReply)

type DecodedRequest = Result.Result<(typeof Native.NativeRequest)["Encoded"], BadMessage>
type DecodedReply = Result.Result<(typeof Native.NativeReply)["Encoded"], BadMessage>

/** A client's whole frame, its length included. */
export const NativeRequestFromBytes = bytesCodec(Native.NativeRequest, {
  decode: (frame) =>
    Result.flatMap(kindOf(frame), (kind): DecodedRequest => {
      if (kind === BETS) return decodeBets(frame)
      return kind === CONTROL ? decodeClientControl(frame) : unknownKind(kind)
    }),
  encode: (message) => (message._tag === "Bets" ? encodeBets(message) : encodeControl(message))
})

/** A server's whole frame, its length included. */
export const NativeReplyFromBytes = bytesCodec(Native.NativeReply, {
  decode: (frame) =>
    Result.flatMap(
      kindOf(frame),
      (kind): DecodedReply => (kind === CONTROL ? decodeServerControl(frame) : unknownKind(kind))
    ),
  encode: encodeControl
})

const decodeWholeRequest = decoder(NativeRequestFromBytes)
const decodeWholeReply = decoder(NativeReplyFromBytes)

/** Encodes a client's frame; fails where bets do not fit one. */
export const encodeNativeRequest = encoder(NativeRequestFromBytes)
/** Encodes a server's frame; fails where it is too large. */
export const encodeNativeReply = encoder(NativeReplyFromBytes)

const takeFrame = Effect.fnUntraced(function* <E>(reader: ByteReader<E>, limit: number) {
  const length = view(yield* reader.peek(LENGTH_BYTES)).getUint32(0)
  if (length > limit) return yield* new FrameTooLarge({ length, limit })
  return yield* reader.take(LENGTH_BYTES + length)
})

/** Reads the first frame of a client, which is short. */
export const readHello = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeWholeRequest(yield* takeFrame(reader, MAX_HELLO_BYTES)))
})

/** Fails where the frame that comes is a control message longer than a client's may be. */
const refuseLongControl = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  const length = view(yield* reader.peek(LENGTH_BYTES)).getUint32(0)
  // A frame that is short enough whatever its kind may have no byte for it.
  if (length <= MAX_CONTROL_BYTES || length > MAX_FRAME_BYTES) return
  const kind = (yield* reader.peek(BODY_START))[LENGTH_BYTES]
  if (kind === CONTROL) return yield* new FrameTooLarge({ length, limit: MAX_CONTROL_BYTES })
})

/** Reads the next frame of a client. */
export const readNativeRequest = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  yield* refuseLongControl(reader)
  return yield* Effect.fromResult(decodeWholeRequest(yield* takeFrame(reader, MAX_FRAME_BYTES)))
})

/** Reads the next frame of a server. */
export const readNativeReply = Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
  return yield* Effect.fromResult(decodeWholeReply(yield* takeFrame(reader, MAX_FRAME_BYTES)))
})
