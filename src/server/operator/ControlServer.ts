/**
 * Answers the commands of operators on the control socket of the store. Who can connect may write
 * the store, so the limits are for programs that misbehave.
 */
import { Deferred, Effect, Exit, Layer, Option, References } from "effect"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Socket from "effect/socket/Socket"
import { SocketServer } from "effect/socket/SocketServer"
import type { DrawId } from "../../domain/Draw.ts"
import { Lottery } from "../lottery/Lottery.ts"
import { BetStore } from "../store/BetStore.ts"
import { Control } from "./Control.ts"
import * as ControlActs from "./ControlActs.ts"
import { ControlSocket } from "./ControlSocket.ts"

/** A new connection takes the place of the oldest one, whose command can ask again. */
const MAX_CONNECTIONS = 16
/** A command that waits for an answer sends something every five seconds. */
const SILENCE_TIMEOUT = "30 seconds"
/** Maximum bytes that a connection may send; an act takes some hundred. */
const MAX_RECEIVED_BYTES = 1024 * 1024

const CLOSED = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })

/** Ends a connection that is silent or sends too much, as if its peer had closed it. */
const bounded = (socket: Socket.Socket): Socket.Socket =>
  Socket.make({
    writer: socket.writer,
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
  /** Completed to end a connection; the oldest is first. */
  const connections = new Set<Deferred.Deferred<void>>()
  return SocketServer.of({
    address,
    run: (handler) =>
      run((socket) =>
        Effect.suspend(() => {
          const [oldest] = connections
          if (oldest !== undefined && connections.size >= MAX_CONNECTIONS) {
            connections.delete(oldest)
            Deferred.doneUnsafe(oldest, Exit.void)
          }
          const ended = Deferred.makeUnsafe<void>()
          connections.add(ended)
          return Effect.raceFirst(handler(bounded(socket)), Deferred.await(ended)).pipe(
            Effect.ensuring(Effect.sync(() => connections.delete(ended)))
          )
        })
      )
  })
}

const layerActs = (draw: DrawId) =>
  Control.toLayer(
    Effect.gen(function* () {
      const store = yield* BetStore
      const { lookAgain } = yield* Lottery
      return ControlActs.make({
        draw,
        store,
        log: Effect.logWarning,
        // Before the answer, after which another book may arrive at once.
        changed: lookAgain
      })
    })
  )

/** Serves the control socket, if there is one, until the scope closes. */
export const layer = (
  draw: DrawId
): Layer.Layer<never, never, ControlSocket | BetStore | Lottery> =>
  Layer.unwrap(
    Effect.map(
      ControlSocket,
      Option.match({
        onNone: () => Layer.empty,
        onSome: (socket) =>
          RpcServer.layer(Control).pipe(
            Layer.provide(layerActs(draw)),
            Layer.provide(RpcServer.layerProtocolSocketServer),
            Layer.provide(RpcSerialization.layerNdjson),
            Layer.provide(Layer.succeed(SocketServer, limited(socket))),
            // What a peer sends must not fill the log.
            Layer.provide(Layer.succeed(References.UnhandledLogLevel, "Debug"))
          )
      })
    )
  )
