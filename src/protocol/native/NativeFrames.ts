/**
 * The frames of the native dialect (docs/wire.md, "Native"). Every function is pure.
 *
 *     client  = FF 4C 54 52 59 0D 0A 01  *frame           server = *frame
 *     frame   = length:u32 kind:u8 body                   length counts kind and body
 *     control = kind 1, a JSON object with `_tag`
 *     bets    = kind 2, position:u32 count:u32, then `count` canonical rows; from a client only
 */
import { Data, Effect, Option, Result, Schema } from "effect"
import { BetBatch } from "../../domain/BetBatch.ts"
import { decodeUtf8 } from "../../domain/BetCheck.ts"
import { batchFromRows } from "../../domain/CanonicalRows.ts"
import type { ByteReader } from "../ByteReader.ts"
import {
  BadMessage,
  badMessage,
  bytesCodec,
  dataView,
  decoder,
  encoder,
  reading,
  type TakeMessage
} from "../BytesCodec.ts"
import { MAX_CONTROL_BYTES, MAX_FRAME_BYTES, MAX_HELLO_BYTES } from "../Limits.ts"
import * as Native from "./NativeMessages.ts"

export class FrameTooLarge extends Data.TaggedError("FrameTooLarge")<{
  readonly length: number
  readonly limit: number
}> {
  override get message(): string {
    return `expected a frame of at most ${this.limit} bytes, got ${this.length}`
  }
}

const CONTROL = 1
const BETS = 2

// The offsets of the parts of a frame.
const KIND = 4
const BODY = 5
const COUNT = 9
const ROWS = 13

/** Returns how many bytes of rows fit in a frame with `maxFrame` bytes after its length. */
export const maxRowBytes = (maxFrame: number): number => maxFrame - (ROWS - KIND)

const writeHeader = (frame: Uint8Array, kind: number): void => {
  dataView(frame).setUint32(0, frame.length - KIND)
  frame[KIND] = kind
}

const utf8 = new TextEncoder()

const encodeControl = (message: object): Result.Result<Uint8Array, BadMessage> => {
  const json = utf8.encode(JSON.stringify(message))
  const bytes = BODY + json.length
  if (bytes - KIND > MAX_FRAME_BYTES) {
    return badMessage(`expected a frame of at most ${MAX_FRAME_BYTES} bytes, got ${bytes - KIND}`)
  }
  const frame = new Uint8Array(bytes)
  writeHeader(frame, CONTROL)
  frame.set(json, BODY)
  return Result.succeed(frame)
}

/** Builds the function that decodes JSON to the encoded side of one of `messages`. */
const controlDecoder = <A, I>(messages: Schema.Codec<A, I>) => {
  const decode = Schema.decodeResult(Schema.fromJsonString(Schema.toEncoded(messages)))
  return (frame: Uint8Array): Result.Result<I, BadMessage> => {
    const text = decodeUtf8(frame.subarray(BODY))
    if (text === undefined) return badMessage("expected JSON in UTF-8")
    return Result.mapError(decode(text), () => notAMessage(text))
  }
}

const decodeTag = Schema.decodeOption(
  Schema.fromJsonString(
    Schema.Struct({ _tag: Schema.String.check(Schema.isPattern(/^[A-Za-z]{1,20}$/)) })
  )
)

/** Shows only the tag, because errors are logged and a Hello may contain a token. */
const notAMessage = (text: string): BadMessage => {
  const got = Option.match(decodeTag(text), {
    onNone: () => "",
    onSome: ({ _tag }) => `, got _tag ${_tag}`
  })
  return new BadMessage({ reason: `expected a JSON control message${got}` })
}

const decodeBets = (frame: Uint8Array) => {
  if (frame.length < ROWS) return badMessage("expected position and count in a frame of bets")
  const position = dataView(frame).getUint32(BODY)
  const count = dataView(frame).getUint32(COUNT)
  return Result.mapBoth(batchFromRows(frame.subarray(ROWS), count), {
    onSuccess: (batch) => ({ _tag: "Bets" as const, position, batch }),
    onFailure: (problem) => new BadMessage({ ...problem, count, position })
  })
}

const MAX_POSITION = 0xffff_ffff

/** Encodes a frame of bets, in the batch's own memory if it has room for the header. */
export const encodeBets = ({
  batch,
  position
}: Pick<Native.Bets, "batch" | "position">): Result.Result<Uint8Array, BadMessage> => {
  const bytes = ROWS + batch.byteLength
  if (bytes - KIND > MAX_FRAME_BYTES || position > MAX_POSITION) {
    return badMessage(`${bytes - KIND} bytes of bets at position ${position} do not fit in a frame`)
  }
  const frame = batch.bytesAfter(ROWS)
  writeHeader(frame, BETS)
  dataView(frame).setUint32(BODY, position)
  dataView(frame).setUint32(COUNT, batch.count)
  return Result.succeed(frame)
}

/** `kind` is undefined if the frame is empty. */
const unknownKind = (kind: number | undefined) =>
  badMessage(
    kind === undefined
      ? "expected a frame of at least 1 byte, got 0"
      : `expected a frame of kind 1 or 2, got ${kind}`
  )

const decodeClientControl = controlDecoder(Native.ClientControl)
const decodeServerControl = controlDecoder(Native.NativeReply)

type DecodedRequest = Result.Result<(typeof Native.NativeRequest)["Encoded"], BadMessage>

/** A client's whole frame, including its length. */
export const NativeRequestFromBytes = bytesCodec(Native.NativeRequest, {
  decode: (frame): DecodedRequest => {
    const kind = frame[KIND]
    if (kind === BETS) return decodeBets(frame)
    return kind === CONTROL ? decodeClientControl(frame) : unknownKind(kind)
  },
  encode: (message) => (message._tag === "Bets" ? encodeBets(message) : encodeControl(message))
})

/** A server's whole frame, including its length. */
export const NativeReplyFromBytes = bytesCodec(Native.NativeReply, {
  decode: (frame) =>
    frame[KIND] === CONTROL ? decodeServerControl(frame) : unknownKind(frame[KIND]),
  encode: encodeControl
})

/** Fails if the message does not fit in a frame. */
export const encodeNativeRequest = encoder(NativeRequestFromBytes)
/** Fails if the message does not fit in a frame. */
export const encodeNativeReply = encoder(NativeReplyFromBytes)

/** Takes a whole frame. If it is too long for its kind, refuses it without reading its body. */
const takeFrame = (limit: number, controlLimit: number): TakeMessage<FrameTooLarge> =>
  Effect.fnUntraced(function* <E>(reader: ByteReader<E>) {
    const length = dataView(yield* reader.peek(KIND)).getUint32(0)
    if (length > limit) return yield* new FrameTooLarge({ length, limit })
    if (length > controlLimit && (yield* reader.peek(BODY))[KIND] === CONTROL) {
      return yield* new FrameTooLarge({ length, limit: controlLimit })
    }
    return yield* reader.take(KIND + length)
  })

const decodeRequest = decoder(NativeRequestFromBytes)

/** Reads a client's first frame. */
export const readHello = reading(takeFrame(MAX_HELLO_BYTES, MAX_HELLO_BYTES), decodeRequest)
export const readNativeRequest = reading(
  takeFrame(MAX_FRAME_BYTES, MAX_CONTROL_BYTES),
  decodeRequest
)

const ACK = /^\{"_tag":"Ack","bets":(0|[1-9][0-9]{0,14})\}$/
const MAX_ACK_BYTES = 64
const decodeReply = decoder(NativeReplyFromBytes)

/**
 * Decodes a server's whole frame. An acknowledgement as `encodeNativeReply` writes it needs no
 * Schema, which is 4 % of a client's time for batches of one bet.
 */
export const decodeNativeReply = (frame: Uint8Array): ReturnType<typeof decodeReply> => {
  if (frame[KIND] !== CONTROL || frame.length > MAX_ACK_BYTES) return decodeReply(frame)
  const match = ACK.exec(
    Buffer.from(frame.buffer, frame.byteOffset, frame.length).toString("latin1", BODY)
  )
  return match === null
    ? decodeReply(frame)
    : Result.succeed(new Native.Ack({ bets: Number(match[1]) }, { disableChecks: true }))
}

export const readNativeReply = reading(
  takeFrame(MAX_FRAME_BYTES, MAX_FRAME_BYTES),
  decodeNativeReply
)

/** Returns the end of the frame of bets at `start`, if it has come whole and is not too long. */
const endOfBets = (bytes: Uint8Array, view: DataView, start: number): number | undefined => {
  if (bytes.length < start + ROWS || bytes[start + KIND] !== BETS) return undefined
  const length = view.getUint32(start)
  const end = start + KIND + length
  return length <= MAX_FRAME_BYTES && end <= bytes.length ? end : undefined
}

/**
 * Takes the buffered frames of bets that follow each other in the book as one message. It has at
 * most `maxBytes` of frames, or a single larger one. Returns undefined if the next frame is not a
 * whole and valid frame of bets; `readNativeRequest` then waits for it or says what is wrong.
 *
 * Small frames are read this way because a message of one bet costs the server 33 µs otherwise and
 * 23 µs together. Their rows are moved in place: a copy would cost 1.4 ns per byte, see
 * docs/performance.md.
 */
export const takeBets = <E>(reader: ByteReader<E>, maxBytes: number): Native.Bets | undefined => {
  const bytes = reader.buffered()
  const view = dataView(bytes)
  let position: number | undefined
  let count = 0
  let taken = 0
  let rowsEnd = ROWS
  for (;;) {
    const end = endOfBets(bytes, view, taken)
    if (end === undefined || (taken > 0 && end > maxBytes)) break
    const bets = decodeBets(bytes.subarray(taken, end))
    if (Result.isFailure(bets)) break
    position ??= bets.success.position
    if (bets.success.position !== position + count) break
    if (taken > 0) bytes.copyWithin(rowsEnd, taken + ROWS, end)
    rowsEnd += end - taken - ROWS
    count += bets.success.batch.count
    taken = end
  }
  if (position === undefined) return undefined
  const batch = new BetBatch(reader.takeBuffered(taken).subarray(ROWS, rowsEnd), count)
  // The codec decodes the same fields, and their checks cannot fail.
  return new Native.Bets({ position, batch }, { disableChecks: true })
}
