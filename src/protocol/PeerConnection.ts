/**
 * One end of an open connection, for server and client. It reads runs of bytes, writes bytes, and
 * reports every way in which a connection can end as `EndOfStream` or `ConnectionLost`.
 */
import { Data, Effect, Exit, Scope } from "effect"
import type { Reader, Socket, SocketError } from "effect/socket/Socket"
import * as ByteReader from "./ByteReader.ts"

/** The connection was reset, timed out or never opened. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly reason: string
}> {
  override get message(): string {
    return `connection lost: ${this.reason}`
  }
}

export interface PeerConnection {
  readonly reader: ByteReader.ByteReader<ConnectionLost>
  /** Writes bytes; waits while the peer does not read. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** Fails once both directions are closed; a FIN from the peer is not enough. */
  readonly lost: Effect.Effect<never, ConnectionLost>
  /** Sends FIN after the bytes already written; reading continues. */
  readonly end: Effect.Effect<void>
}

/** The operating system's reason for an error, for people. */
export const systemReason = (error: Error): string =>
  // A host name had several addresses, and none could be reached.
  error instanceof AggregateError
    ? error.errors.map((one: unknown) => String(one)).join(", ")
    : error.message

/** The useful reason of a socket error is in its cause. */
const reasonOf = ({ reason }: SocketError): string => {
  const cause = "cause" in reason ? reason.cause : undefined
  const text = cause instanceof Error ? systemReason(cause) : ""
  return text === "" ? reason.message : text
}

const toConnectionLost = (error: SocketError): ConnectionLost =>
  new ConnectionLost({ reason: reasonOf(error) })

/** A socket's code for a FIN from the peer. */
const NORMAL_CLOSE = 1000

const utf8 = new TextEncoder()

type Chunks = Effect.Success<Reader["pull"]>

/** The part of `net.Socket` that shows whether the connection is closed. */
interface Link {
  readonly destroyed: boolean
  /** The number of bytes read ahead. */
  readonly readableLength: number
  readonly once: (event: "close", listener: () => void) => unknown
  readonly off: (event: "close", listener: () => void) => unknown
}

/** Opens both directions of a socket until the scope closes. `room` is passed to `ByteReader`. */
export const make = Effect.fnUntraced(function* (
  socket: Socket,
  link: Link,
  room?: (end: number) => Effect.Effect<void>
): Effect.fn.Return<PeerConnection, ConnectionLost, Scope.Scope> {
  // The reader comes first: it opens the socket, and closes it at the end.
  const reader = yield* Effect.mapError(socket.reader, toConnectionLost)
  const writing = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* Scope.provide(socket.writer, writing)
  // Adds all bytes read ahead, so that messages that arrive together are stored together.
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
    // A write to a closed connection would wait forever for it to close.
    write: (bytes) =>
      Effect.suspend(() =>
        link.destroyed
          ? Effect.fail(new ConnectionLost({ reason: "already closed" }))
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
