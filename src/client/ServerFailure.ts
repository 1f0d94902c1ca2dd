/** Where a server is, and how it can let an agency down. */
import { Data, Effect } from "effect"
import { EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { FrameTooLarge } from "../protocol/native/NativeFrames.ts"
import { ConnectionLost } from "../protocol/PeerConnection.ts"

/** What TLS is spoken with, each as PEM: without a CA the system's are believed. */
export interface ClientTls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface ServerAddress {
  readonly host: string
  readonly port: number
  /** Spoken to in the clear if it is undefined. */
  readonly tls?: ClientTls | undefined
}

const show = ({ host, port }: ServerAddress): string => `${host}:${port}`

/** There is no server at the address, or none that answers. */
export class Unreachable extends Data.TaggedError("Unreachable")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    return `cannot reach ${show(this.server)}: ${this.reason}`
  }
}

/** The server does not prove that it is the one that is meant. */
export class NotTrusted extends Data.TaggedError("NotTrusted")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    return `no TLS connection to ${show(this.server)}: ${this.reason}`
  }
}

/** One side speaks TLS and the other does not: either has to be started in another way. */
export class TlsMismatch extends Data.TaggedError("TlsMismatch")<{
  readonly server: ServerAddress
}> {
  get reason(): string {
    return this.server.tls === undefined
      ? "the server speaks TLS: name its CA with --tls-ca, or give --tls if that is a public one"
      : "the server does not speak TLS: leave out --tls, --tls-ca, --tls-cert and --tls-key"
  }

  override get message(): string {
    return `${show(this.server)}: ${this.reason}`
  }
}

/** How much of a server's own words is shown, in characters. */
const SHOWN_CHARACTERS = 500

/** The server refused what was sent, with a reason if the dialect has words for it. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly reason: string
  /** Whether it may take the same another time; what the old dialects refuse, they never take. */
  readonly retryable: boolean
  /** What the native dialect calls the reason. */
  readonly code?: string
  /** The bet that is refused, counted from 0 in the book. */
  readonly position?: number | undefined
  /** The place of that bet in the book, such as `book.csv:17`. */
  readonly place?: string | undefined
}> {
  override get message(): string {
    const code = this.code === undefined ? "" : ` (${this.code})`
    const position = this.position === undefined ? "" : ` at position ${this.position}`
    const place = this.place === undefined ? position : ` at ${this.place}`
    return `the server refused${code}${place}: ${this.reason.slice(0, SHOWN_CHARACTERS)}`
  }
}

/** What came is not what a lottery server answers. */
export class BadAnswer extends Data.TaggedError("BadAnswer")<{ readonly reason: string }> {
  override get message(): string {
    return `the server does not answer as it should: ${this.reason}; is it the right address?`
  }
}

/** An answer that does not fit what was asked. */
export const unexpected = ({ _tag }: { readonly _tag: string }): BadAnswer =>
  new BadAnswer({ reason: `${_tag} was not asked for` })

export type ConnectFailure = Unreachable | NotTrusted | TlsMismatch
export type ServerFailure = ConnectFailure | ConnectionLost | Refused | BadAnswer

/** Reads an answer, and turns what is no answer into a failure of the server. */
export const hearAnswer = <A, E, R>(
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

/** A server that owes an answer and is silent for this long is gone, or stuck. */
const SILENCE_SECONDS = 45

/** Fails if nothing comes for too long. */
export const unlessSilent = <A, E, R>(hearing: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(hearing, {
    duration: `${SILENCE_SECONDS} seconds`,
    orElse: () =>
      Effect.fail(new ConnectionLost({ reason: `nothing heard for ${SILENCE_SECONDS} s` }))
  })
