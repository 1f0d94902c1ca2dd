/**
 * Limits concurrent TLS handshakes, because each may take much memory. A free place goes to the
 * waiting address with the fewest handshakes; on a tie, addresses take turns. If no place is free,
 * the address with the most handshakes loses its oldest one to an address with at least two fewer.
 * An address without any may also replace the oldest handshake of all if it has stalled, so that
 * handshakes that never end cannot lock out an address.
 */
import { Clock, Context, Data, Deferred, Effect, Latch, Layer, type Scope } from "effect"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import { MAX_RECORD_BYTES } from "../../protocol/TlsRecord.ts"
import { Crowd, type FromAddress } from "./Crowd.ts"

/** Maximum bytes of all handshakes, including those that wait for a place. */
export const HANDSHAKES_BYTES = 64 * 1024 * 1024
/** Maximum bytes of one: a first message of 128 KiB that never ends, and its copy. */
const HANDSHAKE_BYTES = 256 * 1024

export const MAX_HANDSHAKES = 192
/** Maximum handshakes that wait for a place. Each keeps what it has received, at most a record. */
export const MAX_WAITING = Math.floor(
  (HANDSHAKES_BYTES - MAX_HANDSHAKES * HANDSHAKE_BYTES) / MAX_RECORD_BYTES
)

/**
 * Handshakes that begin in one round. The event loop accepts one connection per iteration, and a
 * handshake costs a good part of a millisecond. Each round is followed by as much time for other
 * work, which peers that only begin handshakes could otherwise stall.
 */
export const BEGUN_AT_A_TIME = 8

/** A handshake takes two round trips. After this long it may be evicted for another address. */
const STALLED_MILLIS = 1000
/** How often to look for stalled handshakes while others wait. */
const LOOK_MILLIS = STALLED_MILLIS / 10

export class HandshakeEvicted extends Data.TaggedError("HandshakeEvicted")<{
  readonly places: string
}> {
  override get message(): string {
    return `all ${this.places} are taken: disconnected to make room`
  }
}

interface Entry extends FromAddress {
  readonly turn: Deferred.Deferred<void>
  readonly evicted: Deferred.Deferred<never, HandshakeEvicted>
  /** When it began (monotonic). */
  startMillis: number
}

export class Handshakes extends Context.Service<
  Handshakes,
  {
    /** Runs `use` once the address gets a place. Fails if evicted while it waits or runs. */
    readonly inPlace: <A, E, R>(
      address: string,
      use: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | HandshakeEvicted, R>
  }
>()("lottery/server/Handshakes") {
  static readonly layer = Layer.effect(
    Handshakes,
    Effect.suspend(() => makeHandshakes(MAX_HANDSHAKES, MAX_WAITING))
  )
}

export const makeHandshakes = Effect.fnUntraced(function* (
  maxRunning: number,
  maxWaiting: number
): Effect.fn.Return<Handshakes["Service"], never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const running = new Crowd<Entry>()
  const waiting = new Crowd<Entry>()
  /** Open while there may be a handshake to begin. */
  const due = Latch.makeUnsafe()

  const evict = (crowd: Crowd<Entry>, entry: Entry, places: string): void => {
    crowd.delete(entry)
    const error = new HandshakeEvicted({ places })
    Deferred.doneUnsafe(entry.evicted, Effect.fail(error))
  }

  /** Returns the oldest handshake, if it has stalled. */
  const stalled = (nowMillis: number): Entry | undefined => {
    const oldest = Array.from(running.addresses.values(), ([first]) => first!).reduce(
      (one, other) => (other.startMillis < one.startMillis ? other : one)
    )
    return nowMillis - oldest.startMillis < STALLED_MILLIS ? undefined : oldest
  }

  const makeRoomFor = ({ address }: Entry, nowMillis: number): boolean => {
    if (running.size < maxRunning) return true
    const own = running.countOf(address)
    const [ofLargest] = running.largestOver(own + 1)
    const oldest = ofLargest ?? (own === 0 ? stalled(nowMillis) : undefined)
    if (oldest === undefined) return false
    evict(running, oldest, `${maxRunning} places for TLS handshakes`)
    return true
  }

  const beginSome = (nowMillis: number): void => {
    for (let begun = 0; begun < BEGUN_AT_A_TIME; begun++) {
      const next = waiting.firstOfFewest(running)
      if (next === undefined || !makeRoomFor(next, nowMillis)) return void due.closeUnsafe()
      waiting.delete(next)
      next.startMillis = nowMillis
      running.add(next)
      Deferred.doneUnsafe(next.turn, Effect.void)
    }
  }

  const beginInRounds = Effect.gen(function* () {
    yield* waiting.size === 0 ? due.await : Effect.timeoutOption(due.await, LOOK_MILLIS)
    // Rounds repeat until one finds nothing to begin, because all may have stalled meanwhile.
    due.openUnsafe()
    const start = monotonicMillisUnsafe(clock)
    beginSome(start)
    // A timer fires only after the new handshakes have done their first work.
    yield* Effect.sleep("1 millis")
    yield* Effect.sleep(monotonicMillisUnsafe(clock) - start)
  })
  yield* Effect.forkScoped(Effect.forever(beginInRounds))

  const enter = (entry: Entry): void => {
    waiting.add(entry)
    const last = waiting.size > maxWaiting ? waiting.largestOver(0).at(-1) : undefined
    if (last !== undefined) evict(waiting, last, `${maxWaiting} places in the TLS handshake queue`)
    due.openUnsafe()
  }

  const leave = (entry: Entry): void => {
    if (!waiting.delete(entry) && running.delete(entry)) due.openUnsafe()
  }

  return {
    inPlace: (address, use) =>
      Effect.suspend(() => {
        const entry: Entry = {
          address,
          turn: Deferred.makeUnsafe(),
          evicted: Deferred.makeUnsafe(),
          startMillis: 0
        }
        enter(entry)
        return Effect.raceFirst(
          Effect.andThen(Deferred.await(entry.turn), use),
          Deferred.await(entry.evicted)
        ).pipe(Effect.ensuring(Effect.sync(() => leave(entry))))
      })
  }
})
