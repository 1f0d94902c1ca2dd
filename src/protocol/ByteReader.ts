/**
 * Turns a stream that may be cut anywhere into runs of bytes of a given length. It knows no socket:
 * bytes come from a `pull`, and `ByteQueue` keeps what is not yet taken.
 */
import { Data, Effect } from "effect"

/** The stream has ended; `pending` bytes of a message that did not come whole are left. */
export class EndOfStream extends Data.TaggedError("EndOfStream")<{ readonly pending: number }> {
  override get message(): string {
    return this.pending === 0
      ? "the peer sends no more"
      : `the peer stopped after ${this.pending} bytes of a message`
  }
}

const SMALLEST_BUFFER_BYTES = 1024
/**
 * A larger buffer is given back while more is waited for; a smaller one is used again, and making
 * one for each chunk costs a fifth of the time that a packet takes.
 */
const KEPT_BYTES = 512 * 1024
const NOTHING = new Uint8Array(0)

/**
 * Bytes that have come and are not yet taken. What is taken is a view that is never written to
 * again. Small chunks are put together as they come: they cost a few times their bytes, or as much
 * as the expected run.
 */
export class ByteQueue {
  /** A chunk as it came, which ends at `end`, or a buffer made here with room after it. */
  private buffer: Uint8Array = NOTHING
  private start = 0
  private end = 0
  /** The length of the expected run. */
  private expected = 0

  get length(): number {
    return this.end - this.start
  }

  /** What has come; a view, good until the next `push` or `take`. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(this.start, this.end)
  }

  /** Announces the length of the next run: room is made for it, and no more. */
  expect(count: number): void {
    this.expected = count
  }

  push(chunk: Uint8Array): void {
    if (this.length === 0) {
      this.buffer = chunk
      this.start = 0
      this.end = chunk.length
      return
    }
    if (this.end + chunk.length > this.buffer.length) {
      const needed = this.length + chunk.length
      const room = this.expected >= needed ? this.expected : 2 * needed
      const larger = new Uint8Array(Math.max(room, SMALLEST_BUFFER_BYTES))
      larger.set(this.bytes)
      this.end = this.length
      this.start = 0
      this.buffer = larger
    }
    this.buffer.set(chunk, this.end)
    this.end += chunk.length
  }

  /** Takes the first `count` bytes, which must have come. */
  take(count: number): Uint8Array {
    const taken = this.buffer.subarray(this.start, this.start + count)
    this.start += count
    return taken
  }

  /** Gives back what is not needed while nothing comes: a peer may send no more for long. */
  trim(): void {
    if (this.length > 0 && this.buffer.length <= Math.max(KEPT_BYTES, this.expected)) return
    this.buffer = this.length === 0 ? NOTHING : new Uint8Array(this.bytes)
    this.start = 0
    this.end = this.buffer.length
  }
}

/** Reads runs of bytes; the stream has no other reader. */
export interface ByteReader<E> {
  /** What has come and is not yet taken; a view, good until the next read. */
  readonly buffered: () => Uint8Array
  /** How many bytes were taken so far. */
  readonly position: () => number
  /** Waits until more bytes have come. */
  readonly fill: Effect.Effect<void, E | EndOfStream>
  /** Waits until `count` bytes have come and shows them without taking them. */
  readonly peek: (count: number) => Effect.Effect<Uint8Array, E | EndOfStream>
  /** Takes exactly `count` bytes. */
  readonly take: (count: number) => Effect.Effect<Uint8Array, E | EndOfStream>
}

/**
 * Reads from `pull`, which fails with `EndOfStream` once nothing more will come. `room` may delay
 * each read for a run that has not come whole; it gets the position of the run's end.
 */
export const make = <E>(
  pull: Effect.Effect<ReadonlyArray<Uint8Array>, E | EndOfStream>,
  room: (end: number) => Effect.Effect<void> = () => Effect.void
): ByteReader<E> => {
  const queue = new ByteQueue()
  let position = 0
  let hasEnded = false
  const endOfStream = () => Effect.fail(new EndOfStream({ pending: queue.length }))
  const pulled = pull.pipe(
    Effect.map((chunks) => {
      for (const chunk of chunks) queue.push(chunk)
    }),
    Effect.catchIf(
      (error) => error instanceof EndOfStream,
      () => {
        hasEnded = true
        return endOfStream()
      }
    )
  )
  // A socket says only once that nothing more will come.
  const fill = Effect.suspend(() => {
    queue.trim()
    return hasEnded ? endOfStream() : pulled
  })
  const arrived = (count: number): Effect.Effect<void, E | EndOfStream> =>
    Effect.suspend(() => {
      const hasCome = queue.length >= count
      queue.expect(hasCome ? 0 : count)
      if (hasCome) return Effect.void
      return room(position + count).pipe(Effect.andThen(fill), Effect.andThen(arrived(count)))
    })
  return {
    buffered: () => queue.bytes,
    position: () => position,
    fill,
    peek: (count) => Effect.map(arrived(count), () => queue.bytes.subarray(0, count)),
    take: (count) =>
      Effect.map(arrived(count), () => {
        position += count
        return queue.take(count)
      })
  }
}
