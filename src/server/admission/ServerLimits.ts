/**
 * What the server grants a peer and all of them together, each with its unit and reason. How large
 * a message may be is the wire's, and stands in `protocol/Limits.ts`.
 */
import { Context, Duration } from "effect"

export interface ServerLimits {
  /** Connections on both ports together: each costs memory and a descriptor. */
  readonly maxConnections: number
  /**
   * Connections on the main port from one address of which no message was accepted yet. More of
   * them wait for their turn, so that an address cannot keep the others out.
   */
  readonly maxUnidentified: number
  /**
   * Bytes of memory for messages, of all connections together: what comes of them, and answers on
   * their way. Beside it each connection has the 64 KiB that Node may have read of it.
   */
  readonly maxMemoryBytes: number
  /** Silence after which the system asks whether the peer's machine is still there. */
  readonly keepAliveDelay: Duration.Duration
  /** From an accepted connection to the end of its TLS handshake. */
  readonly handshakeTimeout: Duration.Duration
  /** From a connection on the main port to its first byte: nobody holds a place without a word. */
  readonly firstByteTimeout: Duration.Duration
  /** From the first byte until it is clear which dialect is spoken. */
  readonly dialectTimeout: Duration.Duration
  /** From a message's first byte to its last, so that a byte now and then is not enough. */
  readonly messageTimeout: Duration.Duration
  /** From one message of an upload to the next. Who waits for the draw may wait for ever. */
  readonly idleTimeout: Duration.Duration
  /** For a peer to take some of what is written to it. */
  readonly writeTimeout: Duration.Duration
  /** For an agency that was told its winners to close: until then it may not have read them. */
  readonly farewellTimeout: Duration.Duration
  /** After the last answer, until the peer has read it: a close at once could lose it. */
  readonly lingerTimeout: Duration.Duration
  /** At a stop, for connections to finish what they are committing. */
  readonly connectionsCloseTimeout: Duration.Duration
  /** At a stop, for a listening port to be given back. */
  readonly listenerCloseTimeout: Duration.Duration
}

const MIB = 1024 * 1024

export const defaultLimits: ServerLimits = {
  maxConnections: 10_000,
  maxUnidentified: 1024,
  maxMemoryBytes: 256 * MIB,
  keepAliveDelay: Duration.minutes(1),
  handshakeTimeout: Duration.seconds(10),
  firstByteTimeout: Duration.seconds(10),
  dialectTimeout: Duration.seconds(10),
  messageTimeout: Duration.seconds(30),
  idleTimeout: Duration.minutes(5),
  writeTimeout: Duration.seconds(10),
  farewellTimeout: Duration.seconds(30),
  lingerTimeout: Duration.seconds(1),
  connectionsCloseTimeout: Duration.seconds(4),
  listenerCloseTimeout: Duration.millis(1500)
}

export const ServerLimits = Context.Reference<ServerLimits>("lottery/server/ServerLimits", {
  defaultValue: () => defaultLimits
})
