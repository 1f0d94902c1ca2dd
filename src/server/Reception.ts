/**
 * Accepts connections. Each one takes a place, waits for its turn, completes the handshake if the
 * server uses TLS, and is served. Closing the connection frees its place.
 */
import type * as Net from "node:net"
import { Context, Duration, Effect, Layer, RcMap, Scope } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import { CurrentTls, type ServerTls } from "./admission/Certificates.ts"
import { Handshakes } from "./admission/Handshakes.ts"
import type { Identity } from "./admission/Identity.ts"
import { Memory, MessageMemory } from "./admission/MessageMemory.ts"
import { EVICTED, type Place, Places, sourceOf } from "./admission/Places.ts"
import { Refusals } from "./admission/Refusals.ts"
import { ServerLimits } from "./admission/ServerLimits.ts"
import { within } from "./admission/Timeouts.ts"
import * as TlsHello from "./admission/TlsHello.ts"
import { HandshakeFailed, type NotTls } from "./admission/TlsHello.ts"
import type { Lottery } from "./lottery/Lottery.ts"
import * as Connection from "./session/Connection.ts"
import * as Pending from "./session/Pending.ts"

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
    ) => Effect.Effect<void, never, Lottery | Identity | CurrentTls | Refusals>
  }
>()("lottery/server/Reception") {
  static readonly layer = Layer.effect(
    Reception,
    Effect.suspend(() => make)
  ).pipe(
    Layer.provide(Handshakes.layer),
    Layer.provideMerge(Layer.mergeAll(Places.layer, Memory.layer, Refusals.layer))
  )
}

/** Runs the TLS handshake. It queues for a place once the peer's first byte has arrived. */
const runHandshake = Effect.fnUntraced(function* (
  net: Net.Socket,
  address: string,
  tls: ServerTls
) {
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

/** Returns the plain connection, or the TLS socket over it. */
const secured = Effect.fnUntraced(function* (net: Net.Socket, address: string) {
  const tls = yield* CurrentTls
  const { certificate, link } =
    tls === undefined
      ? { link: net, certificate: undefined }
      : yield* runHandshake(net, address, tls)
  yield* Scope.addFinalizerExit(yield* Effect.scope, () => Effect.sync(() => link.destroySoon()))
  return { link, certificate }
})

/** Bytes that Node may read ahead from an identified peer. */
const READ_AHEAD_BYTES = 65_536

/**
 * Lets Node read ahead; otherwise a message in one of the course's dialects costs the server 10%
 * more. `read` raises the high-water mark if it is asked for more. The buffer is empty, so the call
 * consumes nothing. On a stream that has ended it would consume the rest.
 */
const readAhead = (link: Net.Socket): void => {
  const { readableHighWaterMark, readableLength } = link
  if (readableHighWaterMark < READ_AHEAD_BYTES && readableLength === 0) link.read(READ_AHEAD_BYTES)
}

/** Waits until a connection is closed, and destroys it if that takes too long. */
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
 * Answers a peer that did not use TLS, then reads until it closes: a reset could lose the answer.
 */
const rejectPlaintext = (net: Net.Socket, { answer }: NotTls, timeout: Duration.Duration) =>
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
  const refusals = yield* Refusals
  /** One share of the memory for each address with open connections. */
  const shares = yield* RcMap.make({ lookup: (_: string) => Effect.sync(memory.makeShare) })

  const serveInPlace = Effect.fnUntraced(function* (
    { net, port }: Arrival,
    ip: string,
    { markIdentified }: Place
  ) {
    const address = sourceOf(ip)
    const { certificate, link } = yield* Effect.provideService(
      secured(net, address),
      Handshakes,
      handshakes
    )
    const share = yield* RcMap.get(shares, address)
    const messages = new MessageMemory(memory, address, share)
    const accepted = Effect.sync(() => {
      markIdentified()
      messages.accept()
      readAhead(link)
    })
    return yield* Connection.serve(link, port, {
      ip,
      certificate,
      memory: messages,
      accepted
    })
  })

  const noteRefused = (ip: string, reason: string, error: string) =>
    Effect.andThen(
      refusals.note({ reason }),
      logAction("accept_connections", "fail", { ip, error })
    )
  const refuse = (net: Net.Socket, ip: string, reason: string, error: string) => {
    net.destroy()
    return Effect.as(noteRefused(ip, reason, error), undefined)
  }

  const begin = (arrival: Arrival) => {
    const { net, port } = arrival
    const ip = (net.remoteAddress ?? "unknown").replace(/^::ffff:/, "")
    let isEvicted = false
    const evict = () => {
      isEvicted = true
      net.destroy()
    }
    const serve = Effect.gen(function* () {
      const place = yield* places.take({
        address: sourceOf(ip),
        counts: port === "bets",
        evict
      })
      yield* place.turn
      // The connection was evicted while it waited for its turn.
      if (net.destroyed) return undefined
      yield* logAction("accept_connections", "success", { ip })
      return yield* Pending.scoped(serveInPlace(arrival, ip, place))
    })
    return Pending.around(serve, (step) =>
      step.pipe(
        Effect.catchTag(["NoPlace", "HandshakeFailed", "HandshakeEvicted"], ({ _tag, message }) =>
          refuse(net, ip, _tag, message)
        ),
        Effect.catchTag("NotTls", (refusal) =>
          noteRefused(ip, refusal._tag, refusal.message).pipe(
            Effect.andThen(rejectPlaintext(net, refusal, lingerTimeout)),
            Effect.as(undefined)
          )
        ),
        Effect.tap((pending) => {
          if (pending !== undefined) return Effect.void
          const evicted = isEvicted ? refuse(net, ip, "Evicted", EVICTED) : Effect.void
          return Effect.andThen(evicted, awaitClose(net, writeTimeout))
        })
      )
    )
  }

  return Reception.of({
    receive: (arrival) => Effect.scoped(Pending.run(Effect.suspend(() => begin(arrival))))
  })
})
