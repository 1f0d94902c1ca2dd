/**
 * The server as an agency has it in the native dialect, on one connection: what is said to it and
 * heard from it, and every way in which it can let the agency down as a typed error.
 */
import { Effect, Result } from "effect"
import * as ByteReader from "../../protocol/ByteReader.ts"
import type { BadMessage } from "../../protocol/BytesCodec.ts"
import { NATIVE_PREFACE } from "../../protocol/Dialect.ts"
import * as Frames from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import {
  type BadAnswer,
  hearAnswer,
  Refused,
  type ServerConnection,
  shownReason,
  unexpected,
  unlessSilent
} from "../ServerConnection.ts"
import type { TlsMismatch } from "../TlsMismatch.ts"
import { LAST_WORD_TIMEOUT } from "./SendAhead.ts"

/** What a server says unless it refuses, which is an error. */
export type Answer = Exclude<Native.NativeReply, Native.Rejected>
type AnswerOf<Tag extends Answer["_tag"]> = Extract<Answer, { readonly _tag: Tag }>

export type NativeError = ConnectionLost | TlsMismatch | Refused | BadAnswer | BadMessage

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

const isAnswer =
  <Tag extends Answer["_tag"]>(tag: Tag) =>
  (answer: Answer): answer is AnswerOf<Tag> =>
    answer._tag === tag

/** The same bytes, but a server that sends none for too long is lost. */
const impatient = (reader: ServerConnection["reader"]): ServerConnection["reader"] =>
  ByteReader.make(
    unlessSilent(reader.fill).pipe(
      Effect.flatMap(() => reader.take(reader.buffered().length)),
      Effect.map((bytes) => [bytes])
    )
  )

const toRefused = ({ code, message, position }: Native.Rejected): Refused =>
  new Refused({ reason: shownReason(message), code, position, retryable: Native.isRetryable(code) })

/** Reads the next answer of a server. */
const makeHear = (reader: ServerConnection["reader"]): NativeServer["hear"] =>
  Effect.flatMap(hearAnswer(Frames.readNativeReply(reader)), (reply) =>
    reply._tag === "Rejected" ? Effect.fail(toRefused(reply)) : Effect.succeed(reply)
  )

/** What a server may have said before it closed the connection. */
const REASONS: ReadonlySet<NativeError["_tag"]> = new Set(["Refused", "TlsMismatch"])

/** The server at the other end of an open connection. */
export const make = ({ reader, write }: ServerConnection): NativeServer => {
  const hear = makeHear(impatient(reader))

  const refusalBehind = Effect.fnUntraced(function* (lost: ConnectionLost) {
    const heard = yield* Effect.result(Effect.timeoutOption(hear, LAST_WORD_TIMEOUT))
    const isReason = Result.isFailure(heard) && REASONS.has(heard.failure._tag)
    return yield* Effect.fail(isReason ? heard.failure : lost)
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
    hearOnly: (tag) => Effect.filterOrFail(hear, isAnswer(tag), ({ _tag }) => unexpected(_tag))
  }
}
