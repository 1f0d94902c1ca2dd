/**
 * The server as an agency has it in the native dialect, on one connection: what is said to it and
 * heard from it, and every way in which it can let the agency down as a typed error.
 */
import { Effect, Result } from "effect"
import * as ByteReader from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { NATIVE_PREFACE } from "../protocol/Dialect.ts"
import * as Frames from "../protocol/NativeFrames.ts"
import * as Native from "../protocol/NativeMessages.ts"
import { ConnectionLost, type PeerConnection } from "../protocol/PeerConnection.ts"
import { Refused, toConnectionLost } from "./ServerConnection.ts"

/** A server that has us wait says so every 15 s; one that is silent for this long is gone. */
const SILENCE_SECONDS = 45

/** How long a server that takes nothing more may still say why. */
export const LAST_WORD_TIMEOUT = "1 second"

/** What a server says unless it refuses, which is an error. */
export type Answer = Exclude<Native.NativeReply, Native.Rejected>
type AnswerOf<Tag extends Answer["_tag"]> = Extract<Answer, { readonly _tag: Tag }>

export type NativeError = ConnectionLost | Refused | BadMessage

export interface NativeServer {
  /** Opens the conversation. */
  readonly greet: (hello: Native.Hello) => Effect.Effect<void, NativeError>
  /** Says a message. Where the connection is gone, fails with the server's reason, if any. */
  readonly say: (request: Native.NativeRequest) => Effect.Effect<void, NativeError>
  /** Says a message while somebody else hears the answers, the reason for a refusal too. */
  readonly sayUnheard: (
    request: Native.NativeRequest
  ) => Effect.Effect<void, ConnectionLost | BadMessage>
  /** Waits for the next answer; fails where the server is silent for 45 s. */
  readonly hear: Effect.Effect<Answer, NativeError>
  /** Waits for the next answer, which can only be this one. */
  readonly hearOnly: <Tag extends Answer["_tag"]>(
    tag: Tag
  ) => Effect.Effect<AnswerOf<Tag>, NativeError>
}

/** An answer that does not fit what was asked. */
export const unexpected = ({ _tag }: Answer): BadMessage =>
  new BadMessage({ reason: `the server answered with ${_tag}` })

const isAnswer =
  <Tag extends Answer["_tag"]>(tag: Tag) =>
  (answer: Answer): answer is AnswerOf<Tag> =>
    answer._tag === tag

/** The same bytes, but a server that sends none for too long is lost. */
const impatient = (
  reader: ByteReader.ByteReader<ConnectionLost>
): ByteReader.ByteReader<ConnectionLost> => {
  const silence = new ConnectionLost({ reason: `nothing heard for ${SILENCE_SECONDS} s` })
  return ByteReader.make(
    reader.fill.pipe(
      Effect.timeoutOrElse({
        duration: `${SILENCE_SECONDS} seconds`,
        orElse: () => Effect.fail(silence)
      }),
      Effect.flatMap(() => reader.take(reader.buffered().length)),
      Effect.map((bytes) => [bytes])
    )
  )
}

const toRefused = ({ code, message, position }: Native.Rejected): Refused =>
  new Refused({ reason: message, code, position, retryable: Native.isRetryable(code) })

/** Reads the next answer of a server. */
const makeHear = (reader: ByteReader.ByteReader<ConnectionLost>): NativeServer["hear"] =>
  Frames.readNativeReply(reader).pipe(
    Effect.flatMap((reply) =>
      reply._tag === "Rejected" ? Effect.fail(toRefused(reply)) : Effect.succeed(reply)
    ),
    Effect.catchTags({
      EndOfStream: (end) => Effect.fail(toConnectionLost(end)),
      FrameTooLarge: ({ message }) => Effect.fail(new BadMessage({ reason: message }))
    })
  )

/** The server at the other end of an open connection. */
export const make = ({ reader, write }: PeerConnection): NativeServer => {
  const hear = makeHear(impatient(reader))

  const refusalBehind = Effect.fnUntraced(function* (lost: ConnectionLost) {
    const heard = yield* Effect.result(Effect.timeoutOption(hear, LAST_WORD_TIMEOUT))
    const isRefusal = Result.isFailure(heard) && heard.failure._tag === "Refused"
    return yield* Effect.fail(isRefusal ? heard.failure : lost)
  })
  const writeOrHearWhy = (bytes: Uint8Array) =>
    Effect.catchTag(write(bytes), "ConnectionLost", refusalBehind)

  const encoded = (request: Native.NativeRequest) =>
    Effect.fromResult(Frames.encodeNativeRequest(request))

  return {
    greet: (hello) =>
      Effect.flatMap(encoded(hello), (frame) =>
        writeOrHearWhy(Buffer.concat([NATIVE_PREFACE, frame]))
      ),
    say: (request) => Effect.flatMap(encoded(request), writeOrHearWhy),
    sayUnheard: (request) => Effect.flatMap(encoded(request), write),
    hear,
    hearOnly: (tag) => Effect.filterOrFail(hear, isAnswer(tag), unexpected)
  }
}
