/** A peer that is connected, as every conversation sees it, and how the server parts from it. */
import { type Duration, Effect } from "effect"
import type { PeerConnection } from "../../protocol/PeerConnection.ts"
import type { HeldBytes } from "../admission/HeldBytes.ts"
import type { Certificate } from "../admission/Identity.ts"

export interface Peer {
  /** Where it connected from. */
  readonly ip: string
  readonly connection: PeerConnection
  /** What its TLS certificate says, where one was asked for. */
  readonly certificate: Certificate | undefined
  /** What is held of what it sent. */
  readonly held: HeldBytes
  /** Its first message was accepted: it counts no more among those who are not known. */
  readonly accepted: Effect.Effect<void>
}

/** The position in what the peer sent up to which it has been read. */
export const readUpTo = ({ connection, held }: Peer): number =>
  held.arrivedSoFar - connection.reader.buffered().length

/** What was read of the peer so far has been answered. */
export const forgetRead = (peer: Peer): void => peer.held.answered(readUpTo(peer))

/** Reads on and forgets what comes, until the peer says that it sends no more. */
export const discardInput = (peer: Peer) => {
  const { reader } = peer.connection
  const discard = Effect.suspend(() => reader.take(reader.buffered().length))
  const onwards = Effect.andThen(discard, () => {
    forgetRead(peer)
    return reader.fill
  })
  return Effect.sync(() => peer.held.giveUp()).pipe(
    Effect.andThen(Effect.forever(onwards)),
    Effect.catchTag("EndOfStream", () => Effect.void)
  )
}

/**
 * Ends our side and reads on until the peer has closed its own, or the time is over: closing with
 * bytes unread would reset the connection, and the peer could lose the last answer.
 */
export const linger = Effect.fnUntraced(function* (peer: Peer, timeout: Duration.Input) {
  yield* peer.connection.end
  yield* Effect.timeoutOption(discardInput(peer), timeout)
})
