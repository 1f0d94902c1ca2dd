/**
 * One accepted connection from its first byte to its close: tells the dialect, holds that
 * dialect's conversation, and handles every way in which a connection can end.
 */
import type * as Net from "node:net"
import { Effect, Result } from "effect"
import type { Socket } from "effect/socket/Socket"
import { logAction } from "../../domain/ActionLog.ts"
import { EndOfStream } from "../../protocol/ByteReader.ts"
import { BadMessage } from "../../protocol/BytesCodec.ts"
import { type Dialect, detect } from "../../protocol/Dialect.ts"
import * as PeerConnection from "../../protocol/PeerConnection.ts"
import { beginsWithHandshake, NO_TLS_HERE } from "../../protocol/TlsRecord.ts"
import { linger, type Peer } from "../admission/Peer.ts"
import { ServerLimits } from "../admission/ServerLimits.ts"
import { showFirstBytes } from "../admission/ShownBytes.ts"
import { inTime, writeInTime } from "../admission/Timeouts.ts"
import * as BinarySession from "./BinarySession.ts"
import * as JsonSession from "./JsonSession.ts"
import * as NativeSession from "./NativeSession.ts"
import * as TextLineSession from "./TextLineSession.ts"

/** Which port a connection came to; the JSON client opens the winners' one long before it asks. */
export type Port = "bets" | "winners"

/** Serves a connection to its end; closed with the scope. */
export const serve = Effect.fnUntraced(
  function* (socket: Socket, link: Net.Socket, port: Port, letIn: Omit<Peer, "connection">) {
    const { lingerTimeout, writeTimeout } = yield* ServerLimits
    const { held, ip } = letIn
    yield* Effect.addFinalizer(() => held.giveUp)
    const connection = yield* PeerConnection.make(socket, link, held.room)
    const write = writeInTime(connection.write, writeTimeout, link)
    const peer: Peer = { ...letIn, connection: { ...connection, write } }
    yield* converse(peer, port).pipe(
      Effect.catchTag(["BadMessage", "TooSlow"], (refusal) => logEnd(peer, refusal.message)),
      Effect.catchTag("EndOfStream", (end) =>
        // Who connects and goes without a word is a health check or a client at its end.
        end.pending === 0 ? Effect.logDebug(`${ip}: ${end.message}`) : logEnd(peer, end.message)
      )
    )
    // All was said, and what went wrong was logged: how the peer goes tells nobody anything.
    yield* Effect.catchTag(linger(peer, lingerTimeout), "ConnectionLost", (lost) =>
      Effect.logDebug(`${ip}: ${lost.message}`)
    )
  },
  (effect, _socket, _link, _port, letIn) =>
    Effect.catchTag(effect, "ConnectionLost", (lost) => logEnd(letIn, lost.message))
)

const logEnd = ({ ip }: Pick<Peer, "ip">, error: string) =>
  logAction("receive_message", "fail", { ip, error })

const converse = Effect.fnUntraced(function* (peer: Peer, port: Port) {
  switch (yield* tellDialect(peer, port)) {
    case "line":
      return yield* TextLineSession.run(peer)
    case "binary":
      return yield* BinarySession.run(peer)
    case "json":
      return yield* JsonSession.run(peer)
    case "native":
      return yield* NativeSession.run(peer)
  }
})

const tellDialect = Effect.fnUntraced(function* (peer: Peer, port: Port) {
  const { dialectTimeout, firstByteTimeout } = yield* ServerLimits
  const { reader } = peer.connection
  yield* port === "winners"
    ? reader.fill
    : inTime(peer, { what: "a first byte", timeout: firstByteTimeout }, reader.fill)
  const enough = { what: "enough to tell the dialect", timeout: dialectTimeout }
  return yield* inTime(peer, enough, readDialect(peer.connection))
})

/** Refuses a connection that begins as none of the dialects does. */
const refuseUnknown = Effect.fnUntraced(function* (
  { write }: PeerConnection.PeerConnection,
  bytes: Uint8Array
) {
  if (!beginsWithHandshake(bytes)) {
    return yield* new BadMessage({ reason: `unknown first bytes: ${showFirstBytes(bytes)}` })
  }
  yield* write(NO_TLS_HERE)
  const reason = "that is TLS: this server was started without --tls-cert and --tls-key"
  return yield* new BadMessage({ reason })
})

const readDialect = Effect.fnUntraced(function* (
  connection: PeerConnection.PeerConnection
): Effect.fn.Return<Dialect, BadMessage | PeerConnection.ConnectionLost | EndOfStream> {
  const { reader } = connection
  let ended: EndOfStream | undefined
  for (;;) {
    const detection = detect(reader.buffered(), ended !== undefined)
    if (detection === "unknown") {
      if (ended?.pending === 0) return yield* ended
      return yield* refuseUnknown(connection, reader.buffered())
    }
    if (detection !== "undecided") return detection
    const filled = yield* Effect.result(reader.fill)
    if (Result.isFailure(filled)) {
      if (!(filled.failure instanceof EndOfStream)) return yield* filled.failure
      ended = filled.failure
    }
  }
})
