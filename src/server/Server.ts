/**
 * The server: listens on both ports and runs one fiber per connection. On shutdown it accepts no
 * more connections, each open one commits and answers its current batch, and then the ports close.
 * The store is closed by the code that opened it.
 */

import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Context, Duration, Effect, Layer, Option, Schedule, type Scope } from "effect"
import type { SocketServer } from "effect/socket/SocketServer"
import { logAction } from "../domain/ActionLog.ts"
import { closable, loggedResource } from "../domain/LoggedResource.ts"
import type { CurrentTls } from "./admission/Certificates.ts"
import type { Identity } from "./admission/Identity.ts"
import { type ListenError, listenErrorOf } from "./admission/ListenError.ts"
import type { Memory } from "./admission/MessageMemory.ts"
import type { Places } from "./admission/Places.ts"
import type { Refusals } from "./admission/Refusals.ts"
import { ServerLimits } from "./admission/ServerLimits.ts"
import { Lottery } from "./lottery/Lottery.ts"
import { Reception } from "./Reception.ts"
import type * as Connection from "./session/Connection.ts"
import { BetStore } from "./store/BetStore.ts"

export interface ServerOptions {
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  readonly winnersPort: number
  /** Maximum connections per port that wait in the kernel for `accept`. */
  readonly backlog: number
}

interface ListeningPort {
  readonly name: Connection.Port
  readonly server: SocketServer["Service"]
  readonly connections: Set<Net.Socket>
  readonly close: Effect.Effect<void>
}

/** The listening server. When its scope closes, its connections end first, then its ports close. */
export class Server extends Context.Service<
  Server,
  {
    readonly port: number
    readonly winnersPort: number
    readonly connections: Readonly<Record<Connection.Port, ReadonlySet<Net.Socket>>>
  }
>()("lottery/server/Server") {
  static readonly layer = (
    options: ServerOptions
  ): Layer.Layer<
    Server | Places | Memory | Refusals,
    ListenError,
    Lottery | Identity | CurrentTls
  > => Layer.effect(Server, make(options)).pipe(Layer.provideMerge(Reception.layer))
}

/**
 * Fails if a port is unavailable; leaves both free. Run it before a store is opened, to leave no
 * trace in one.
 */
export const tryPorts = Effect.fn("Server.tryPorts")(function* ({
  port,
  winnersPort,
  ...options
}: ServerOptions): Effect.fn.Return<void, ListenError, Scope.Scope> {
  yield* bind({ ...options, port })
  yield* bind({ ...options, port: winnersPort })
}, Effect.scoped)

/** Waits forever or, with `once`, until every agency has its winners. Fails if the store breaks. */
export const untilDone = Effect.fnUntraced(function* (once: boolean) {
  yield* Server
  const lottery = yield* Lottery
  const store = yield* BetStore
  if (!once) return yield* store.broken
  yield* Effect.raceFirst(lottery.allTold, store.broken)
  yield* logAction("server_done", "success")
})

const make = Effect.fnUntraced(function* (options: ServerOptions) {
  const { connectionsCloseTimeout } = yield* ServerLimits
  const { receive } = yield* Reception
  const bets = yield* listenOn(options, options.port, "bets")
  const winners = yield* listenOn(options, options.winnersPort, "winners")
  const ports = [bets, winners]
  yield* Effect.addFinalizer(() => Effect.forEach(ports, ({ close }) => close, { discard: true }))
  yield* loggedResource(
    "connections",
    Effect.forEach(ports, (listening) =>
      Effect.forkScoped(listening.server.run(() => handle(listening, receive)))
    ),
    connectionsCloseTimeout
  )
  const [port, winnersPort] = [portOf(bets), portOf(winners)]
  yield* logAction("listen", "success", { port, winners_port: winnersPort })
  yield* logAction("accept_connections", "in_progress")
  const connections = { bets: bets.connections, winners: winners.connections }
  return Server.of({ port, winnersPort, connections })
})

const portOf = ({ server }: ListeningPort): number =>
  server.address._tag === "InetAddressV4" || server.address._tag === "InetAddressV6"
    ? server.address.port
    : 0

type Binding = Omit<ServerOptions, "winnersPort"> & Net.ServerOpts

const bind = (options: Binding): Effect.Effect<SocketServer["Service"], ListenError, Scope.Scope> =>
  Effect.mapError(NodeSocketServer.make(options), ({ cause }) => listenErrorOf(options, cause))

const listenOn = Effect.fnUntraced(function* (
  { backlog, host }: ServerOptions,
  port: number,
  name: Connection.Port
): Effect.fn.Return<ListeningPort, ListenError, Scope.Scope> {
  const { keepAliveDelay, lingerTimeout, listenerCloseTimeout } = yield* ServerLimits
  const connections = new Set<Net.Socket>()
  // A port is released when its last connection is gone. Bytes in flight on closing connections get
  // some time, but a peer that does not read must not hold up the shutdown.
  const dropConnections = Effect.addFinalizer(() =>
    Effect.sync(() => connections.size === 0).pipe(
      Effect.repeat({ until: (none) => none, schedule: Schedule.spaced("10 millis") }),
      Effect.timeoutOption(lingerTimeout),
      Effect.map(() => {
        for (const connection of connections) connection.destroy()
      })
    )
  )
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: Duration.toMillis(keepAliveDelay) }
  const options = {
    ...{ host, port, backlog, noDelay: true, ...keepAlive },
    // An agency that half-closes after asking for its winners still receives them.
    allowHalfOpen: true,
    // Nothing is read from a connection before it has a place.
    pauseOnConnect: true,
    // Node reads one chunk and waits until it is consumed; see `Reception`.
    highWaterMark: 0
  }
  const opened = yield* closable(
    `${name}_port`,
    Effect.tap(bind(options), () => dropConnections),
    listenerCloseTimeout
  )
  return { name, server: opened.value, connections, close: opened.close }
})

const handle = (
  { connections, name: port }: ListeningPort,
  receive: Reception["Service"]["receive"]
) =>
  Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (found) => {
    // `run` provides it to each handler, although its type does not say so.
    const net = Option.getOrThrow(found)
    // The connection may already be closed, and `close` is emitted only once.
    if (!net.closed) connections.add(net)
    net.on("close", () => connections.delete(net))
    return receive({ net, port })
  })
