/**
 * One end of an open connection as both server and client use it: bytes read in runs, bytes
 * written, and every way in which a connection can end as one of two typed errors.
 */
import { Data, Effect, Exit, Scope } from "effect"
import type { Reader, Socket, SocketError } from "effect/socket/Socket"
import * as ByteReader from "./ByteReader.ts"

/** The connection broke: reset, timed out, never opened. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly reason: string
}> {
  override get message(): string {
    return `the connection is lost: ${this.reason}`
  }
}

export interface PeerConnection {
  readonly reader: ByteReader.ByteReader<ConnectionLost>
  /** Hands bytes to the connection; waits while the peer does not read. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** Fails once the connection is gone as a whole; a peer's FIN alone is not that. */
  readonly lost: Effect.Effect<never, ConnectionLost>
  /** Says that nothing more will be written (FIN), after what was written; reading goes on. */
  readonly end: Effect.Effect<void>
}

/** What the system says of a connection, in the words that a person needs. */
export const systemReason = (error: Error): string =>
  // A name with several addresses, none of which could be reached.
  error instanceof AggregateError
    ? error.errors.map((one: unknown) => String(one)).join(", ")
    : error.message

/** The reason that a person needs, which sits in the cause. */
const reasonOf = ({ reason }: SocketError): string => {
  const cause = "cause" in reason ? reason.cause : undefined
  const text = cause instanceof Error ? systemReason(cause) : ""
  return text === "" ? reason.message : text
}

const toConnectionLost = (error: SocketError): ConnectionLost =>
  new ConnectionLost({ reason: reasonOf(error) })

/** The code with which a socket says that the peer sent its FIN. */
const NORMAL_CLOSE = 1000

const utf8 = new TextEncoder()

type Chunks = Effect.Success<Reader["pull"]>

/** What is asked of the connection below a socket: whether it is gone. A `net.Socket` says so. */
interface Link {
  readonly destroyed: boolean
  /** Bytes that were read ahead. */
  readonly readableLength: number
  readonly once: (event: "close", listener: () => void) => unknown
  readonly off: (event: "close", listener: () => void) => unknown
}

/** Opens both directions of a socket; they close with the scope. `room` is that of `ByteReader`. */
export const make = Effect.fnUntraced(function* (
  socket: Socket,
  link: Link,
  room?: (end: number) => Effect.Effect<void>
): Effect.fn.Return<PeerConnection, ConnectionLost, Scope.Scope> {
  // The reader first: it is what opens the socket, and what closes it in the end.
  const reader = yield* Effect.mapError(socket.reader, toConnectionLost)
  const writing = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* Scope.provide(socket.writer, writing)
  // With all that was read ahead, which is there already: messages that come together are stored
  // together.
  const withMore = (chunks: Chunks): typeof reader.pull =>
    link.readableLength === 0
      ? Effect.succeed(chunks)
      : Effect.flatMap(reader.pull, (more) => withMore([...chunks, ...more]))
  const pull = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(reader.pull), withMore)
  ).pipe(
    Effect.map((chunks) =>
      chunks.map((chunk) => (typeof chunk === "string" ? utf8.encode(chunk) : chunk))
    ),
    Effect.mapError((error) =>
      error.reason._tag === "SocketCloseError" && error.reason.code === NORMAL_CLOSE
        ? new ByteReader.EndOfStream({ pending: 0 })
        : toConnectionLost(error)
    )
  )
  return {
    reader: ByteReader.make(pull, room),
    // A write to a connection that is gone already would wait for ever for it to close.
    write: (bytes) =>
      Effect.suspend(() =>
        link.destroyed
          ? Effect.fail(new ConnectionLost({ reason: "it was closed" }))
          : Effect.mapError(writer.write(bytes), toConnectionLost)
      ),
    lost: Effect.callback((resume) => {
      const onClose = () =>
        resume(Effect.fail(new ConnectionLost({ reason: "the peer has gone away" })))
      if (link.destroyed) {
        onClose()
        return
      }
      link.once("close", onClose)
      return Effect.sync(() => link.off("close", onClose))
    }),
    end: Scope.close(writing, Exit.void)
  }
})
