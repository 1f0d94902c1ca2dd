/**
 * What a connection holds in memory of what was sent to it, from its arrival until it has been
 * answered. A message that has come whole is only counted; where part of it is missing, no more of
 * it is read before there is room for all of it. So whoever has begun to read a message can end it.
 */
import { Clock, Effect, Semaphore } from "effect"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import {
  JSON_MEMORY_FACTOR,
  LARGE_JSON_BYTES,
  MAX_FRAME_BYTES,
  MAX_JSON_BYTES
} from "../../protocol/Limits.ts"
import type { Inflow } from "../../protocol/PeerConnection.ts"
import { COMPARISONS_BYTES } from "../lottery/Comparison.ts"
import { ByteBound } from "./ByteBound.ts"
import { Gate, type Inlet } from "./Gate.ts"
import { HANDSHAKES_BYTES } from "./Handshakes.ts"

/** What is missing of a message and not worth a claim: a header, a first word. */
const UNCLAIMED_BYTES = 1024

/** An address's share of the memory, as long as nothing of what it sent was accepted. */
const ADDRESS_SHARE = 1 / 8

/** What the server's connections may hold together. */
export interface MemoryBounds {
  readonly all: ByteBound
  /** The turn to parse a large JSON message, for one of which room is set apart. */
  readonly largeJson: Semaphore.Semaphore
  /** Makes the bound of an address. */
  readonly makeShare: () => ByteBound
  /** Closed while there is no room at all. */
  readonly gate: Gate
}

/** What is set apart for parsing large JSON messages, in bytes: the largest has its turn. */
const LARGE_JSON_SHARE_BYTES = MAX_JSON_BYTES * JSON_MEMORY_FACTOR

/** What is set apart of the bound on memory, whatever is held. */
export const SET_APART_BYTES = LARGE_JSON_SHARE_BYTES + HANDSHAKES_BYTES + COMPARISONS_BYTES

/** The least bound on what is held: what is set apart, and some frames. */
export const MIN_MEMORY_BYTES = SET_APART_BYTES + 8 * MAX_FRAME_BYTES

/** The gate opens again where so much of the room is free, and not for every byte. */
const FREE_TO_OPEN = 1 / 8

export const makeMemoryBounds = (maxMemoryBytes: number): MemoryBounds => {
  const gate = new Gate()
  const limit = maxMemoryBytes - SET_APART_BYTES
  const onChange = (used: number) => {
    if (used >= limit) gate.close()
    else if (used <= limit * (1 - FREE_TO_OPEN)) gate.open()
  }
  return {
    all: new ByteBound(limit, onChange),
    largeJson: Semaphore.makeUnsafe(1),
    makeShare: () => new ByteBound(maxMemoryBytes * ADDRESS_SHARE),
    gate
  }
}

/** A connection as Node reads it ahead. */
export interface ReadAhead extends Inlet {
  /** Bytes that were read and not asked for yet. */
  readonly bytes: () => number
}

const NOTHING_AHEAD: ReadAhead = { bytes: () => 0, start: () => {}, stop: () => {} }

/** Waits until a claim is granted; `onGranted` is called as it is, also where nobody waits more. */
const claim = (bound: ByteBound, bytes: number, onGranted: () => void): Effect.Effect<void> =>
  Effect.callback((resume) =>
    Effect.sync(
      bound.claim(bytes, () => {
        onGranted()
        resume(Effect.void)
      })
    )
  )

/** Holds so many bytes of a bound, once it has room for them, while something is done. */
const holding = <A, E, R>(bound: ByteBound, bytes: number, use: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let held = 0
    const room = claim(bound, bytes, () => {
      held = bytes
      bound.met()
    })
    return Effect.andThen(room, use).pipe(Effect.ensuring(Effect.sync(() => bound.release(held))))
  })

export class HeldBytes implements Inflow {
  private arrivedBytes = 0
  private answeredBytes = 0
  /** Granted by every bound, and yet to come. */
  private granted = 0
  /** Granted by one bound, while another one is waited for. */
  private claimed: Array<readonly [bound: ByteBound, bytes: number]> = []
  private waitedMillis = 0
  private waitingSince: number | undefined
  /** Little is missing of what is read, for which nothing was claimed. */
  private isSmall = false
  private isClosed = false
  /** What is counted of what was read ahead. */
  private aheadBytes = 0
  /** What is held and can be given back only once more may be read. */
  private stuckBytes = 0
  private onReadAhead: (() => void) | undefined
  private readonly ahead: ReadAhead
  /** Stopped with all others, but not in the middle of a message: it would keep what it holds. */
  private readonly inlet: Inlet
  private readonly memory: MemoryBounds
  /** The one of the peer's address. */
  private readonly share: ByteBound
  private bounds: ReadonlyArray<ByteBound>

  constructor(memory: MemoryBounds, share: ByteBound, ahead: ReadAhead = NOTHING_AHEAD) {
    this.memory = memory
    this.share = share
    this.bounds = [share, memory.all]
    this.ahead = ahead
    this.inlet = {
      start: ahead.start,
      stop: () => {
        if (!this.isReading) ahead.stop()
      }
    }
    memory.gate.add(this.inlet)
  }

  /** How many bytes have come so far. */
  get arrivedSoFar(): number {
    return this.arrivedBytes
  }

  /** How many milliseconds it has waited for room, up to `now` (monotonic). */
  waitedUntil(now: number): number {
    return this.waitedMillis + (this.waitingSince === undefined ? 0 : now - this.waitingSince)
  }

  /** Counts what was read ahead now. */
  readonly countAhead = (): void => {
    if (this.isClosed) return
    const bytes = this.ahead.bytes()
    const more = bytes - this.aheadBytes
    this.aheadBytes = bytes
    for (const bound of this.bounds) more > 0 ? bound.add(more) : bound.release(-more)
    if (this.waitingSince !== undefined) this.stick(more)
    if (bytes > 0) this.onReadAhead?.()
  }

  readonly arrived = (bytes: number): void => {
    this.countAhead()
    this.isSmall = false
    this.arrivedBytes += bytes
    const unasked = Math.max(0, bytes - this.granted)
    if (unasked > 0) for (const bound of this.bounds) bound.add(unasked)
    const wasGranted = this.granted > 0
    this.granted -= bytes - unasked
    if (wasGranted && this.granted === 0) this.meet()
    if (this.memory.gate.isClosed) this.inlet.stop()
  }

  /**
   * Waits until anything may be read at all, unless it was granted. What was read ahead is there
   * already: it is taken, so that whoever holds it claims room for the rest, and has its turn.
   */
  readonly passage: Effect.Effect<void> = Effect.suspend(() =>
    this.isReading || this.aheadBytes > 0 || !this.memory.gate.isClosed
      ? Effect.void
      : this.waiting(0, Effect.raceFirst(this.memory.gate.passage, this.readAhead))
  )

  private readonly readAhead = Effect.callback<void>((resume) => {
    this.onReadAhead = () => resume(Effect.void)
    return Effect.sync(() => {
      this.onReadAhead = undefined
    })
  })

  readonly room = (missing: number, begun: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (missing <= this.granted) return Effect.void
      // Where there is no room for more, whoever has begun a message still has its turn to end it.
      if (missing <= UNCLAIMED_BYTES && !this.memory.gate.isClosed) {
        this.isSmall = true
        return Effect.void
      }
      return this.waiting(begun, this.claimOfAll(missing - this.granted))
    })

  /** The first `position` bytes that came have been answered, and are forgotten. */
  answered(position: number): void {
    const bytes = position - this.answeredBytes
    this.answeredBytes = position
    for (const bound of this.bounds) bound.release(bytes)
  }

  /** The peer is known: what it holds counts no more for its address. */
  known(): void {
    if (this.bounds.length === 1) return
    this.bounds = [this.memory.all]
    this.share.release(this.held)
    if (this.granted > 0) this.share.met()
  }

  /** Parses a JSON message of this length; a large one in turn, with time for others between. */
  readonly parsing = <A, E, R>(length: number, parse: Effect.Effect<A, E, R>) =>
    length <= LARGE_JSON_BYTES
      ? parse
      : this.memory.largeJson.withPermit(Effect.andThen(Effect.yieldNow, parse))

  /** Makes something of so many bytes once there is room for it, and holds it while it is used. */
  readonly made = <A, E, R>(bytes: number, use: Effect.Effect<A, E, R>) =>
    holding(this.memory.all, bytes, use)

  /** No message is read any more: what was granted for one and did not come is given back. */
  giveUp(): void {
    const { claimed, granted } = this
    this.claimed = []
    this.granted = 0
    this.isSmall = false
    if (granted > 0) {
      for (const bound of this.bounds) bound.release(granted)
      this.meet()
    }
    for (const [bound, bytes] of claimed) {
      bound.release(bytes)
      bound.met()
    }
    if (this.memory.gate.isClosed) this.inlet.stop()
  }

  /** Gives everything back. */
  close(): void {
    this.giveUp()
    this.isClosed = true
    this.memory.gate.remove(this.inlet)
    for (const bound of this.bounds) bound.release(this.held)
  }

  /** Nothing is read of it, for there is no room, and it has claimed none. */
  get isHalted(): boolean {
    return this.memory.gate.isClosed && !this.isReading
  }

  /** All that came has been answered. */
  get isAnswered(): boolean {
    return this.answeredBytes === this.arrivedBytes
  }

  /** It may read on in the middle of a message, whatever all others hold. */
  private get isReading(): boolean {
    return this.granted > 0 || this.isSmall
  }

  private get held(): number {
    return this.aheadBytes + this.arrivedBytes - this.answeredBytes + this.granted
  }

  private meet(): void {
    for (const bound of this.bounds) bound.met()
  }

  /** Where it is interrupted, what was granted already is given back at the end. */
  private claimOfAll(bytes: number): Effect.Effect<void> {
    return Effect.forEach(
      this.bounds,
      (bound) => claim(bound, bytes, () => this.claimed.push([bound, bytes])),
      { discard: true }
    ).pipe(
      Effect.map(() => {
        this.claimed = []
        this.granted += bytes
        this.ahead.start()
      })
    )
  }

  /** Waits with `begun` bytes of a message that cannot be read further meanwhile. */
  private waiting(begun: number, wait: Effect.Effect<void>): Effect.Effect<void> {
    return Clock.clockWith((clock) => {
      this.waitingSince = monotonicMillisUnsafe(clock)
      this.stick(begun + this.aheadBytes)
      return Effect.ensuring(
        wait,
        Effect.sync(() => {
          this.waitedMillis = this.waitedUntil(monotonicMillisUnsafe(clock))
          this.waitingSince = undefined
          this.stick(-this.stuckBytes)
        })
      )
    })
  }

  private stick(bytes: number): void {
    this.stuckBytes += bytes
    for (const bound of this.bounds) bound.stick(bytes)
  }
}
