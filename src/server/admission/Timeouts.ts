/**
 * How long the server waits for what a peer is to send or to take. Time in which the server itself
 * has no room to read does not count.
 */
import { Clock, Data, Duration, Effect } from "effect"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import type { EndOfStream } from "../../protocol/ByteReader.ts"
import { ConnectionLost, type PeerConnection } from "../../protocol/PeerConnection.ts"
import type { Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { showBytes } from "./ShownBytes.ts"

/** What was to come in time did not. */
export class TooSlow extends Data.TaggedError("TooSlow")<{
  readonly expected: string
  readonly timeout: Duration.Duration
  /** How many bytes of it came. */
  readonly bytes: number
  /** The first of them, where they may be shown. */
  readonly shown: string
}> {
  override get message(): string {
    const { bytes, expected, shown, timeout } = this
    const got = `expected ${expected} in ${Duration.format(timeout)}, got ${bytes} bytes`
    return shown === "" ? got : `${got}: ${shown}`
  }
}

/** A timer that is so late says that the server itself stood still, and read nothing. */
const STANDSTILL_MILLIS = 100

/**
 * Ends once `timeout` has passed without counting the time that was waited for room: `waitedUntil`
 * says how much that was by a given time. If the server stood still, which may have kept it from
 * what had come, there is as much time again: in all no more than `timeout` itself.
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

/** Gives a peer this much time for something for which no message is read. */
export const within = <A, E, R, E2>(
  timeout: Duration.Duration,
  something: Effect.Effect<A, E, R>,
  tooSlow: Effect.Effect<never, E2>
): Effect.Effect<A, E | E2, R> =>
  Effect.raceFirst(
    something,
    Effect.andThen(
      runsOut(timeout, () => 0),
      tooSlow
    )
  )

/** What a peer is given time for. */
export interface Awaited {
  /** In the words of the refusal. */
  readonly what: string
  readonly timeout: Duration.Duration
  /** It may hold a secret, and is not shown. */
  readonly isSecret?: boolean
}

/** Gives a peer this much time for what it is to send. */
export const inTime = <A, E, R>(
  peer: Peer,
  { isSecret = false, timeout, what }: Awaited,
  read: Effect.Effect<A, E, R>
): Effect.Effect<A, E | TooSlow, R> => {
  const { connection, memory } = peer
  const { buffered, position } = connection.reader
  const start = position()
  const waitedUntil = (nowMillis: number) => memory.waitedUntil(nowMillis)
  const tooSlow = Effect.flatMap(runsOut(timeout, waitedUntil), () => {
    const bytes = position() - start + buffered().length
    const shown = isSecret ? "" : showBytes(buffered())
    return Effect.fail(new TooSlow({ expected: what, timeout, bytes, shown }))
  })
  return Effect.raceFirst(read, tooSlow)
}

/** Reads a message that has begun, or has to begin now. */
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
    // It may be the peer that waits for an answer.
    (slow) => (peer.memory.isAnsweredTo(reader.position()) ? Effect.fail(slow) : wait)
  )
  yield* wait
})

/** Bytes that a peer has to take at a time, which are the most that are on their way to it. */
export const WRITTEN_BYTES = 65_536

/** What is asked of the connection that is written to; a `net.Socket` has it. */
interface Written {
  readonly destroyed: boolean
  /** Bytes that wait to be written. */
  readonly writableLength: number
  readonly write: (bytes: Uint8Array) => unknown
  readonly destroy: () => unknown
}

/**
 * A write that waits for the peer to read, but not for ever: where it takes nothing for that time
 * the connection is broken off.
 */
export const writeInTime = (
  write: PeerConnection["write"],
  timeout: Duration.Duration,
  link: Written
): PeerConnection["write"] => {
  const writeSome = (bytes: Uint8Array) =>
    Effect.suspend(() => {
      // Node may read nothing ahead (see `Server`), and would have each write waited for.
      if (!link.destroyed && link.writableLength + bytes.length < WRITTEN_BYTES) {
        return Effect.sync(() => void link.write(bytes))
      }
      const tooSlow = Effect.suspend(() => {
        link.destroy()
        const reason = `the peer read nothing for ${Duration.format(timeout)}`
        return Effect.fail(new ConnectionLost({ reason }))
      })
      return within(timeout, write(bytes), tooSlow)
    })
  return Effect.fnUntraced(function* (bytes) {
    let start = 0
    do {
      yield* writeSome(bytes.subarray(start, start + WRITTEN_BYTES))
      start += WRITTEN_BYTES
    } while (start < bytes.length)
  })
}
