/**
 * One accepted connection from its first byte to its close: detects the dialect, runs that
 * dialect's session and handles every way in which the connection can end.
 */
import type * as Net from "node:net"
import { Effect, Scope } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { type Dialect, detect, tooLargeJsonBytes } from "../../protocol/Dialect.ts"
import { MAX_JSON_BYTES } from "../../protocol/Limits.ts"
import * as PeerConnection from "../../protocol/PeerConnection.ts"
import { beginsWithHandshake, NO_TLS_HERE } from "../../protocol/TlsRecord.ts"
import { linger, type Peer } from "../admission/Peer.ts"
import { Refusals } from "../admission/Refusals.ts"
import { ServerLimits } from "../admission/ServerLimits.ts"
import { showFirstBytes } from "../admission/ShownBytes.ts"
import { inTime, type TooSlow, writeInTime } from "../admission/Timeouts.ts"
import * as BinarySession from "./BinarySession.ts"
import * as JsonSession from "./JsonSession.ts"
import * as NativeSession from "./NativeSession.ts"
import * as Pending from "./Pending.ts"
import { toRejected } from "./Refusal.ts"
import * as TextLineSession from "./TextLineSession.ts"

/** The port of a connection. A JSON client connects to `winners` long before it sends anything. */
export type Port = "bets" | "winners"

/** Serves a connection until it ends; the scope closes it. */
export const serve = Effect.fnUntraced(function* (
  link: Net.Socket,
  port: Port,
  letIn: Omit<Peer, "connection">
) {
  const { lingerTimeout, writeTimeout } = yield* ServerLimits
  const { ip, memory } = letIn
  const attributes = {
    "client.address": ip,
    "client.port": link.remotePort,
    "lottery.port": port
  }
  // The stack of its start would take a KB of each connection, and always be the same.
  const options = { kind: "server", captureStackTrace: false, attributes } as const
  const span = yield* Effect.makeSpanScoped("Connection.serve", options)
  yield* Scope.addFinalizerExit(yield* Effect.scope, () => memory.giveUp)
  const connection = yield* PeerConnection.make(link, memory.room)
  const write = writeInTime(connection, writeTimeout, link)
  const peer: Peer = { ...letIn, connection: { ...connection, write } }
  // A closed socket emits no more events.
  const begun = link.destroyed
    ? Effect.fail(new PeerConnection.ConnectionLost({ reason: "already closed" }))
    : runSession(peer, port)
  return yield* Pending.around(begun, (step) =>
    step.pipe(
      Effect.catchTag(["BadMessage", "TooSlow"], (reason) =>
        Effect.as(Effect.andThen(noteRefused(reason), logEnd(ip, reason.message)), undefined)
      ),
      Effect.catchTag("EndOfStream", ({ message, pending }) =>
        Effect.as(
          // A connection that ends between messages is a health check or a client that is done.
          pending === 0 ? Effect.logDebug(`${ip}: ${message}`) : logEnd(ip, message),
          undefined
        )
      ),
      Effect.tap((pending) => {
        if (pending !== undefined) return Effect.void
        // The session's failures are logged, so a broken close is logged as debug.
        return Effect.catchTag(linger(peer, lingerTimeout), "ConnectionLost", ({ message }) =>
          Effect.logDebug(`${ip}: ${message}`)
        )
      }),
      Effect.catchTag("ConnectionLost", ({ message }) => Effect.as(logEnd(ip, message), undefined)),
      Effect.withParentSpan(span)
    )
  )
})

const runSession = Effect.fnUntraced(function* (peer: Peer, port: Port) {
  const dialect = yield* detectDialect(peer, port)
  yield* Effect.annotateCurrentSpan("lottery.dialect", dialect)
  return yield* SESSIONS[dialect].run(peer)
})

const SESSIONS = {
  line: TextLineSession,
  binary: BinarySession,
  json: JsonSession,
  native: NativeSession
} as const satisfies Record<Dialect, unknown>

/** Counts a peer that is refused before it has said for which agency it speaks. */
const noteRefused = Effect.fnUntraced(function* (reason: BadMessage | TooSlow) {
  yield* (yield* Refusals).note({ reason: toRejected(reason).code })
})

const logEnd = (ip: string, error: string) => logAction("receive_message", "fail", { ip, error })

const detectDialect = Effect.fnUntraced(function* (peer: Peer, port: Port) {
  const { dialectTimeout, firstByteTimeout } = yield* ServerLimits
  const { reader } = peer.connection
  yield* port === "winners"
    ? reader.fill
    : inTime(peer, { what: "a first byte", timeout: firstByteTimeout }, reader.fill)
  const enough = { what: "enough bytes to identify the dialect", timeout: dialectTimeout }
  return yield* inTime(peer, enough, readDialect(peer.connection))
})

const readDialect = Effect.fnUntraced(function* ({
  reader,
  write
}: PeerConnection.PeerConnection): Effect.fn.Return<
  Dialect,
  BadMessage | PeerConnection.ConnectionLost | EndOfStream
> {
  let ended: EndOfStream | undefined
  for (;;) {
    const bytes = reader.buffered()
    const detection = detect(bytes, ended !== undefined)
    if (detection === "unknown") {
      if (ended?.pending === 0) return yield* ended
      const isTls = beginsWithHandshake(bytes)
      if (isTls) yield* write(NO_TLS_HERE)
      return yield* new BadMessage({ reason: isTls ? TLS_IS_OFF : unknownReason(bytes) })
    }
    if (detection !== "undecided") return detection
    yield* Effect.catchTag(reader.fill, "EndOfStream", (end) =>
      Effect.sync(() => {
        ended = end
      })
    )
  }
})

const unknownReason = (bytes: Uint8Array): string => {
  const reason = `unknown first bytes: ${showFirstBytes(bytes)}`
  const length = tooLargeJsonBytes(bytes)
  if (length === undefined) return reason
  return `${reason}; a JSON message of ${length} bytes, expected at most ${MAX_JSON_BYTES}`
}

const TLS_IS_OFF = "got TLS, but this server was started without --tls-cert and --tls-key"
