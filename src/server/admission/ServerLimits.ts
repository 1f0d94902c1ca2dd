/** Limits on what peers may cost the server. Message sizes are limited in `protocol/Limits.ts`. */
import { Context, Duration } from "effect"

export interface ServerLimits {
  /** Connections on both ports together. Each costs memory and a file descriptor. */
  readonly maxConnections: number
  /**
   * Connections per address on the main port that have no accepted message yet. Others wait,
   * so that one address cannot keep the others out.
   */
  readonly maxUnidentified: number
  /**
   * Bytes of memory for the messages of all connections together: incoming ones and answers in
   * flight. In addition, Node may have read 64 KiB per connection.
   */
  readonly maxMemoryBytes: number
  /** Silence after which the operating system probes whether the peer's machine is still there. */
  readonly keepAliveDelay: Duration.Duration
  /** For the first byte of a TLS handshake, and again for the handshake once it has a place. */
  readonly handshakeTimeout: Duration.Duration
  /** For the first byte on the main port, so that no silent peer keeps a place. */
  readonly firstByteTimeout: Duration.Duration
  /** From the first byte until the server has detected the dialect. */
  readonly dialectTimeout: Duration.Duration
  /** From a message's first byte to its last. A byte now and then does not extend it. */
  readonly messageTimeout: Duration.Duration
  /** From one message of an upload to the next. The wait for the draw has no limit. */
  readonly idleTimeout: Duration.Duration
  /** For a peer to read 64 KiB of what is written to it. */
  readonly writeTimeout: Duration.Duration
  /** For an agency to close after its winners were sent. Until then it may not have read them. */
  readonly farewellTimeout: Duration.Duration
  /** For a peer to read the last answer, which an immediate close could lose. */
  readonly lingerTimeout: Duration.Duration
  /** On shutdown, for connections to finish what they are committing. */
  readonly connectionsCloseTimeout: Duration.Duration
  /** On shutdown, for a listening port to be released. */
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
