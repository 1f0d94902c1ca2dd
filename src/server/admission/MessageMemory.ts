/**
 * The memory that messages may take. A message that has not come whole takes permits for its bytes
 * before more of it is read, and gives them back once it is answered; the addresses of peers take
 * turns. What Node reads by itself, a chunk of 64 KiB a connection, is bounded by the number of
 * connections and takes none.
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

/** What is missing of a message and takes no permits: a header, a first word. */
const SMALL_BYTES = 1024

/** Set apart to parse a JSON message of the largest size: one at a time has its turn. */
const LARGE_JSON_SHARE_BYTES = MAX_JSON_BYTES * JSON_PARSE_FACTOR

/** Set apart for comparing what comes with stored books; see `lottery/Comparison.ts`. */
export const COMPARISONS_BYTES = 8 * 1024 * 1024

/** What is set apart of the bound on memory. */
export const SET_APART_BYTES = LARGE_JSON_SHARE_BYTES + HANDSHAKES_BYTES + COMPARISONS_BYTES

/** The least bound on memory: what is set apart, and some frames. */
export const MIN_MEMORY_BYTES = SET_APART_BYTES + 8 * MAX_FRAME_BYTES

/**
 * The part of the rest for peers whose first message was not accepted yet. They could announce
 * large messages that never come, and take nothing from those who are known.
 */
const UNACCEPTED_PART = 1 / 4
/** The part of that for one address, so that others find room beside it. */
const ADDRESS_PART = 1 / 2

/** A bound in bytes, shared by address. */
type BytesByAddress = PartitionedSemaphore.PartitionedSemaphore<string>

/** What an address may take of these bytes. */
const shareOf = (unaccepted: number): number => Math.floor(unaccepted * ADDRESS_PART)

/** The memory of all connections together. */
export class Memory extends Context.Service<
  Memory,
  {
    readonly unaccepted: BytesByAddress
    readonly accepted: BytesByAddress
    /** Makes the share of an address in what unknown peers have. */
    readonly makeShare: () => Semaphore.Semaphore
    /** The turn to parse a large JSON message, for one of which room is set apart. */
    readonly largeJson: Semaphore.Semaphore
  }
>()("lottery/server/Memory") {
  static readonly make = (maxMemoryBytes: number): Memory["Service"] => {
    const bytes = maxMemoryBytes - SET_APART_BYTES
    const unaccepted = Math.floor(bytes * UNACCEPTED_PART)
    return {
      unaccepted: PartitionedSemaphore.makeUnsafe({ permits: unaccepted }),
      accepted: PartitionedSemaphore.makeUnsafe({ permits: bytes - unaccepted }),
      makeShare: () => Semaphore.makeUnsafe(shareOf(unaccepted)),
      largeJson: Semaphore.makeUnsafe(1)
    }
  }

  static readonly layer = Layer.effect(
    Memory,
    Effect.map(ServerLimits, ({ maxMemoryBytes }) => Memory.make(maxMemoryBytes))
  )
}

/** The permits of a message that ends at this position in what its peer sends. */
interface Claim {
  readonly end: number
  readonly release: Effect.Effect<unknown>
}

/** What one connection holds of the messages that it has sent. */
export class MessageMemory {
  private readonly memory: Memory["Service"]
  private readonly address: string
  private readonly share: Semaphore.Semaphore
  private isAccepted = false
  private claims: ReadonlyArray<Claim> = []
  /** The positions up to which what came is answered, and claimed. */
  private answeredTo = 0
  private claimedTo = 0
  private waitedMillis = 0
  private waitingSince: number | undefined

  /** `share` is that of all connections from the address. */
  constructor(memory: Memory["Service"], address: string, share: Semaphore.Semaphore) {
    this.memory = memory
    this.address = address
    this.share = share
  }

  /** Waits until there is room for all that the peer sends up to the position `end`. */
  readonly room = (end: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const wanted = end - Math.max(this.claimedTo, this.answeredTo)
      return wanted <= SMALL_BYTES ? Effect.void : this.claim(wanted, end)
    })

  /** What came before this position is answered, and is forgotten. */
  readonly answered = (position: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.answeredTo = position
      const [first] = this.claims
      return first === undefined || first.end > position ? Effect.void : this.release(position)
    })

  /** Whether all that came before this position is answered. */
  isAnsweredTo(position: number): boolean {
    return this.answeredTo === position
  }

  /** The first message was accepted: the next ones share the memory of known peers. */
  accept(): void {
    this.isAccepted = true
  }

  /** No message is read any more: gives back what was claimed for one. */
  readonly giveUp: Effect.Effect<void> = Effect.suspend(() =>
    this.release(Number.POSITIVE_INFINITY)
  )

  /** How many milliseconds the connection has waited for room, up to `now` (monotonic). */
  waitedUntil(now: number): number {
    return this.waitedMillis + (this.waitingSince === undefined ? 0 : now - this.waitingSince)
  }

  /** Parses a JSON message of this length; a large one in turn, with time for others between. */
  readonly parsing = <A, E, R>(length: number, parse: Effect.Effect<A, E, R>) =>
    length <= LARGE_JSON_BYTES
      ? parse
      : this.memory.largeJson.withPermit(Effect.andThen(Effect.yieldNow, parse))

  /** Makes something of this many bytes once there is room for it, and holds it while in use. */
  readonly made = <A, E, R>(bytes: number, use: Effect.Effect<A, E, R>) => {
    const { accepted } = this.memory
    return accepted.withPermits(this.address, Math.min(bytes, accepted.capacity))(use)
  }

  /** Takes permits of the connection's pool; if its peer is unknown, of its address's share too. */
  private claim(wanted: number, end: number): Effect.Effect<void> {
    const { accepted, unaccepted } = this.memory
    const [pool, most, share] = this.isAccepted
      ? [accepted, accepted.capacity, undefined]
      : [unaccepted, shareOf(unaccepted.capacity), this.share]
    // A message that is larger than all there is has it for itself.
    const permits = Math.min(wanted, most)
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
