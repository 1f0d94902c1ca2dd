/** The client's side of a connection: dialling, and how the server can let an agency down. */

import * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Data, Effect, type Scope } from "effect"
import { SocketError, SocketOpenError } from "effect/socket/Socket"
import { loggedResource } from "../domain/LoggedResource.ts"
import { EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { FrameTooLarge } from "../protocol/NativeFrames.ts"
import * as Peer from "../protocol/PeerConnection.ts"
import { ConnectionLost, type PeerConnection } from "../protocol/PeerConnection.ts"

export interface ServerAddress {
  readonly host: string
  readonly port: number
}

/** There is no server at the address, or none that answers. */
export class Unreachable extends Data.TaggedError("Unreachable")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    const { host, port } = this.server
    return `cannot reach ${host}:${port}: ${this.reason}`
  }
}

/** The server refused what was sent, and said why where the dialect can. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly reason: string
  /** Whether it may take the same another time; what the old dialects refuse, they never take. */
  readonly retryable: boolean
  /** What the native dialect calls the reason. */
  readonly code?: string
  /** The bet that is refused, counted from 0 in the book. */
  readonly position?: number | undefined
}> {
  override get message(): string {
    const code = this.code === undefined ? "" : ` (${this.code})`
    const position = this.position === undefined ? "" : ` at position ${this.position}`
    return `the server refused${code}${position}: ${this.reason}`
  }
}

/** What came is not what a lottery server answers. */
export class BadAnswer extends Data.TaggedError("BadAnswer")<{ readonly reason: string }> {
  override get message(): string {
    return `the server does not answer as it should: ${this.reason}; is it the right address?`
  }
}

/** An answer that does not fit what was asked. */
export const unexpected = (tag: string): BadAnswer =>
  new BadAnswer({ reason: `${tag} was not asked for` })

/** How much of a server's own words is shown, in characters. */
const SHOWN_CHARACTERS = 500

/** A server's own words, as far as they are shown. */
export const shownReason = (reason: string): string => reason.slice(0, SHOWN_CHARACTERS)

/** A server that is to answer and is silent for so long is gone, or stuck. */
export const SILENCE_SECONDS = 45

/** Fails where nothing comes for too long. */
export const unlessSilent = <A, E, R>(hearing: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(hearing, {
    duration: `${SILENCE_SECONDS} seconds`,
    orElse: () =>
      Effect.fail(new ConnectionLost({ reason: `nothing heard for ${SILENCE_SECONDS} s` }))
  })

/** Reads an answer; what is none, and an end in its place, becomes what that means here. */
export const hearAnswer = <A, E, R>(
  reading: Effect.Effect<A, E | EndOfStream | BadMessage | FrameTooLarge, R>
) =>
  Effect.mapError(reading, (error) => {
    if (error instanceof EndOfStream) return toConnectionLost(error)
    return error instanceof BadMessage || error instanceof FrameTooLarge
      ? new BadAnswer({ reason: error.message })
      : error
  })

/** How long a server may take to accept a connection. */
const OPEN_TIMEOUT = "10 seconds"
const CLOSE_TIMEOUT = "1 second"
/** After so much silence the system asks whether the server's machine is still there. */
const KEEP_ALIVE_MILLIS = 30_000

/** A connection that is being dialled; closes with the scope. */
const dial = (server: ServerAddress) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { host, port } = server
      const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MILLIS }
      const net = Net.createConnection({ host, port, noDelay: true, ...keepAlive })
      // Whoever reads or writes learns of an error; between them nobody listens, which would end
      // the process.
      return net.on("error", () => {})
    }),
    (net) => Effect.sync(() => (net.connecting ? net.destroy() : net.destroySoon()))
  )

const connected = (net: Net.Socket) =>
  Effect.callback<Net.Socket, SocketError>((resume) => {
    if (!net.connecting && !net.destroyed) resume(Effect.succeed(net))
    net.once("connect", () => resume(Effect.succeed(net)))
    net.once("error", (cause) =>
      resume(
        Effect.fail(new SocketError({ reason: new SocketOpenError({ kind: "Unknown", cause }) }))
      )
    )
  })

/** Connects without a word in the log; closes with the scope. */
export const open = Effect.fnUntraced(
  function* (server: ServerAddress): Effect.fn.Return<PeerConnection, ConnectionLost, Scope.Scope> {
    const net = yield* dial(server)
    const socket = yield* NodeSocket.fromDuplex(connected(net), { openTimeout: OPEN_TIMEOUT })
    return yield* Peer.make(socket, net)
  },
  (effect, server) => Effect.mapError(effect, ({ reason }) => new Unreachable({ server, reason }))
)

/** Connects; closes with the scope, which the log says. */
export const connect = (server: ServerAddress) =>
  loggedResource("connection", open(server), CLOSE_TIMEOUT)

/** The end of the stream where an answer should come. */
const toConnectionLost = (end: EndOfStream): ConnectionLost =>
  new ConnectionLost({
    reason:
      end.pending === 0
        ? "the server closed it without an answer"
        : `the server closed it after ${end.pending} bytes of an answer`
  })
