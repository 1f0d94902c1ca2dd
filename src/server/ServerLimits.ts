/** How long the server waits for a peer, each with its reason; a setting, for tests. */
import { Context, type Duration } from "effect"

export interface ServerLimits {
  /** From a connection on the main port to its first byte: nobody holds a place without a word. */
  readonly firstByteTimeout: Duration.Input
  /** From the first byte until it is clear which dialect is spoken. */
  readonly dialectTimeout: Duration.Input
  /** After the last answer, until the peer has read it: a close at once could lose it. */
  readonly lingerTimeout: Duration.Input
  /** At a stop, for connections to finish what they are committing. */
  readonly connectionsCloseTimeout: Duration.Input
  /** At a stop, for a listening port to be given back. */
  readonly listenerCloseTimeout: Duration.Input
}

export const ServerLimits = Context.Reference<ServerLimits>("lottery/server/ServerLimits", {
  defaultValue: () => ({
    firstByteTimeout: "10 seconds",
    dialectTimeout: "10 seconds",
    lingerTimeout: "1 second",
    connectionsCloseTimeout: "5 seconds",
    listenerCloseTimeout: "2 seconds"
  })
})
