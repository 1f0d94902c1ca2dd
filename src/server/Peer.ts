/** A peer that is connected, as every conversation sees it, and how the server parts from it. */
import { Effect } from "effect"
import type { PeerConnection } from "../protocol/PeerConnection.ts"
import { ServerLimits } from "./ServerLimits.ts"

export interface Peer {
  /** Where it connected from. */
  readonly ip: string
  readonly connection: PeerConnection
}

/**
 * Ends our side and reads on until the peer has closed its own: closing with bytes unread would
 * reset the connection, and the peer could lose the last answer.
 */
export const linger = Effect.fnUntraced(function* ({ connection }: Peer) {
  const { lingerTimeout } = yield* ServerLimits
  yield* connection.end
  const { reader } = connection
  const discard = Effect.andThen(reader.fill, () => reader.take(reader.buffered().length))
  yield* Effect.forever(discard).pipe(
    Effect.timeoutOption(lingerTimeout),
    Effect.catchTag("EndOfStream", () => Effect.void)
  )
})
