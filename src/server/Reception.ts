/**
 * Lets connections in: each takes a place, waits for its turn, shakes hands where TLS is spoken,
 * and is served; its place is free again once it is closed.
 */
import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Duration, Effect, type Scope } from "effect"
import type { Socket } from "effect/socket/Socket"
import { logAction } from "../domain/ActionLog.ts"
import { CurrentTls, type ServerTls } from "./admission/Certificates.ts"
import { inletOf } from "./admission/Gate.ts"
import {
  type Handshakes,
  MAX_HANDSHAKES,
  MAX_WAITING,
  makeHandshakes
} from "./admission/Handshakes.ts"
import { HeldBytes, makeMemoryBounds } from "./admission/HeldBytes.ts"
import { within } from "./admission/Patience.ts"
import { GAVE_WAY, makePlaces, type Place, sourceOf } from "./admission/Places.ts"
import { ServerLimits } from "./admission/ServerLimits.ts"
import * as TlsHello from "./admission/TlsHello.ts"
import { HandshakeFailed, type NotTls } from "./admission/TlsHello.ts"
import type { Lottery } from "./lottery/Lottery.ts"
import * as Connection from "./session/Connection.ts"

/** A connection that was accepted, and of which nothing was read. */
export interface Arrival {
  readonly socket: Socket
  readonly net: Net.Socket
  readonly port: Connection.Port
}

/** Serves a connection until it is closed. */
export type Receive = (arrival: Arrival) => Effect.Effect<void, never, Lottery>

/** Shakes hands once the handshake has a place, which it claims with its first byte. */
const shakeHands = Effect.fnUntraced(function* (
  net: Net.Socket,
  address: string,
  tls: ServerTls,
  handshakes: Handshakes
) {
  const { handshakeTimeout } = yield* ServerLimits
  const reason = `it took more than ${Duration.format(handshakeTimeout)}`
  const inTime = <A, E, R>(step: Effect.Effect<A, E, R>) =>
    within(handshakeTimeout, step, Effect.fail(new HandshakeFailed({ reason })))
  const hello = yield* TlsHello.read(net)
  yield* inTime(hello.begun)
  const handshake = Effect.suspend(() => {
    hello.giveBack()
    return inTime(tls.handshake(net))
  })
  return yield* Effect.raceFirst(handshakes.inPlace(address, handshake), hello.lost)
}, Effect.scoped)

/** The connection, or what TLS makes of it. */
const secured = Effect.fnUntraced(function* (
  { net, socket }: Arrival,
  address: string,
  handshakes: Handshakes
) {
  const tls = yield* CurrentTls
  if (tls === undefined) return { socket, link: net, certificate: undefined }
  const { certificate, link } = yield* shakeHands(net, address, tls, handshakes)
  const closing = Effect.acquireRelease(Effect.succeed(link), () =>
    Effect.sync(() => link.destroySoon())
  )
  return { socket: yield* NodeSocket.fromDuplex(closing), link, certificate }
})

/** Waits until a connection is closed; where its peer takes too long for that, breaks it off. */
const awaitClose = Effect.fnUntraced(function* (net: Net.Socket, timeout: Duration.Duration) {
  const closed = Effect.callback<void>((resume) => {
    const onClose = () => resume(Effect.void)
    if (net.closed) return onClose()
    net.once("close", onClose)
    return Effect.sync(() => net.off("close", onClose))
  })
  yield* Effect.timeoutOption(closed, timeout)
  net.destroy()
})

/**
 * Says to a peer that spoke no TLS that this is TLS, and reads on until it has closed: a reset
 * could lose the answer.
 */
const partInPlain = (net: Net.Socket, { answer }: NotTls, timeout: Duration.Duration) =>
  Effect.suspend(() => {
    net.end(answer)
    net.resume()
    return awaitClose(net, timeout)
  })

/** Begins to receive connections, which share the places and the memory. */
export const make: Effect.Effect<Receive, never, Scope.Scope> = Effect.gen(function* () {
  const limits = yield* ServerLimits
  const memory = makeMemoryBounds(limits.maxMemoryBytes)
  const places = makePlaces(limits, memory.makeShare)
  const handshakes = yield* makeHandshakes(MAX_HANDSHAKES, MAX_WAITING)

  const serveInPlace = Effect.fnUntraced(function* (arrival: Arrival, ip: string, place: Place) {
    const { certificate, link, socket } = yield* secured(arrival, sourceOf(ip), handshakes)
    const ahead = { ...inletOf(link), bytes: () => link.readableLength }
    const held = new HeldBytes(memory, place.share, ahead)
    link.on("readable", held.countAhead)
    const { known } = place
    yield* Connection.serve(socket, link, { ip, port: arrival.port, certificate, held, known })
  }, Effect.scoped)

  return Effect.fnUntraced(function* (arrival: Arrival) {
    const { net, port } = arrival
    const address = (net.remoteAddress ?? "unknown").replace(/^::ffff:/, "")
    let hasGivenWay = false
    const giveWay = () => {
      hasGivenWay = true
      net.destroy()
    }
    const logRefused = (error: string) =>
      logAction("accept_connections", "fail", { ip: address, error })
    const refuse = (error: string) => {
      net.destroy()
      return logRefused(error)
    }
    const serve = Effect.gen(function* () {
      const place = yield* places.take({
        address: sourceOf(address),
        counts: port === "bets",
        giveWay
      })
      yield* place.turn
      // It gave way meanwhile.
      if (net.destroyed) return
      yield* logAction("accept_connections", "success", { ip: address })
      yield* serveInPlace(arrival, address, place)
    })
    yield* serve.pipe(
      Effect.catchTag(["NoPlace", "HandshakeFailed", "HandshakeGaveWay"], ({ message }) =>
        refuse(message)
      ),
      Effect.catchTag("NotTls", (refusal) =>
        Effect.andThen(logRefused(refusal.message), partInPlain(net, refusal, limits.lingerTimeout))
      )
    )
    if (hasGivenWay) yield* refuse(GAVE_WAY)
    yield* awaitClose(net, limits.writeTimeout)
  }, Effect.scoped)
})
