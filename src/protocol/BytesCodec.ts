/**
 * How every dialect's codec is built: a Schema between the bytes of one whole message and a domain
 * value, from two pure functions, and the one typed error that says why bytes are not a message.
 */
import { Data, Effect, Result, Schema, SchemaIssue, SchemaTransformation } from "effect"

/** Bytes that are not a message, or a message that its dialect cannot say. */
export class BadMessage extends Data.TaggedError("BadMessage")<{
  /** What is wrong, what was expected. */
  readonly reason: string
  /** The agency that the message names, where it could be read. */
  readonly agency?: number | undefined
  /** How many bets the message holds, where that could be counted. */
  readonly count?: number | undefined
  /** Which of its bets is bad, counted from 0. */
  readonly index?: number | undefined
  /** How many bets of the book come before those of the message, where the dialect says so. */
  readonly position?: number | undefined
}> {
  override get message(): string {
    return this.index === undefined ? this.reason : `bet ${this.index + 1}: ${this.reason}`
  }
}

const toIssue = (badMessage: BadMessage): SchemaIssue.Issue =>
  new SchemaIssue.InvalidValue({ message: badMessage.message, badMessage })

/** The `BadMessage` that a codec made by `bytesCodec` failed with; any other issue as its text. */
const fromSchemaError = (error: Schema.SchemaError): BadMessage => {
  let issue = error.issue
  while ("issue" in issue) issue = issue.issue
  const badMessage = issue._tag === "InvalidValue" ? issue.annotations?.badMessage : undefined
  return badMessage instanceof BadMessage ? badMessage : new BadMessage({ reason: error.message })
}

/**
 * Builds the Schema between the bytes of one whole message and `message`.
 * Both functions are pure and never throw; `decode` gives the encoded side of `message`.
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
