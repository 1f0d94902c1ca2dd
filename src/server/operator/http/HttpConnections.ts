/**
 * The open connections of an HTTP server. Connections that come too fast are closed as they arrive,
 * because even a small request may take longer to read than one of an agency.
 */
import type * as Http from "node:http"
import type * as Net from "node:net"
import { Clock, Effect } from "effect"
import { monotonicMillisUnsafe } from "../../../domain/MonotonicTime.ts"

/** Connections that HTTP may have open. More are closed as they arrive. */
export const MAX_CONNECTIONS = 256

/**
 * Connections a second that are served in the long run; as many as may be open can come at once.
 * A board takes five when it is opened and one when it connects again, and a scrape takes one.
 */
export const MAX_PER_SECOND = 30

export interface HttpConnections {
  readonly sockets: ReadonlySet<Net.Socket>
  /** The boards that are open, each by an object of its own. */
  readonly boards: Set<object>
}

/** Tells for each arrival whether it is served. */
export const makeTurnstile = (clock: Clock.Clock) => {
  let free = MAX_CONNECTIONS
  let last = monotonicMillisUnsafe(clock)
  return (): boolean => {
    const now = monotonicMillisUnsafe(clock)
    free = Math.min(MAX_CONNECTIONS, free + ((now - last) * MAX_PER_SECOND) / 1000)
    last = now
    if (free < 1) return false
    free--
    return true
  }
}

export const make = (server: Http.Server): Effect.Effect<HttpConnections> =>
  Effect.map(Clock.Clock, (clock) => {
    const sockets = new Set<Net.Socket>()
    const mayEnter = makeTurnstile(clock)
    server.on("connection", (socket) => {
      if (!mayEnter()) {
        socket.destroy()
        return
      }
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    })
    return { sockets, boards: new Set() }
  })
