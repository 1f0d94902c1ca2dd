/**
 * Lets connections in: each takes a place, waits for its turn, shakes hands if TLS is spoken, and
 * is served; its place is free again once it is closed.
 */
import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Context, Duration, Effect, Layer, RcMap } from "effect"
import { SocketCloseError, SocketError } from "effect/socket/Socket"
import { logAction } from "../domain/ActionLog.ts"
import { CurrentTls, type ServerTls } from "./admission/Certificates.ts"
import { Handshakes } from "./admission/Handshakes.ts"
import type { Identity } from "./admission/Identity.ts"
import { Memory, MessageMemory } from "./admission/MessageMemory.ts"
import { GAVE_WAY, type Place, Places, sourceOf } from "./admission/Places.ts"
import { ServerLimits } from "./admission/ServerLimits.ts"
import { within } from "./admission/Timeouts.ts"
import * as TlsHello from "./admission/TlsHello.ts"
import { HandshakeFailed, type NotTls } from "./admission/TlsHello.ts"
import type { Lottery } from "./lottery/Lottery.ts"
import * as Connection from "./session/Connection.ts"

/** A connection that was accepted, and of which nothing was read. */
interface Arrival {
  readonly net: Net.Socket
  readonly port: Connection.Port
}

export class Reception extends Context.Service<
  Reception,
  {
    /** Serves a connection until it is closed. */
    readonly receive: (
      arrival: Arrival
    ) => Effect.Effect<void, never, Lottery | Identity | CurrentTls>
  }
>()("lottery/server/Reception") {
  static readonly layer = Layer.effect(
    Reception,
    Effect.suspend(() => make)
  ).pipe(Layer.provide([Places.layer, Handshakes.layer, Memory.layer]))
}

/** Shakes hands once the handshake has a place, which it claims with its first byte. */
const shakeHands = Effect.fnUntraced(function* (net: Net.Socket, address: string, tls: ServerTls) {
  const { handshakeTimeout } = yield* ServerLimits
  const handshakes = yield* Handshakes
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
const secured = Effect.fnUntraced(function* (net: Net.Socket, address: string) {
  const tls = yield* CurrentTls
  const { certificate, link } =
    tls === undefined ? { link: net, certificate: undefined } : yield* shakeHands(net, address, tls)
  const open = Effect.suspend(() =>
    // One that is closed says so no more.
    link.destroyed
      ? Effect.fail(new SocketError({ reason: new SocketCloseError({ code: 1000 }) }))
      : Effect.succeed(link)
  )
  const closing = Effect.acquireRelease(open, () => Effect.sync(() => link.destroySoon()))
  // A chunk at a time: asking for a second one would have Node read it ahead.
  return { socket: yield* NodeSocket.fromDuplex(closing, { chunkSize: 1 }), link, certificate }
})

/** Bytes that Node reads ahead of a peer that is known. */
const READ_AHEAD_BYTES = 65_536

/**
 * Lets Node read ahead, without which a message of the course's dialects costs the server a tenth
 * more. `read` with more bytes than Node may read ahead raises that bound. It takes nothing, as
 * nothing has come; of a stream that has ended it would take what is there.
 */
const readAhead = (link: Net.Socket): void => {
  const { readableHighWaterMark, readableLength } = link
  if (readableHighWaterMark < READ_AHEAD_BYTES && readableLength === 0) link.read(READ_AHEAD_BYTES)
}

/** Waits until a connection is closed; breaks it off if its peer takes too long for that. */
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

const make = Effect.gen(function* () {
  const { lingerTimeout, writeTimeout } = yield* ServerLimits
  const memory = yield* Memory
  const places = yield* Places
  const handshakes = yield* Handshakes
  /** The shares of the addresses from which connections are open. */
  const shares = yield* RcMap.make({ lookup: (_: string) => Effect.sync(memory.makeShare) })

  const serveInPlace = Effect.fnUntraced(function* (
    { net, port }: Arrival,
    ip: string,
    { known }: Place
  ) {
    const address = sourceOf(ip)
    const { certificate, link, socket } = yield* secured(net, address)
    const share = yield* RcMap.get(shares, address)
    const messages = new MessageMemory(memory, address, share)
    const accepted = Effect.sync(() => {
      known()
      messages.accept()
      readAhead(link)
    })
    yield* Connection.serve(socket, link, port, {
      ip,
      certificate,
      memory: messages,
      accepted
    })
  }, Effect.scoped)

  const receive = Effect.fnUntraced(function* (arrival: Arrival) {
    const { net, port } = arrival
    const ip = (net.remoteAddress ?? "unknown").replace(/^::ffff:/, "")
    let hasGivenWay = false
    const giveWay = () => {
      hasGivenWay = true
      net.destroy()
    }
    const logRefused = (error: string) => logAction("accept_connections", "fail", { ip, error })
    const refuse = (error: string) => {
      net.destroy()
      return logRefused(error)
    }
    const serve = Effect.gen(function* () {
      const place = yield* places.take({
        address: sourceOf(ip),
        counts: port === "bets",
        giveWay
      })
      yield* place.turn
      // It gave way meanwhile.
      if (net.destroyed) return
      yield* logAction("accept_connections", "success", { ip })
      yield* serveInPlace(arrival, ip, place)
    })
    yield* serve.pipe(
      Effect.catchTag(["NoPlace", "HandshakeFailed", "HandshakeGaveWay"], ({ message }) =>
        refuse(message)
      ),
      Effect.catchTag("NotTls", (refusal) =>
        Effect.andThen(logRefused(refusal.message), partInPlain(net, refusal, lingerTimeout))
      )
    )
    if (hasGivenWay) yield* refuse(GAVE_WAY)
    yield* awaitClose(net, writeTimeout)
  }, Effect.scoped)

  return Reception.of({
    receive: (arrival) => Effect.provideService(receive(arrival), Handshakes, handshakes)
  })
})
