/**
 * Builds the dialects' codecs: Schemas between the bytes of one whole message and a value, made of
 * two pure functions. `BadMessage` is their only error.
 */
import { Data, Effect, Result, Schema, SchemaIssue, SchemaTransformation } from "effect"
import type { ByteReader, EndOfStream } from "./ByteReader.ts"

/** Known facts about a refused message, for the log. */
interface About {
  readonly agency?: number | undefined
  /** The number of bets in the message. */
  readonly count?: number | undefined
  /** The invalid bet, counted from 0. */
  readonly index?: number | undefined
  /** The position of the first bet in the book, if the dialect sends one. */
  readonly position?: number | undefined
}

/** Bytes that are not a valid message, or a message that its dialect cannot represent. */
export class BadMessage extends Data.TaggedError("BadMessage")<
  About & {
    readonly reason: string
  }
> {
  override get message(): string {
    return this.index === undefined ? this.reason : `bet ${this.index + 1}: ${this.reason}`
  }
}

export const badMessage = (reason: string, about?: About): Result.Result<never, BadMessage> =>
  Result.fail(new BadMessage({ reason, ...about }))

/** Carries a `BadMessage` through a Schema. */
class BadMessageIssue extends SchemaIssue.InvalidValue {
  readonly badMessage: BadMessage

  constructor(badMessage: BadMessage) {
    super({ message: badMessage.message })
    this.badMessage = badMessage
  }
}

const toIssue = (badMessage: BadMessage): SchemaIssue.Issue => new BadMessageIssue(badMessage)

const fromSchemaError = (error: Schema.SchemaError): BadMessage => {
  let issue = error.issue
  while ("issue" in issue) issue = issue.issue
  return issue instanceof BadMessageIssue
    ? issue.badMessage
    : new BadMessage({ reason: error.message })
}

/**
 * Builds the Schema between the bytes of one whole message and `message`. The functions are pure
 * and never throw. `decode` returns the encoded side of `message`. It may ignore the length field,
 * which `TakeMessage` has already used.
 */
export const bytesCodec = <Message extends Schema.Top>(
  message: Message,
  transformation: {
    readonly decode: (bytes: Uint8Array) => Result.Result<Message["Encoded"], BadMessage>
    readonly encode: (message: Message["Encoded"]) => Result.Result<Uint8Array, BadMessage>
  }
) =>
  Schema.Uint8Array.pipe(
    Schema.decodeTo(
      message,
      SchemaTransformation.transformEffect<Message["Encoded"], Uint8Array>({
        decode: (bytes) =>
          Effect.fromResult(Result.mapError(transformation.decode(bytes), toIssue)),
        encode: (encoded) =>
          Effect.fromResult(Result.mapError(transformation.encode(encoded), toIssue))
      })
    )
  )

/** Builds the function that decodes one whole message. Call this once per codec. */
export const decoder = <T>(codec: Schema.Codec<T, Uint8Array>) => {
  const decode = Schema.decodeResult(codec)
  return (bytes: Uint8Array): Result.Result<T, BadMessage> =>
    Result.mapError(decode(bytes), fromSchemaError)
}

/** Builds the function that encodes one whole message. Call this once per codec. */
export const encoder = <T>(codec: Schema.Codec<T, Uint8Array>) => {
  const encode = Schema.encodeResult(codec)
  return (message: T): Result.Result<Uint8Array, BadMessage> =>
    Result.mapError(encode(message), fromSchemaError)
}

/** Takes the bytes of the next message, or fails if its header is refused. */
export type TakeMessage<Refusal> = <E>(
  reader: ByteReader<E>
) => Effect.Effect<Uint8Array, E | EndOfStream | Refusal>

/** Builds the function that takes and decodes the next message. */
export const reading =
  <T, Refusal>(
    take: TakeMessage<Refusal>,
    decode: (bytes: Uint8Array) => Result.Result<T, BadMessage>
  ) =>
  <E>(reader: ByteReader<E>): Effect.Effect<T, E | EndOfStream | Refusal | BadMessage> =>
    Effect.flatMap(take(reader), (bytes) => Effect.fromResult(decode(bytes)))

export const dataView = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
