/** Keeps what a peer sends before its TLS handshake has a place, and notices if it disconnects. */
import type * as Net from "node:net"
import { Data, Deferred, Effect, type Scope } from "effect"
import { detect } from "../../protocol/Dialect.ts"
import { MAX_LINE_BYTES } from "../../protocol/Limits.ts"
import { HTTP_REFUSAL, isHttpRequest } from "../../protocol/line/HttpRequest.ts"
import { beginsWithHandshake, MAX_RECORD_BYTES, NOT_TLS_ALERT } from "../../protocol/TlsRecord.ts"
import { showFirstBytes } from "./ShownBytes.ts"

export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<{
  readonly reason: string
}> {
  override get message(): string {
    return `the TLS handshake failed: ${this.reason}`
  }
}

export const peerGone = () => new HandshakeFailed({ reason: "the peer disconnected" })

export class NotTls extends Data.TaggedError("NotTls")<{
  readonly what: string
  /** An answer in the peer's own protocol. */
  readonly answer: Uint8Array
}> {
  override get message(): string {
    return `expected a TLS handshake, got ${this.what}`
  }
}

/** Names what the peer sent, without showing bets. */
const toNotTls = (bytes: Uint8Array): NotTls => {
  const dialect = detect(bytes, false)
  if (dialect === "line") {
    const [line] = Buffer.from(bytes.subarray(0, MAX_LINE_BYTES)).toString().split(/\r?\n/, 1)
    const answer = isHttpRequest(line!) ? HTTP_REFUSAL : NOT_TLS_ALERT
    return new NotTls({ what: "a line of text", answer })
  }
  const isUnknown = dialect === "unknown" || dialect === "undecided"
  const what = isUnknown ? showFirstBytes(bytes) : `the ${dialect} dialect in the clear`
  return new NotTls({ what, answer: NOT_TLS_ALERT })
}

export interface TlsHello {
  /** Waits for the first bytes. */
  readonly begun: Effect.Effect<void, HandshakeFailed | NotTls>
  /** Fails once the peer has disconnected or has sent more bytes than one record may have. */
  readonly lost: Effect.Effect<never, HandshakeFailed>
  /** Returns the bytes to the connection and stops reading it. */
  readonly giveBack: () => void
}

/** Reads a connection until the scope closes or `giveBack` is called. */
export const read = (net: Net.Socket): Effect.Effect<TlsHello, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const begun = Deferred.makeUnsafe<void, HandshakeFailed | NotTls>()
      const lost = Deferred.makeUnsafe<never, HandshakeFailed>()
      let bytes = Buffer.alloc(0)
      const fail = (error: HandshakeFailed | NotTls) => {
        stop()
        Deferred.doneUnsafe(begun, Effect.fail(error))
        if (error._tag === "HandshakeFailed") Deferred.doneUnsafe(lost, Effect.fail(error))
      }
      const onGone = () => fail(peerGone())
      const onReadable = () => {
        const chunk: Buffer | null = net.read()
        if (chunk === null) return
        bytes = Buffer.concat([bytes, chunk])
        if (!beginsWithHandshake(bytes)) return fail(toNotTls(bytes))
        if (bytes.length <= MAX_RECORD_BYTES) return Deferred.doneUnsafe(begun, Effect.void)
        fail(
          new HandshakeFailed({
            reason: `its first message has more than ${MAX_RECORD_BYTES} bytes`
          })
        )
      }
      const stop = () => {
        net.off("readable", onReadable).off("end", onGone).off("close", onGone)
      }
      if (net.destroyed) onGone()
      else net.on("readable", onReadable).on("end", onGone).on("close", onGone)
      return {
        begun: Deferred.await(begun),
        lost: Deferred.await(lost),
        stop,
        giveBack: () => {
          stop()
          net.unshift(bytes)
        }
      }
    }),
    ({ stop }) => Effect.sync(stop)
  )
