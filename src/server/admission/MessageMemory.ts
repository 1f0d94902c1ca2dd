/**
 * The memory budget for messages. An incomplete message claims permits for its bytes before more of
 * it is read, and returns them once it is answered. Addresses take turns. The chunk of 64 KiB that
 * Node reads per connection needs no permits: the maximum number of connections bounds it.
 */
import { Clock, Context, Effect, Layer, PartitionedSemaphore, Semaphore } from "effect"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import {
  JSON_PARSE_FACTOR,
  LARGE_JSON_BYTES,
  MAX_FRAME_BYTES,
  MAX_JSON_BYTES
} from "../../protocol/Limits.ts"
import { HANDSHAKES_BYTES } from "./Handshakes.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** If at most this many bytes are missing, as for a header, they need no permits. */
const SMALL_BYTES = 1024

/** Reserved for parsing JSON messages of the largest size, one at a time. */
const LARGE_JSON_BUDGET_BYTES = MAX_JSON_BYTES * JSON_PARSE_FACTOR

/** Reserved for comparing incoming bets with stored books; see `lottery/Comparison.ts`. */
export const COMPARISONS_BYTES = 8 * 1024 * 1024

/** The part of `maxMemoryBytes` that messages cannot claim. */
export const RESERVED_BYTES = LARGE_JSON_BUDGET_BYTES + HANDSHAKES_BYTES + COMPARISONS_BYTES

/** The smallest `maxMemoryBytes`: the reserved part and a few frames. */
export const MIN_MEMORY_BYTES = RESERVED_BYTES + 8 * MAX_FRAME_BYTES

/**
 * The fraction of the remaining memory that unidentified peers share. They can announce large
 * messages and never send them, so they must not use up the memory of identified peers.
 */
const UNACCEPTED_PART = 1 / 4
/** The fraction of that which one address may use, so that there is room for others. */
const ADDRESS_PART = 1 / 2

type ByteBudget = PartitionedSemaphore.PartitionedSemaphore<string>

const addressShareOf = (unaccepted: number): number => Math.floor(unaccepted * ADDRESS_PART)

/** The memory budget of all connections together. */
export class Memory extends Context.Service<
  Memory,
  {
    readonly unaccepted: ByteBudget
    readonly accepted: ByteBudget
    /** Makes one address's share of the budget of unidentified peers. */
    readonly makeShare: () => Semaphore.Semaphore
    /** The bytes that all messages together have claimed. */
    readonly held: Effect.Effect<number>
    /** Permits one large JSON message at a time to be parsed, in the memory reserved for it. */
    readonly largeJson: Semaphore.Semaphore
  }
>()("lottery/server/Memory") {
  static readonly make = (maxMemoryBytes: number): Memory["Service"] => {
    const bytes = maxMemoryBytes - RESERVED_BYTES
    const unaccepted = Math.floor(bytes * UNACCEPTED_PART)
    const budgets = {
      unaccepted: PartitionedSemaphore.makeUnsafe<string>({ permits: unaccepted }),
      accepted: PartitionedSemaphore.makeUnsafe<string>({ permits: bytes - unaccepted })
    }
    return {
      ...budgets,
      held: Effect.zipWith(
        budgets.unaccepted.available,
        budgets.accepted.available,
        (one, other) => bytes - one - other
      ),
      makeShare: () => Semaphore.makeUnsafe(addressShareOf(unaccepted)),
      largeJson: Semaphore.makeUnsafe(1)
    }
  }

  static readonly layer = Layer.effect(
    Memory,
    Effect.map(ServerLimits, ({ maxMemoryBytes }) => Memory.make(maxMemoryBytes))
  )
}

/** The permits claimed for a message that ends at position `end` of the peer's input. */
interface Claim {
  readonly end: number
  readonly release: Effect.Effect<unknown>
}

/** The memory that the messages of one connection have claimed. */
export class MessageMemory {
  private readonly memory: Memory["Service"]
  private readonly address: string
  private readonly share: Semaphore.Semaphore
  private isAccepted = false
  private claims: ReadonlyArray<Claim> = []
  /** Input up to `answeredTo` has been answered; input up to `claimedTo` has claimed its memory. */
  private answeredTo = 0
  private claimedTo = 0
  private waitedMillis = 0
  private waitingSince: number | undefined

  /** `share` belongs to all connections from the address. */
  constructor(memory: Memory["Service"], address: string, share: Semaphore.Semaphore) {
    this.memory = memory
    this.address = address
    this.share = share
  }

  /** Waits until there is room for the peer's input up to position `end`. */
  readonly room = (end: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const wanted = end - Math.max(this.claimedTo, this.answeredTo)
      return wanted <= SMALL_BYTES ? Effect.void : this.claim(wanted, end)
    })

  /** Releases the memory of input before this position: it has been answered. */
  answered(position: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.answeredTo = position
      const [first] = this.claims
      return first === undefined || first.end > position ? Effect.void : this.release(position)
    })
  }

  isAnsweredTo(position: number): boolean {
    return this.answeredTo === position
  }

  /** Moves to the budget of identified peers: the first message was accepted. */
  accept(): void {
    this.isAccepted = true
  }

  /** Releases everything, because no more messages are read. */
  get giveUp(): Effect.Effect<void> {
    return Effect.suspend(() => this.release(Number.POSITIVE_INFINITY))
  }

  /** Returns how many milliseconds the connection has waited for room, up to `now` (monotonic). */
  waitedUntil(now: number): number {
    return this.waitedMillis + (this.waitingSince === undefined ? 0 : now - this.waitingSince)
  }

  /** Parses a JSON message of this length. Large ones take turns and yield to other work first. */
  parsing<A, E, R>(length: number, parse: Effect.Effect<A, E, R>) {
    return length <= LARGE_JSON_BYTES
      ? parse
      : this.memory.largeJson.withPermit(Effect.andThen(Effect.yieldNow, parse))
  }

  /** Claims this many bytes, runs `use` and releases them. */
  made<A, E, R>(bytes: number, use: Effect.Effect<A, E, R>) {
    const { accepted } = this.memory
    return accepted.withPermits(this.address, Math.min(bytes, accepted.capacity))(use)
  }

  /** Takes permits from the budget and, if the peer is unidentified, from its address's share. */
  private claim(wanted: number, end: number): Effect.Effect<void> {
    const { accepted, unaccepted } = this.memory
    const [pool, limit, share] = this.isAccepted
      ? [accepted, accepted.capacity, undefined]
      : [unaccepted, addressShareOf(unaccepted.capacity), this.share]
    // A message larger than the whole budget takes all of it.
    const permits = Math.min(wanted, limit)
    const releaseShare = share?.release(permits) ?? Effect.void
    return Effect.uninterruptibleMask((restore) => {
      const fromShare = share === undefined ? Effect.void : restore(share.take(permits))
      const fromPool = restore(pool.take(this.address, permits))
      const taken = Effect.andThen(
        fromShare,
        Effect.onInterrupt(fromPool, () => releaseShare)
      )
      return Effect.map(this.waiting(taken), () => {
        this.claimedTo = end
        const release = Effect.andThen(releaseShare, pool.release(permits))
        this.claims = [...this.claims, { end, release }]
      })
    })
  }

  private release(position: number): Effect.Effect<void> {
    const kept = this.claims.findIndex(({ end }) => end > position)
    const answered = kept === -1 ? this.claims : this.claims.slice(0, kept)
    this.claims = this.claims.slice(answered.length)
    return Effect.forEach(answered, ({ release }) => release, { discard: true })
  }

  private waiting(wait: Effect.Effect<void>): Effect.Effect<void> {
    return Clock.clockWith((clock) => {
      this.waitingSince = monotonicMillisUnsafe(clock)
      return Effect.ensuring(
        wait,
        Effect.sync(() => {
          this.waitedMillis = this.waitedUntil(monotonicMillisUnsafe(clock))
          this.waitingSince = undefined
        })
      )
    })
  }
}
