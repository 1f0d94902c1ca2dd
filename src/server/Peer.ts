/** A peer that is connected, as every conversation sees it, and how the server parts from it. */
import { type Duration, Effect } from "effect"
import type { PeerConnection } from "../protocol/PeerConnection.ts"

export interface Peer {
  /** Where it connected from. */
  readonly ip: string
  readonly connection: PeerConnection
}

/**
 * Ends our side and reads on until the peer has closed its own, or the time is over: closing with
 * bytes unread would reset the connection, and the peer could lose the last answer. Says whether
 * the peer has closed.
 */
export const linger = Effect.fnUntraced(function* ({ connection }: Peer, timeout: Duration.Input) {
  yield* connection.end
  const { reader } = connection
  const discard = Effect.andThen(reader.fill, () => reader.take(reader.buffered().length))
  return yield* Effect.forever(discard).pipe(
    Effect.timeoutOption(timeout),
    Effect.as(false),
    Effect.catchTag("EndOfStream", () => Effect.succeed(true))
  )
})
