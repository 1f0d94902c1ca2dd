/**
 * One end of an open connection, for server and client. It reads runs of bytes, writes bytes, and
 * reports every way in which a connection can end as `EndOfStream` or `ConnectionLost`.
 */
import { Data, Effect, Scope } from "effect"
import * as ByteReader from "./ByteReader.ts"

/** The connection was reset, timed out or never opened. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly reason: string
}> {
  override get message(): string {
    return `connection lost: ${this.reason}`
  }
}

type Ending = ByteReader.EndOfStream | ConnectionLost

export interface PeerConnection {
  readonly reader: ByteReader.ByteReader<ConnectionLost>
  /** Writes bytes; waits while the peer does not read. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** Fails once both directions are closed; a FIN from the peer is not enough. */
  readonly lost: Effect.Effect<never, ConnectionLost>
  /** Sends FIN after the bytes already written; reading continues. */
  readonly end: Effect.Effect<void>
}

/** A connection that can also be used without a fiber, so that idle ones need none. */
export interface HeldConnection extends PeerConnection {
  /** Writes bytes if that takes no wait; returns whether it did. */
  readonly writeNow: (bytes: Uint8Array) => boolean
  /**
   * Discards input that `reader` has not read, until the returned function is called. Calls `onEnd`
   * when there can be no more.
   */
  readonly discard: (onEnd: (ending: Ending) => void) => () => void
}

/** The operating system's reason for an error, for people. */
export const systemReason = (error: Error): string =>
  // A host name had several addresses, and none could be reached.
  error instanceof AggregateError
    ? error.errors.map((one: unknown) => String(one)).join(", ")
    : error.message

const lostBy = (error: Error): ConnectionLost =>
  new ConnectionLost({ reason: systemReason(error) || error.name })

type Event = "readable" | "end" | "error" | "close" | "drain"

/** The part of `net.Socket` that is used. */
interface Link {
  readonly destroyed: boolean
  readonly errored: Error | null
  /** The number of bytes read ahead. */
  readonly readableLength: number
  readonly writableLength: number
  readonly writableEnded: boolean
  readonly pause: () => unknown
  readonly read: () => Uint8Array | null
  readonly write: (bytes: Uint8Array) => boolean
  readonly end: () => unknown
  readonly on: (event: Event, listener: (error: Error) => void) => unknown
  readonly off: (event: Event, listener: (error: Error) => void) => unknown
}

/** What `writeNow` leaves in the memory of this process stays below this many bytes. */
export const MAX_UNSENT_BYTES = 65_536

/**
 * Reads and writes an open socket until the scope closes. The socket itself is closed by the code
 * that opened it. `room` is passed to `ByteReader`.
 */
export const make = (
  link: Link,
  room?: (end: number) => Effect.Effect<void>
): Effect.Effect<HeldConnection, never, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) => {
    const input = new Input(link)
    return Effect.as(
      Scope.addFinalizerExit(scope, () => Effect.sync(() => input.release())),
      {
        reader: ByteReader.make(input.pull, room),
        write: (bytes: Uint8Array) => write(link, bytes),
        writeNow: (bytes: Uint8Array) => {
          if (link.destroyed || link.writableLength + bytes.length >= MAX_UNSENT_BYTES) return false
          link.write(bytes)
          return true
        },
        lost: lost(link),
        discard: (onEnd: (ending: Ending) => void) => input.discard(onEnd),
        end: Effect.sync(() => {
          if (!link.writableEnded) link.end()
        })
      }
    )
  }).pipe(Effect.uninterruptible)

/** The reading half of a socket, which is never in flowing mode. */
class Input {
  private readonly link: Link
  private ending: Ending | undefined
  /** Runs when there may be something to read, or no more. */
  private notify: (() => void) | undefined

  constructor(link: Link) {
    this.link = link
    link.pause()
    link.on("readable", this.onReadable)
    link.on("end", this.onEnd)
    link.on("error", this.onError)
    link.on("close", this.onEnd)
  }

  release(): void {
    const { link, onEnd, onError, onReadable } = this
    link.off("readable", onReadable)
    link.off("end", onEnd)
    link.off("error", onError)
    link.off("close", onEnd)
  }

  /** Waits for bytes. Returns all that were read ahead, so that they are stored together. */
  readonly pull = Effect.callback<ReadonlyArray<Uint8Array>, Ending>((resume) => {
    const pass = () => {
      const chunks = this.read()
      if (chunks.length === 0 && this.ending === undefined) return false
      // `resume` may run the next pull at once.
      this.forget(pass)
      resume(chunks.length > 0 ? Effect.succeed(chunks) : Effect.fail(this.ending!))
      return true
    }
    if (pass()) return
    this.notify = pass
    return Effect.sync(() => this.forget(pass))
  })

  discard(onEnd: (ending: Ending) => void): () => void {
    const pass = () => {
      while (this.read().length > 0);
      if (this.ending === undefined) return
      this.notify = undefined
      onEnd(this.ending)
    }
    this.notify = pass
    pass()
    return () => this.forget(pass)
  }

  /** The next reader may come before the one that is interrupted has left. */
  private forget(pass: () => void): void {
    if (this.notify === pass) this.notify = undefined
  }

  /** After the last chunk that has arrived, one more `read` would make Node read ahead. */
  private read(): ReadonlyArray<Uint8Array> {
    const { link } = this
    const chunks: Array<Uint8Array> = []
    if (this.ending?._tag === "ConnectionLost") return chunks
    do {
      const chunk = link.read()
      if (chunk === null) break
      chunks.push(chunk)
    } while (link.readableLength > 0)
    return chunks
  }

  private readonly onReadable = () => this.notify?.()

  private readonly onEnd = () => {
    this.ending ??= new ByteReader.EndOfStream({ pending: 0 })
    this.notify?.()
  }

  private readonly onError = (error: Error) => {
    this.ending ??= lostBy(error)
    this.notify?.()
  }
}

const write = (link: Link, bytes: Uint8Array): Effect.Effect<void, ConnectionLost> =>
  Effect.suspend(() => {
    // A write to a closed connection would wait forever for it to close.
    if (link.destroyed) return Effect.fail(new ConnectionLost({ reason: "already closed" }))
    return link.write(bytes) ? Effect.void : drained(link)
  })

const drained = (link: Link) =>
  Effect.callback<void, ConnectionLost>((resume) => {
    const stop = () => {
      link.off("drain", onDrain)
      link.off("close", onClose)
    }
    const onDrain = () => {
      stop()
      resume(Effect.void)
    }
    const onClose = () => {
      stop()
      const { errored } = link
      resume(
        Effect.fail(errored ? lostBy(errored) : new ConnectionLost({ reason: "socket closed" }))
      )
    }
    link.on("drain", onDrain)
    link.on("close", onClose)
    return Effect.sync(stop)
  })

const lost = (link: Link) =>
  Effect.callback<never, ConnectionLost>((resume) => {
    const onClose = () =>
      resume(Effect.fail(new ConnectionLost({ reason: "the peer has gone away" })))
    if (link.destroyed) return onClose()
    link.on("close", onClose)
    return Effect.sync(() => link.off("close", onClose))
  })
