/**
 * The places for TLS handshakes, each of which may take much memory. A free place goes to the
 * waiting address with the fewest, and to those that have the same in turn. Where none is free, the
 * address with the most gives up its oldest handshake for one that has fewer by at least two, and
 * the oldest of all, once it has stalled, goes for an address that has none: no address is kept out
 * by handshakes that never end.
 */
import { Clock, Context, Data, Deferred, Effect, Latch, Layer, type Scope } from "effect"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import { MAX_RECORD_BYTES } from "../../protocol/TlsRecord.ts"
import { Crowd, type FromAddress } from "./Crowd.ts"

/** The most that all handshakes hold, in bytes, with those that wait for a place. */
export const HANDSHAKES_BYTES = 64 * 1024 * 1024
/** The most that one holds: a first message of 128 KiB that never ends, and its copy. */
const HANDSHAKE_BYTES = 256 * 1024

/** Handshakes at a time. */
export const MAX_HANDSHAKES = 192
/** Those that wait for a place, which keep what came of them: a record at most. */
export const MAX_WAITING = Math.floor(
  (HANDSHAKES_BYTES - MAX_HANDSHAKES * HANDSHAKE_BYTES) / MAX_RECORD_BYTES
)

/**
 * Handshakes that are begun in a round. The server takes up one new connection between two looks at
 * what has come, and each handshake costs it a good part of a millisecond: after a round it leaves
 * as much time for others, or peers that only begin handshakes would keep all else waiting.
 */
export const BEGUN_AT_A_TIME = 8

/** A handshake takes two round trips. One that takes longer may go for another address. */
const STALLED_MILLIS = 1000
/** How often those that stall are looked for while others wait. */
const LOOK_MILLIS = STALLED_MILLIS / 10

/** A handshake, or one that was to come, had to go. */
export class HandshakeGaveWay extends Data.TaggedError("HandshakeGaveWay")<{
  readonly places: string
}> {
  override get message(): string {
    return `all ${this.places} are taken: it gave way to another address, which has fewer`
  }
}

interface Guest extends FromAddress {
  readonly turn: Deferred.Deferred<void>
  readonly gaveWay: Deferred.Deferred<never, HandshakeGaveWay>
  /** When it began (monotonic). */
  startMillis: number
}

export class Handshakes extends Context.Service<
  Handshakes,
  {
    /**
     * Does something in a place, once an address has one; fails once the place, or the wait for it,
     * was given up for another address.
     */
    readonly inPlace: <A, E, R>(
      address: string,
      use: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | HandshakeGaveWay, R>
  }
>()("lottery/server/Handshakes") {
  static readonly layer = Layer.effect(
    Handshakes,
    Effect.suspend(() => makeHandshakes(MAX_HANDSHAKES, MAX_WAITING))
  )
}

/** Makes `places`, for which `maxWaiting` may wait. */
export const makeHandshakes = Effect.fnUntraced(function* (
  places: number,
  maxWaiting: number
): Effect.fn.Return<Handshakes["Service"], never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const shaking = new Crowd<Guest>()
  const waiting = new Crowd<Guest>()
  /** Open while there may be one to begin. */
  const due = Latch.makeUnsafe()

  const dismiss = (crowd: Crowd<Guest>, guest: Guest, what: string): void => {
    crowd.delete(guest)
    const error = new HandshakeGaveWay({ places: what })
    Deferred.doneUnsafe(guest.gaveWay, Effect.fail(error))
  }

  /** The oldest of all, if it has stalled. */
  const stalled = (nowMillis: number): Guest | undefined => {
    const oldest = Array.from(shaking.addresses.values(), ([first]) => first!).reduce(
      (one, other) => (other.startMillis < one.startMillis ? other : one)
    )
    return nowMillis - oldest.startMillis < STALLED_MILLIS ? undefined : oldest
  }

  const hasRoomFor = ({ address }: Guest, nowMillis: number): boolean => {
    if (shaking.size < places) return true
    const own = shaking.countOf(address)
    const [ofMost] = shaking.mostOver(own + 1)
    const oldest = ofMost ?? (own === 0 ? stalled(nowMillis) : undefined)
    if (oldest === undefined) return false
    dismiss(shaking, oldest, `${places} places for handshakes`)
    return true
  }

  const beginSome = (nowMillis: number): void => {
    for (let begun = 0; begun < BEGUN_AT_A_TIME; begun++) {
      const next = waiting.firstOfFewest(shaking)
      if (next === undefined || !hasRoomFor(next, nowMillis)) return void due.closeUnsafe()
      waiting.delete(next)
      next.startMillis = nowMillis
      shaking.add(next)
      Deferred.doneUnsafe(next.turn, Effect.void)
    }
  }

  const beginInRounds = Effect.gen(function* () {
    yield* waiting.size === 0 ? due.await : Effect.timeoutOption(due.await, LOOK_MILLIS)
    // Rounds follow each other until one finds none to begin: all may have stalled meanwhile.
    due.openUnsafe()
    const start = monotonicMillisUnsafe(clock)
    beginSome(start)
    // A timer waits until what they have to do first is done.
    yield* Effect.sleep("1 millis")
    yield* Effect.sleep(monotonicMillisUnsafe(clock) - start)
  })
  yield* Effect.forkScoped(Effect.forever(beginInRounds))

  const enter = (guest: Guest): void => {
    waiting.add(guest)
    const last = waiting.size > maxWaiting ? waiting.mostOver(0).at(-1) : undefined
    if (last !== undefined) dismiss(waiting, last, `${maxWaiting} places to wait for a handshake`)
    due.openUnsafe()
  }

  const leave = (guest: Guest): void => {
    if (!waiting.delete(guest) && shaking.delete(guest)) due.openUnsafe()
  }

  return {
    inPlace: (address, use) =>
      Effect.suspend(() => {
        const guest: Guest = {
          address,
          turn: Deferred.makeUnsafe(),
          gaveWay: Deferred.makeUnsafe(),
          startMillis: 0
        }
        enter(guest)
        return Effect.raceFirst(
          Effect.andThen(Deferred.await(guest.turn), use),
          Deferred.await(guest.gaveWay)
        ).pipe(Effect.ensuring(Effect.sync(() => leave(guest))))
      })
  }
})
