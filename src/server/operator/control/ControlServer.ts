/**
 * Answers the commands of operators on the control socket of the store. A user who can connect can
 * also write the store, so the limits are for programs that misbehave.
 */
import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Effect, Layer, Option, References } from "effect"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Socket from "effect/socket/Socket"
import { SocketServer } from "effect/socket/SocketServer"
import { Lottery } from "../../lottery/Lottery.ts"
import { BetStore } from "../../store/BetStore.ts"
import { MAX_LISTED_AGENCIES } from "../DrawStanding.ts"
import * as ServerStanding from "../ServerStanding.ts"
import { Served } from "./Control.ts"
import * as ControlActs from "./ControlActs.ts"
import { ControlSocket } from "./ControlSocket.ts"

/** A new connection takes the place of the oldest one, whose command can ask again. */
const MAX_CONNECTIONS = 16
/** Maximum requests that are executed or answered at once. A standing takes some megabytes. */
const MAX_CONCURRENT = MAX_CONNECTIONS
/** A command that waits for an answer sends something every five seconds. */
const SILENCE_TIMEOUT = "30 seconds"
/** How long an answer waits for a peer that does not read. */
const READ_TIMEOUT = "1 second"
/** Maximum bytes that a connection may send; an act takes some hundred. */
const MAX_RECEIVED_BYTES = 1024 * 1024

const CLOSED = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })

/** Ends a connection that is silent, sends too much or does not read what is sent to it. */
const bounded = (socket: Socket.Socket, net: Net.Socket): Socket.Socket =>
  Socket.make({
    writer: Effect.map(socket.writer, ({ write, writeAll }) => {
      const giveUp = Effect.delay(
        Effect.sync(() => {
          net.destroy()
        }),
        READ_TIMEOUT
      )
      // An act answers without interruption, and so a stop of the server waits for this.
      return {
        write: (chunk) => Effect.raceFirst(write(chunk), Effect.interruptible(giveUp)),
        writeAll
      }
    }),
    reader: Effect.map(socket.reader, (reader) => {
      let received = 0
      const pull = Effect.timeoutOrElse(reader.pull, {
        duration: SILENCE_TIMEOUT,
        orElse: () => Effect.fail(CLOSED)
      }).pipe(
        Effect.filterOrFail(
          (chunks) => {
            for (const { length } of chunks) received += length
            return received <= MAX_RECEIVED_BYTES
          },
          () => CLOSED
        ),
        // A reset is no failure of the server.
        Effect.mapError(() => CLOSED)
      )
      return { ...reader, pull }
    })
  })

const limited = ({ address, run }: SocketServer["Service"]): SocketServer["Service"] => {
  /** The oldest is first. */
  const connections = new Set<Net.Socket>()
  const enter = (net: Net.Socket) => {
    const [oldest] = connections
    if (oldest !== undefined && connections.size >= MAX_CONNECTIONS) leave(oldest)
    connections.add(net)
  }
  // A peer that does not read must not hold up the shutdown.
  const leave = (net: Net.Socket) => {
    connections.delete(net)
    net.destroy()
  }
  return SocketServer.of({
    address,
    run: (handler) =>
      run(
        Effect.fnUntraced(function* (socket) {
          // `run` provides it to each handler, although its type does not say so.
          const net = Option.getOrThrow(yield* Effect.serviceOption(NodeSocket.NetSocket))
          enter(net)
          // Each answer that waits for its peer adds listeners.
          net.setMaxListeners(0)
          yield* Effect.ensuring(
            handler(bounded(socket, net)),
            Effect.sync(() => leave(net))
          )
        })
      )
  })
}

const layerHandlers = Served.toLayer(
  Effect.gen(function* () {
    const { draw, lookAgain } = yield* Lottery
    const standing = Effect.orElseSucceed(yield* ServerStanding.make(false), () => null)
    const acts = ControlActs.make({
      draw: draw.id,
      store: yield* BetStore,
      log: Effect.logWarning,
      // Before the answer, after which another book may arrive at once.
      changed: lookAgain
    })
    const isBounded = draw.agencies.length <= MAX_LISTED_AGENCIES
    return Served.of({
      ...acts,
      Standing: (asked) => (asked.draw === draw.id && isBounded ? standing : Effect.succeed(null))
    })
  })
)

/** Serves the control socket, if there is one, until the scope closes. */
export const layer: Layer.Layer<never, never, ControlSocket | BetStore | Lottery> = Layer.unwrap(
  Effect.map(
    ControlSocket,
    Option.match({
      onNone: () => Layer.empty,
      onSome: (socket) =>
        RpcServer.layer(Served, { concurrency: MAX_CONCURRENT }).pipe(
          Layer.provide(layerHandlers),
          Layer.provide(RpcServer.layerProtocolSocketServer),
          Layer.provide(RpcSerialization.layerNdjson),
          Layer.provide(Layer.succeed(SocketServer, limited(socket))),
          // What a peer sends must not fill the log.
          Layer.provide(Layer.succeed(References.UnhandledLogLevel, "Debug"))
        )
    })
  )
)
