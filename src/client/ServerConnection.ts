/** The client's side of a connection: dialling, and how the server can let an agency down. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Data, Effect, type Scope } from "effect"
import { loggedResource } from "../domain/LoggedResource.ts"
import type { EndOfStream } from "../protocol/ByteReader.ts"
import * as Peer from "../protocol/PeerConnection.ts"
import { ConnectionLost, type PeerConnection } from "../protocol/PeerConnection.ts"

export interface ServerAddress {
  readonly host: string
  readonly port: number
}

/** There is no server at the address, or none that answers. */
export class Unreachable extends Data.TaggedError("Unreachable")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    const { host, port } = this.server
    return `cannot reach ${host}:${port}: ${this.reason}`
  }
}

/** The server refused what was sent, and said why where the dialect can. */
export class Refused extends Data.TaggedError("Refused")<{ readonly reason: string }> {
  override get message(): string {
    return `the server refused: ${this.reason}`
  }
}

/** How long a server may take to accept a connection. */
const OPEN_TIMEOUT = "10 seconds"
const CLOSE_TIMEOUT = "1 second"

/** Connects; closes with the scope. */
export const connect = (
  server: ServerAddress
): Effect.Effect<PeerConnection, Unreachable, Scope.Scope> =>
  loggedResource(
    "connection",
    Effect.flatMap(
      NodeSocket.makeNet({
        host: server.host,
        port: server.port,
        noDelay: true,
        keepAlive: true,
        openTimeout: OPEN_TIMEOUT
      }),
      Peer.make
    ),
    CLOSE_TIMEOUT
  ).pipe(Effect.mapError(({ reason }) => new Unreachable({ server, reason })))

/** The end of the stream where an answer should come. */
export const toConnectionLost = (end: EndOfStream): ConnectionLost =>
  new ConnectionLost({
    reason:
      end.pending === 0
        ? "the server closed it without an answer"
        : `the server closed it after ${end.pending} bytes of an answer`
  })
