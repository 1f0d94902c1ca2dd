/**
 * The server: listens on both ports, runs a fiber per connection, and stops in order. At a stop
 * nothing new is handed out, each connection finishes the batch that it is committing and answers
 * it, then the listening sockets close; the store is closed by whoever opened it.
 */

import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Data, Effect, Option, Schedule, type Scope } from "effect"
import type { Socket } from "effect/socket/Socket"
import type { SocketServer, SocketServerError } from "effect/socket/SocketServer"
import { logAction } from "../domain/ActionLog.ts"
import { loggedResource } from "../domain/LoggedResource.ts"
import { BetStore } from "./BetStore.ts"
import * as Connection from "./Connection.ts"
import { Lottery } from "./Lottery.ts"
import { ServerLimits } from "./ServerLimits.ts"

export interface ServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly winnersPort: number
  /** How many connections the kernel keeps waiting, on each port. */
  readonly backlog: number
}

/** A port could not be listened on. */
export class ListenError extends Data.TaggedError("ListenError")<{
  readonly host: string
  readonly port: number
  readonly reason: string
}> {
  override get message(): string {
    return `cannot listen on ${this.host}:${this.port}: ${this.reason}`
  }
}

/** A server that listens. */
export interface RunningServer {
  readonly port: number
  readonly winnersPort: number
}

/** Starts the server; it stops when the scope closes. */
export const start = Effect.fn("Server.start")(function* (
  options: ServerOptions
): Effect.fn.Return<RunningServer, ListenError, Lottery | Scope.Scope> {
  const { connectionsCloseTimeout } = yield* ServerLimits
  const connections = new Set<Net.Socket>()
  const bets = yield* listen(options, options.port, "bets", connections)
  const winners = yield* listen(options, options.winnersPort, "winners", connections)
  yield* loggedResource(
    "connections",
    Effect.forEach([bets, winners], ({ server, port }) =>
      Effect.forkScoped(server.run((socket) => handle(socket, port, connections)))
    ),
    connectionsCloseTimeout
  )
  const running = { port: portOf(bets.server), winnersPort: portOf(winners.server) }
  yield* logAction("listen", "success", { port: running.port, winners_port: running.winnersPort })
  yield* logAction("accept_connections", "in_progress")
  return running
})

/** Serves until the store breaks; with `once`, until every agency has been told its winners. */
export const serve = Effect.fn("Server.serve")(function* (
  options: ServerOptions & { readonly once: boolean }
) {
  const lottery = yield* Lottery
  const store = yield* BetStore
  yield* start(options)
  if (!options.once) return yield* store.broken
  yield* Effect.raceFirst(lottery.allTold, store.broken)
  yield* logAction("server_done", "success")
})

const portOf = (server: SocketServer["Service"]): number =>
  server.address._tag === "InetAddressV4" || server.address._tag === "InetAddressV6"
    ? server.address.port
    : 0

const listen = Effect.fnUntraced(function* (
  options: ServerOptions,
  port: number,
  name: Connection.Port,
  connections: ReadonlySet<Net.Socket>
) {
  const { lingerTimeout, listenerCloseTimeout } = yield* ServerLimits
  // A port is given back when its last connection is gone. At a stop all are ending, what was
  // written still on its way; one whose peer does not read is not waited for.
  const dropConnections = Effect.addFinalizer(() =>
    Effect.sync(() => connections.size === 0).pipe(
      Effect.repeat({ until: (none) => none, schedule: Schedule.spaced("10 millis") }),
      Effect.timeoutOption(lingerTimeout),
      Effect.map(() => {
        for (const connection of connections) connection.destroy()
      })
    )
  )
  const server = yield* loggedResource(
    `${name}_port`,
    Effect.tap(
      NodeSocketServer.make({
        host: options.host,
        port,
        backlog: options.backlog,
        // An agency that half-closes after its question still gets its winners.
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true
      }),
      () => dropConnections
    ),
    listenerCloseTimeout
  ).pipe(Effect.mapError((error) => toListenError(options.host, port, error)))
  return { server, port: name }
})

/** The reason that a person needs, which sits in the cause. */
const toListenError = (host: string, port: number, error: SocketServerError): ListenError => {
  const cause = "cause" in error.reason ? error.reason.cause : undefined
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  const reason =
    code === "EADDRINUSE"
      ? "the port is in use"
      : cause instanceof Error
        ? cause.message
        : error.message
  return new ListenError({ host, port, reason })
}

const handle = Effect.fnUntraced(function* (
  socket: Socket,
  port: Connection.Port,
  connections: Set<Net.Socket>
) {
  // `run` gives it to each handler, which its type does not say.
  const net = Option.getOrThrow(yield* Effect.serviceOption(NodeSocket.NetSocket))
  connections.add(net)
  net.once("close", () => connections.delete(net))
  const ip = (net.remoteAddress ?? "unknown").replace(/^::ffff:/, "")
  yield* logAction("accept_connections", "success", { ip })
  yield* Connection.serve(socket, net, ip, port)
}, Effect.scoped)
