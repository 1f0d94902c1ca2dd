/** Time limits for peers. Time in which the server has no room to read does not count. */
import { Clock, Data, Duration, Effect } from "effect"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import {
  ConnectionLost,
  type HeldConnection,
  MAX_UNSENT_BYTES,
  type PeerConnection
} from "../../protocol/PeerConnection.ts"
import type { Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { showBytes } from "./ShownBytes.ts"

export class TooSlow extends Data.TaggedError("TooSlow")<{
  readonly expected: string
  readonly timeout: Duration.Duration
  /** How many bytes of it have arrived. */
  readonly bytes: number
  /** The first of them in hex; empty if they may be secret. */
  readonly shown: string
}> {
  override get message(): string {
    const { bytes, expected, shown, timeout } = this
    const amount = bytes === 1 ? "1 byte" : `${bytes} bytes`
    const got = `expected ${expected} in ${Duration.format(timeout)}, got ${amount}`
    return shown === "" ? got : `${got}: ${shown}`
  }
}

/** A timer this late means that the server process stalled and read nothing. */
const STANDSTILL_MILLIS = 100

/**
 * Ends once `timeout` has passed. Time spent waiting for room does not count: `waitedUntil` returns
 * its total up to a given time. A stall of the process does not count either, and the peer gets as
 * much time again (in total at most `timeout`), because its input may have arrived unread.
 */
const runsOut = Effect.fnUntraced(function* (
  timeout: Duration.Duration,
  waitedUntil: (nowMillis: number) => number
): Effect.fn.Return<void> {
  const clock = yield* Clock.Clock
  const now = () => monotonicMillisUnsafe(clock)
  const millis = Duration.toMillis(timeout)
  const start = now()
  const waited = waitedUntil(start)
  let extra = 0
  let again = 0
  for (;;) {
    const end = start + millis + waitedUntil(now()) - waited + extra
    if (now() >= end) return
    yield* Effect.sleep(end - now())
    const late = now() - end
    if (late > STANDSTILL_MILLIS) {
      const more = Math.min(late, millis - again)
      again += more
      extra += late + more
    }
  }
})

/** Limits the time for an operation that does not read a message. */
export const within = <A, E, R, E2>(
  timeout: Duration.Duration,
  operation: Effect.Effect<A, E, R>,
  tooSlow: Effect.Effect<never, E2>
): Effect.Effect<A, E | E2, R> =>
  Effect.raceFirst(
    operation,
    Effect.andThen(
      runsOut(timeout, () => 0),
      tooSlow
    )
  )

export interface Awaited {
  /** What the refusal calls it. */
  readonly what: string
  readonly timeout: Duration.Duration
  /** Whether it may contain a secret, so that it is never shown. */
  readonly isSecret?: boolean
}

/** Limits the time for a peer to send something. */
export const inTime = <A, E, R>(
  peer: Peer,
  { isSecret = false, timeout, what }: Awaited,
  read: Effect.Effect<A, E, R>
): Effect.Effect<A, E | TooSlow, R> => {
  const { connection, memory } = peer
  const { reader } = connection
  const start = reader.position()
  const waitedUntil = (nowMillis: number) => memory.waitedUntil(nowMillis)
  const tooSlow = Effect.flatMap(runsOut(timeout, waitedUntil), () => {
    const buffered = reader.buffered()
    const bytes = reader.position() - start + buffered.length
    const shown = isSecret ? "" : showBytes(buffered)
    return Effect.fail(new TooSlow({ expected: what, timeout, bytes, shown }))
  })
  return Effect.raceFirst(read, tooSlow)
}

/** Reads a message that has begun or must begin now. */
export const readInTime = Effect.fnUntraced(function* <A, E, R>(
  peer: Peer,
  read: Effect.Effect<A, E, R>,
  isSecret = false
) {
  const { messageTimeout } = yield* ServerLimits
  return yield* inTime(peer, { what: "a whole message", timeout: messageTimeout, isSecret }, read)
})

/** Waits for the next message of an upload to begin. */
export const awaitMessage = Effect.fnUntraced(function* (peer: Peer) {
  const { reader } = peer.connection
  if (reader.buffered().length > 0) return
  const { idleTimeout } = yield* ServerLimits
  const next = { what: "the next message", timeout: idleTimeout }
  const wait: Effect.Effect<void, TooSlow | EndOfStream | ConnectionLost> = Effect.catchTag(
    inTime(peer, next, reader.fill),
    "TooSlow",
    // While an answer is outstanding, it is the peer that waits.
    (slow) => (peer.memory.isAnsweredTo(reader.position()) ? Effect.fail(slow) : wait)
  )
  yield* wait
})

/**
 * Makes writes wait for the peer to read. Destroys `link` if it reads nothing in time; each
 * `MAX_UNSENT_BYTES` of a write get that time.
 */
export const writeInTime = (
  { write, writeNow }: Pick<HeldConnection, "write" | "writeNow">,
  timeout: Duration.Duration,
  link: { readonly destroy: () => unknown }
): PeerConnection["write"] => {
  const writeSome = (bytes: Uint8Array) =>
    Effect.suspend(() => {
      // Without read-ahead (see `Server`) Node would make each of these writes wait.
      if (writeNow(bytes)) return Effect.void
      const tooSlow = Effect.suspend(() => {
        link.destroy()
        const reason = `the peer read nothing for ${Duration.format(timeout)}`
        return Effect.fail(new ConnectionLost({ reason }))
      })
      return within(timeout, write(bytes), tooSlow)
    })
  return (bytes) =>
    bytes.length <= MAX_UNSENT_BYTES ? writeSome(bytes) : writeInParts(writeSome, bytes)
}

const writeInParts = Effect.fnUntraced(function* (
  writeSome: PeerConnection["write"],
  bytes: Uint8Array
) {
  for (let start = 0; start < bytes.length; start += MAX_UNSENT_BYTES) {
    yield* writeSome(bytes.subarray(start, start + MAX_UNSENT_BYTES))
  }
})
