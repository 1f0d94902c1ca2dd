/** The peer of a connection, as every session sees it, and how the server ends that connection. */
import { type Duration, Effect } from "effect"
import type { HeldConnection } from "../../protocol/PeerConnection.ts"
import type { Certificate } from "./Identity.ts"
import type { MessageMemory } from "./MessageMemory.ts"

export interface Peer {
  readonly ip: string
  readonly connection: HeldConnection
  /** What its TLS certificate proves; undefined if none was requested. */
  readonly certificate: Certificate | undefined
  readonly memory: MessageMemory
  /** Marks the peer as identified, because its first message was accepted. */
  readonly accepted: Effect.Effect<void>
}

/** Marks all input read so far as answered. */
export const forgetRead = ({ connection, memory }: Peer): Effect.Effect<void> =>
  Effect.suspend(() => memory.answered(connection.reader.position()))

/** Reads and discards input until the peer half-closes. */
export const discardInput = ({ connection: { reader }, memory }: Peer) => {
  const discard = Effect.suspend(() => reader.take(reader.buffered().length))
  return memory.giveUp.pipe(
    Effect.andThen(Effect.forever(Effect.andThen(discard, reader.fill))),
    Effect.catchTag("EndOfStream", () => Effect.void)
  )
}

/**
 * Half-closes, then reads until the peer has closed or the time is up. Closing with unread input
 * would reset the connection, and the peer could lose the last answer.
 */
export const linger = Effect.fnUntraced(function* (peer: Peer, timeout: Duration.Input) {
  yield* peer.connection.end
  yield* Effect.timeoutOption(discardInput(peer), timeout)
})
