/** A peer that was let in, as every conversation sees it, and how the server parts from it. */
import { type Duration, Effect } from "effect"
import type { PeerConnection } from "../../protocol/PeerConnection.ts"
import type { Certificate } from "./Identity.ts"
import type { MessageMemory } from "./MessageMemory.ts"

export interface Peer {
  /** Where it connected from. */
  readonly ip: string
  readonly connection: PeerConnection
  /** What its TLS certificate says, where one was asked for. */
  readonly certificate: Certificate | undefined
  /** What its messages take in memory. */
  readonly memory: MessageMemory
  /** Its first message was accepted: it counts no more among those who are not known. */
  readonly accepted: Effect.Effect<void>
}

/** All that was read of the peer so far has been answered. */
export const forgetRead = ({ connection, memory }: Peer): Effect.Effect<void> =>
  Effect.suspend(() => memory.answered(connection.reader.position()))

/** Reads on and forgets what comes, until the peer says that it sends no more. */
export const discardInput = ({ connection: { reader }, memory }: Peer) => {
  const discard = Effect.suspend(() => reader.take(reader.buffered().length))
  return memory.giveUp.pipe(
    Effect.andThen(Effect.forever(Effect.andThen(discard, reader.fill))),
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
