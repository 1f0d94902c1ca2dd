/** A peer that is connected, as every conversation sees it, and how the server parts from it. */
import { type Duration, Effect } from "effect"
import type { PeerConnection } from "../protocol/PeerConnection.ts"

export interface Peer {
  /** Where it connected from. */
  readonly ip: string
  readonly connection: PeerConnection
}

/** Reads on and forgets what comes, until the peer says that it sends no more. */
export const discardInput = ({ connection: { reader } }: Peer) =>
  Effect.forever(Effect.andThen(reader.fill, () => reader.take(reader.buffered().length))).pipe(
    Effect.catchTag("EndOfStream", () => Effect.void)
  )

/**
 * Ends our side and reads on until the peer has closed its own, or the time is over: closing with
 * bytes unread would reset the connection, and the peer could lose the last answer.
 */
export const linger = Effect.fnUntraced(function* (peer: Peer, timeout: Duration.Input) {
  yield* peer.connection.end
  yield* Effect.timeoutOption(discardInput(peer), timeout)
})
