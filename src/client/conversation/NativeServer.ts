/** The client's view of the server in the native dialect: requests, answers and typed errors. */
import { Effect } from "effect"
import * as Frames from "../../protocol/native/NativeFrames.ts"
import * as Native from "../../protocol/native/NativeMessages.ts"
import { NATIVE_PREFACE } from "../../protocol/native/Preface.ts"
import type { ConnectionLost } from "../../protocol/PeerConnection.ts"
import { readThrough, type ServerConnection } from "../ServerConnection.ts"
import { Refused, readAnswer, unexpected, unlessSilent } from "../ServerFailure.ts"
import { REJECTION_TIMEOUT } from "./SendAhead.ts"

/** Every reply except a rejection, which is an error. */
export type Answer = Exclude<Native.NativeReply, Native.Rejected>

export type NativeServer = ReturnType<typeof make>

export const make = (connection: ServerConnection) => {
  const { write } = connection
  // The limit applies to each read, not to a whole answer.
  const reader = readThrough(connection.reader, unlessSilent(connection.reader.fill))

  /** Waits for the next answer. Fails if the server sends nothing for 45 s. */
  const receive = Effect.gen(function* () {
    const reply = yield* readAnswer(Frames.readNativeReply(reader))
    if (reply._tag !== "Rejected") return reply
    const { code, message: reason, position } = reply
    const retryable = Native.isRetryable(code)
    return yield* new Refused({ reason, code, position, retryable })
  })

  /** Fails with the rejection that the server sent before it closed, if any; else with `lost`. */
  const failWithReason = (lost: ConnectionLost) =>
    receive.pipe(
      Effect.timeoutOption(REJECTION_TIMEOUT),
      Effect.catchTag(["ConnectionLost", "BadAnswer"], () => Effect.void),
      Effect.andThen(Effect.fail(lost))
    )
  const writeOrFailWithReason = (bytes: Uint8Array) =>
    Effect.catchTag(write(bytes), "ConnectionLost", failWithReason)

  const encoded = (request: Native.NativeRequest) =>
    Effect.fromResult(Frames.encodeNativeRequest(request))

  return {
    /** Sends the preface and the Hello. */
    greet: (hello: Native.Hello) =>
      Effect.flatMap(encoded(hello), (frame) =>
        writeOrFailWithReason(Buffer.concat([NATIVE_PREFACE, frame]))
      ),
    /** Sends a message. If the connection is closed, fails with the server's reason, if any. */
    send: (request: Native.NativeRequest) =>
      Effect.flatMap(encoded(request), writeOrFailWithReason),
    /** Writes messages while another fiber reads the answers, including a rejection. */
    write,
    receive,
    /** Waits for the next answer. Fails if it is of another kind. */
    receiveOnly: <A extends Answer>(kind: abstract new (...args: never) => A) =>
      Effect.filterOrFail(receive, (answer): answer is A => answer instanceof kind, unexpected)
  }
}
