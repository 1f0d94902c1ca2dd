/**
 * One accepted connection from its first byte to its close: tells the dialect, holds that
 * dialect's conversation, and handles every way in which a connection can end.
 */
import { Effect, Option, Result } from "effect"
import type { Socket } from "effect/socket/Socket"
import { logAction } from "../domain/ActionLog.ts"
import { EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { type Dialect, detect } from "../protocol/Dialect.ts"
import * as PeerConnection from "../protocol/PeerConnection.ts"
import * as BinarySession from "./BinarySession.ts"
import * as JsonSession from "./JsonSession.ts"
import * as NativeSession from "./NativeSession.ts"
import { linger, type Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"
import * as TextLineSession from "./TextLineSession.ts"

/** Which port a connection came to; the JSON client opens the winners' one long before it asks. */
export type Port = "bets" | "winners"

/** How many of a peer's bytes a log line shows. */
const SHOWN_BYTES = 16

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, SHOWN_BYTES))
    .toString("hex")
    .replace(/..(?=.)/g, "$& ")

/** Serves a connection to its end; closed with the scope. */
export const serve = Effect.fnUntraced(
  function* (socket: Socket, link: PeerConnection.Link, ip: string, port: Port) {
    const connection = yield* PeerConnection.make(socket, link)
    const peer: Peer = { ip, connection }
    yield* converse(peer, port).pipe(
      Effect.catchTag("BadMessage", (bad) => logEnd(peer, bad.message)),
      Effect.catchTag("EndOfStream", (end) =>
        // Who connects and goes without a word is a health check or a client at its end.
        end.pending === 0 ? Effect.logDebug(`${ip}: ${end.message}`) : logEnd(peer, end.message)
      )
    )
    yield* linger(peer, (yield* ServerLimits).lingerTimeout)
  },
  (effect, _socket, _link, ip) =>
    Effect.catchTag(effect, "ConnectionLost", (lost) => logEnd({ ip }, lost.message))
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

const tellDialect = Effect.fnUntraced(function* ({ connection: { reader } }: Peer, port: Port) {
  const { dialectTimeout, firstByteTimeout } = yield* ServerLimits
  const firstByte = Effect.timeoutOption(reader.fill, firstByteTimeout)
  const came = yield* port === "bets" ? firstByte : Effect.asSome(reader.fill)
  if (Option.isNone(came)) return yield* new BadMessage({ reason: "no byte came in time" })
  const told = yield* Effect.timeoutOption(readDialect(reader), dialectTimeout)
  if (Option.isSome(told)) return told.value
  const shown = hex(reader.buffered())
  return yield* new BadMessage({ reason: `no dialect could be told in time from: ${shown}` })
})

const readDialect = Effect.fnUntraced(function* (
  reader: Peer["connection"]["reader"]
): Effect.fn.Return<Dialect, BadMessage | PeerConnection.ConnectionLost | EndOfStream> {
  let ended: EndOfStream | undefined
  for (;;) {
    const detection = detect(reader.buffered(), ended !== undefined)
    if (detection === "unknown") {
      if (ended?.pending === 0) return yield* ended
      return yield* new BadMessage({ reason: `unknown first bytes: ${hex(reader.buffered())}` })
    }
    if (detection !== "undecided") return detection
    const filled = yield* Effect.result(reader.fill)
    if (Result.isFailure(filled)) {
      if (!(filled.failure instanceof EndOfStream)) return yield* filled.failure
      ended = filled.failure
    }
  }
})
