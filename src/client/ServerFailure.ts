/** A server's address, and the errors a server can cause. */
import { Data, Effect } from "effect"
import { EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { FrameTooLarge } from "../protocol/native/NativeFrames.ts"
import { ConnectionLost } from "../protocol/PeerConnection.ts"

/** TLS credentials in PEM. Without `ca` the system's CAs are trusted. */
export interface ClientTls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface ServerAddress {
  readonly host: string
  readonly port: number
  /** Undefined for a plain connection. */
  readonly tls?: ClientTls | undefined
}

const show = ({ host, port }: ServerAddress): string => `${host}:${port}`

export class Unreachable extends Data.TaggedError("Unreachable")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    return `cannot reach ${show(this.server)}: ${this.reason}`
  }
}

/** The TLS handshake failed: the server's certificate is not trusted, or TLS itself failed. */
export class NotTrusted extends Data.TaggedError("NotTrusted")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    return `no TLS connection to ${show(this.server)}: ${this.reason}`
  }
}

/** One side uses TLS and the other does not. */
export class TlsMismatch extends Data.TaggedError("TlsMismatch")<{
  readonly server: ServerAddress
}> {
  get reason(): string {
    return this.server.tls === undefined
      ? "the server uses TLS: name its CA with --tls-ca, or use --tls if its CA is a public one"
      : "the server does not use TLS: omit --tls, --tls-ca, --tls-cert and --tls-key"
  }

  override get message(): string {
    return `${show(this.server)}: ${this.reason}`
  }
}

const SHOWN_REASON_CHARACTERS = 500

/** The server refused a message. Not every dialect can give a reason. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly reason: string
  /** Whether the server may accept the same message later; never in the course's dialects. */
  readonly retryable: boolean
  /** The rejection code, in the native dialect. */
  readonly code?: string
  /** The refused bet, counted from 0 in the book. */
  readonly position?: number | undefined
  /** The place of that bet in the book, such as `book.csv:17`. */
  readonly place?: string | undefined
}> {
  override get message(): string {
    const code = this.code === undefined ? "" : ` (${this.code})`
    const position = this.position === undefined ? "" : ` at position ${this.position}`
    const place = this.place === undefined ? position : ` at ${this.place}`
    return `the server refused${code}${place}: ${this.reason.slice(0, SHOWN_REASON_CHARACTERS)}`
  }
}

export class BadAnswer extends Data.TaggedError("BadAnswer")<{ readonly reason: string }> {
  override get message(): string {
    return `invalid answer from the server: ${this.reason}; check the server's address`
  }
}

/** The error for an answer that does not match the request. */
export const unexpected = ({ _tag }: { readonly _tag: string }): BadAnswer =>
  new BadAnswer({ reason: `unexpected ${_tag}` })

export type ConnectFailure = Unreachable | NotTrusted | TlsMismatch
export type ServerFailure = ConnectFailure | ConnectionLost | Refused | BadAnswer

/** Reads an answer. Invalid bytes and the end of the stream become errors of the server. */
export const readAnswer = <A, E, R>(
  reading: Effect.Effect<A, E | EndOfStream | BadMessage | FrameTooLarge, R>
) =>
  Effect.mapError(reading, (error) => {
    if (error instanceof EndOfStream) {
      const when =
        error.pending === 0 ? "without an answer" : `after ${error.pending} bytes of an answer`
      return new ConnectionLost({ reason: `the server closed it ${when}` })
    }
    return error instanceof BadMessage || error instanceof FrameTooLarge
      ? new BadAnswer({ reason: error.message })
      : error
  })

const SILENCE_SECONDS = 45

/** Fails with `ConnectionLost` if the server sends nothing for 45 s. */
export const unlessSilent = <A, E, R>(hearing: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(hearing, {
    duration: `${SILENCE_SECONDS} seconds`,
    orElse: () =>
      Effect.fail(new ConnectionLost({ reason: `nothing received for ${SILENCE_SECONDS} s` }))
  })
