/**
 * Reads runs of bytes of a given length from a stream that may be cut anywhere. Chunks come from a
 * `pull` effect; a `ByteQueue` buffers them.
 */
import { Data, Effect } from "effect"

/** The stream has ended; `pending` bytes of an incomplete message are left. */
export class EndOfStream extends Data.TaggedError("EndOfStream")<{ readonly pending: number }> {
  override get message(): string {
    return this.pending === 0
      ? "the peer stopped sending"
      : `the peer stopped sending after ${this.pending} bytes of a message`
  }
}

const SMALLEST_BUFFER_BYTES = 1024
/** `trim` keeps smaller buffers: allocating one per chunk costs a fifth of a packet's time. */
const MAX_KEPT_BYTES = 512 * 1024
const EMPTY = new Uint8Array(0)

/**
 * Frees a received chunk that was copied, and that nothing else refers to. Left to the garbage
 * collector, chunks make it run twice as often, which takes a tenth of the server's time. A chunk
 * that shares its buffer with others stays.
 */
const release = ({ buffer, byteLength }: Uint8Array): void => {
  if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/**
 * Received bytes that have not been taken. `take` returns a view that is never written to again.
 * Small chunks are joined as they arrive. They use a few times their size in memory, or the size of
 * the expected run.
 */
export class ByteQueue {
  /** A received chunk that ends at `end`, or a new buffer with free space after `end`. */
  private buffer: Uint8Array = EMPTY
  private start = 0
  private end = 0
  private expected = 0

  get length(): number {
    return this.end - this.start
  }

  /** A view, valid until the next `push` or `take`. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(this.start, this.end)
  }

  /** Sets the length of the next run. A new buffer makes room for it and for no more. */
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
      // Nothing was taken from it.
      if (this.start === 0) release(this.buffer)
      this.end = this.length
      this.start = 0
      this.buffer = larger
    }
    this.buffer.set(chunk, this.end)
    this.end += chunk.length
    release(chunk)
  }

  /** Takes the first `count` bytes, which must have been received. */
  take(count: number): Uint8Array {
    const taken = this.buffer.subarray(this.start, this.start + count)
    this.start += count
    return taken
  }

  /** Frees unused memory before a wait, which may be long. */
  trim(): void {
    if (this.length > 0 && this.buffer.length <= Math.max(MAX_KEPT_BYTES, this.expected)) return
    this.buffer = this.length === 0 ? EMPTY : new Uint8Array(this.bytes)
    this.start = 0
    this.end = this.buffer.length
  }
}

/** The only reader of a stream. */
export interface ByteReader<E> {
  /** The received bytes that have not been taken: a view, valid until the next read. */
  buffered(): Uint8Array
  /** Takes the first `count` of the buffered bytes, without waiting. */
  takeBuffered(count: number): Uint8Array
  /** The number of bytes taken so far. */
  position(): number
  /** Waits for more bytes. */
  readonly fill: Effect.Effect<void, E | EndOfStream>
  /** Waits for `count` bytes and returns them without taking them. */
  peek(count: number): Effect.Effect<Uint8Array, E | EndOfStream>
  /** Waits for `count` bytes and takes them. */
  take(count: number): Effect.Effect<Uint8Array, E | EndOfStream>
}

/** Methods, because closures would take a KB of each connection. */
class PullReader<E> implements ByteReader<E> {
  private readonly queue = new ByteQueue()
  private readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, E | EndOfStream>
  private readonly room: ((end: number) => Effect.Effect<void>) | undefined
  private taken = 0
  private hasEnded = false

  constructor(pull: PullReader<E>["pull"], room: PullReader<E>["room"]) {
    this.pull = pull
    this.room = room
  }

  buffered(): Uint8Array {
    return this.queue.bytes
  }

  takeBuffered(count: number): Uint8Array {
    this.taken += count
    return this.queue.take(count)
  }

  position(): number {
    return this.taken
  }

  get fill(): Effect.Effect<void, E | EndOfStream> {
    return Effect.suspend(() => {
      this.queue.trim()
      return this.hasEnded ? this.endOfStream() : this.pulled()
    })
  }

  peek(count: number): Effect.Effect<Uint8Array, E | EndOfStream> {
    return Effect.map(this.arrived(count), () => this.queue.bytes.subarray(0, count))
  }

  take(count: number): Effect.Effect<Uint8Array, E | EndOfStream> {
    return Effect.map(this.arrived(count), () => this.takeBuffered(count))
  }

  private pulled(): Effect.Effect<void, E | EndOfStream> {
    return Effect.matchEffect(this.pull, {
      onSuccess: (chunks) => {
        for (const chunk of chunks) this.queue.push(chunk)
        return Effect.void
      },
      onFailure: (error): Effect.Effect<never, E | EndOfStream> => {
        if (!(error instanceof EndOfStream)) return Effect.fail(error)
        // A socket reports the end of its stream only once.
        this.hasEnded = true
        return this.endOfStream()
      }
    })
  }

  private endOfStream(): Effect.Effect<never, EndOfStream> {
    return Effect.fail(new EndOfStream({ pending: this.queue.length }))
  }

  private arrived(count: number): Effect.Effect<void, E | EndOfStream> {
    return Effect.suspend(() => {
      const hasCome = this.queue.length >= count
      this.queue.expect(hasCome ? 0 : count)
      if (hasCome) return Effect.void
      const filled = Effect.andThen(this.fill, this.arrived(count))
      return this.room === undefined
        ? filled
        : Effect.andThen(this.room(this.taken + count), filled)
    })
  }
}

/**
 * Reads from `pull`, which fails with `EndOfStream` when the stream has ended. The reader owns the
 * chunks and frees those it has copied; the code that takes bytes owns them, and may write to them.
 * `room` may delay each read of an incomplete run; its argument is the position at which the run
 * ends.
 */
export const make = <E>(
  pull: Effect.Effect<ReadonlyArray<Uint8Array>, E | EndOfStream>,
  room?: (end: number) => Effect.Effect<void>
): ByteReader<E> => new PullReader(pull, room)
