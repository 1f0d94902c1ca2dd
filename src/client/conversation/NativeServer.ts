/**
 * The server as an agency has it in the native dialect, on one connection: what is said to it and
 * heard from it, and every way in which it can let the agency down as a typed error.
 */
import { Effect } from "effect"
import { NATIVE_PREFACE } from "../../protocol/Dialect.ts"
import * as Frames from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { readThrough, type ServerConnection } from "../ServerConnection.ts"
import { hearAnswer, Refused, unexpected, unlessSilent } from "../ServerFailure.ts"
import { LAST_WORD_TIMEOUT } from "./SendAhead.ts"

/** What a server says unless it refuses, which is an error. */
export type Answer = Exclude<Native.NativeReply, Native.Rejected>

export type NativeServer = ReturnType<typeof make>

/** The server at the other end of an open connection. */
export const make = (connection: ServerConnection) => {
  const { write } = connection
  // A server that sends nothing for too long is lost, whatever it is in the middle of.
  const reader = readThrough(connection.reader, unlessSilent(connection.reader.fill))

  /** Waits for the next answer; fails if the server is silent for 45 s. */
  const hear = Effect.gen(function* () {
    const reply = yield* hearAnswer(Frames.readNativeReply(reader))
    if (reply._tag !== "Rejected") return reply
    const { code, message: reason, position } = reply
    const retryable = Native.isRetryable(code)
    return yield* new Refused({ reason, code, position, retryable })
  })

  /** Fails with what the server said before it closed the connection, if that is a reason. */
  const failWithReason = (lost: ConnectionLost) =>
    hear.pipe(
      Effect.timeoutOption(LAST_WORD_TIMEOUT),
      Effect.catchTag(["ConnectionLost", "BadAnswer"], () => Effect.void),
      Effect.andThen(Effect.fail(lost))
    )
  const writeOrHearWhy = (bytes: Uint8Array) =>
    Effect.catchTag(write(bytes), "ConnectionLost", failWithReason)

  const encoded = (request: Native.NativeRequest) =>
    Effect.fromResult(Frames.encodeNativeRequest(request))

  return {
    /** Opens the conversation. */
    greet: (hello: Native.Hello) =>
      Effect.flatMap(encoded(hello), (frame) =>
        writeOrHearWhy(Buffer.concat([NATIVE_PREFACE, frame]))
      ),
    /** Says a message. If the connection is gone, fails with the server's reason, if any. */
    say: (request: Native.NativeRequest) => Effect.flatMap(encoded(request), writeOrHearWhy),
    /** Says a message while another fiber hears the answers, and the reason for a refusal too. */
    sayUnheard: (request: Native.NativeRequest) => Effect.flatMap(encoded(request), write),
    hear,
    /** Waits for the next answer, which can only be of this kind. */
    hearOnly: <A extends Answer>(kind: abstract new (...args: never) => A) =>
      Effect.filterOrFail(hear, (answer): answer is A => answer instanceof kind, unexpected)
  }
}
