/** The open connections of an HTTP server. */
import type * as Http from "node:http"
import type * as Net from "node:net"

/** Connections that HTTP may have open. More are closed as they arrive. */
export const MAX_CONNECTIONS = 512

export interface HttpConnections {
  readonly sockets: ReadonlySet<Net.Socket>
  /** The boards that are open, each by an object of its own. */
  readonly boards: Set<object>
}

export const make = (server: Http.Server): HttpConnections => {
  const sockets = new Set<Net.Socket>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  return { sockets, boards: new Set() }
}
