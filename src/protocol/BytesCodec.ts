/**
 * How every dialect's codec is built: a Schema between the bytes of one whole message and a value,
 * from two pure functions, and the one typed error that says why bytes are not a message.
 */
import { Data, Effect, Result, Schema, SchemaIssue, SchemaTransformation } from "effect"
import type { ByteReader, EndOfStream } from "./ByteReader.ts"

/** What is known of a message that is refused, for the log. */
interface About {
  /** The agency that the message names. */
  readonly agency?: number | undefined
  /** How many bets the message has. */
  readonly count?: number | undefined
  /** Which of its bets is bad, counted from 0. */
  readonly index?: number | undefined
  /** How many bets of the book come before those of the message, if the dialect says so. */
  readonly position?: number | undefined
}

/** Bytes that are not a message, or a message that its dialect cannot say. */
export class BadMessage extends Data.TaggedError("BadMessage")<
  About & {
    /** What is wrong, what was expected. */
    readonly reason: string
  }
> {
  override get message(): string {
    return this.index === undefined ? this.reason : `bet ${this.index + 1}: ${this.reason}`
  }
}

/** The failure of a decoder or encoder. */
export const badMessage = (reason: string, about?: About): Result.Result<never, BadMessage> =>
  Result.fail(new BadMessage({ reason, ...about }))

/** A `BadMessage` on its way through a Schema. */
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
 * Builds the Schema between the bytes of one whole message and `message`. Both functions are pure
 * and never throw; `decode` gives the encoded side of `message`. It need not look at the length
 * field of the bytes: `TakeMessage` has cut them off by it.
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

/** Decodes one whole message; built once per codec, used for each message. */
export const decoder = <T>(codec: Schema.Codec<T, Uint8Array>) => {
  const decode = Schema.decodeResult(codec)
  return (bytes: Uint8Array): Result.Result<T, BadMessage> =>
    Result.mapError(decode(bytes), fromSchemaError)
}

/** Encodes one whole message; built once per codec, used for each message. */
export const encoder = <T>(codec: Schema.Codec<T, Uint8Array>) => {
  const encode = Schema.encodeResult(codec)
  return (message: T): Result.Result<Uint8Array, BadMessage> =>
    Result.mapError(encode(message), fromSchemaError)
}

/** Takes the bytes of the next message, unless its header is refused. */
export type TakeMessage<Refusal> = <E>(
  reader: ByteReader<E>
) => Effect.Effect<Uint8Array, E | EndOfStream | Refusal>

/** Reads the next message: takes its bytes and decodes them. */
export const reading =
  <T, Refusal>(
    take: TakeMessage<Refusal>,
    decode: (bytes: Uint8Array) => Result.Result<T, BadMessage>
  ) =>
  <E>(reader: ByteReader<E>): Effect.Effect<T, E | EndOfStream | Refusal | BadMessage> =>
    Effect.flatMap(take(reader), (bytes) => Effect.fromResult(decode(bytes)))

/** The integers in some bytes; big-endian, unless another order is asked for. */
export const dataView = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
