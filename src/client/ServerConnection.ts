/** The client's side of a connection: dialling, and how the server can let an agency down. */

import * as Net from "node:net"
import * as Tls from "node:tls"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Data, Effect, type Scope } from "effect"
import { loggedResource } from "../domain/LoggedResource.ts"
import { type ByteReader, EndOfStream } from "../protocol/ByteReader.ts"
import { BadMessage } from "../protocol/BytesCodec.ts"
import { FrameTooLarge } from "../protocol/native/NativeFrames.ts"
import * as Peer from "../protocol/PeerConnection.ts"
import { ConnectionLost, type PeerConnection, systemReason } from "../protocol/PeerConnection.ts"
import { isNoTls, TlsMismatch, unlessTls } from "./TlsMismatch.ts"

/** What TLS is spoken with, each as PEM: without a CA the system's are believed. */
export interface ClientTls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface ServerAddress {
  readonly host: string
  readonly port: number
  /** Spoken to in the clear where it is undefined. */
  readonly tls?: ClientTls | undefined
}

/** A connection to a server; on a plain one the server may turn out to speak TLS. */
export interface ServerConnection extends Omit<PeerConnection, "reader"> {
  readonly reader: ByteReader<ConnectionLost | TlsMismatch>
}

/** The server does not prove that it is the one that is meant. */
export class NotTrusted extends Data.TaggedError("NotTrusted")<{
  readonly server: ServerAddress
  readonly reason: string
}> {
  override get message(): string {
    const { host, port } = this.server
    return `no TLS connection to ${host}:${port}: ${this.reason}`
  }
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
  /** Where that bet stands in the book, such as `book.csv:17`. */
  readonly place?: string | undefined
}> {
  override get message(): string {
    const code = this.code === undefined ? "" : ` (${this.code})`
    const position = this.position === undefined ? "" : ` at position ${this.position}`
    const place = this.place === undefined ? position : ` at ${this.place}`
    return `the server refused${code}${place}: ${this.reason}`
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
const SILENCE_SECONDS = 45

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

/**
 * A name is also sent to the server, which may have a certificate for each of its names. Its check
 * is asked for, so that no variable of the environment turns it off.
 */
const dialTls = (options: Net.TcpNetConnectOpts, { ca, cert, key }: ClientTls) =>
  Tls.connect({
    ...options,
    rejectUnauthorized: true,
    ...(Net.isIP(options.host ?? "") === 0 && { servername: options.host }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key })
  })

/** The codes of Node and OpenSSL for what is wrong with a certificate, or with TLS itself. */
const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL)|CERT|SIGNATURE|ISSUER|CRL|INVALID_(CA|PURPOSE)|PATH_LENGTH/

/** Those of them for a certificate that comes from no CA that is known. */
const NO_CA_CODE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF|GET_ISSUER).*)$/

type OpenFailure = Unreachable | NotTrusted | TlsMismatch

/** What an error of a connection means: a wrong certificate stays wrong when trying again. */
const toOpenFailure = (server: ServerAddress, error: Error): OpenFailure => {
  const reason = systemReason(error)
  if (isNoTls(error)) return new TlsMismatch({ server })
  const code = "code" in error ? String(error.code) : ""
  if (NO_CA_CODE.test(code)) {
    const hint =
      server.tls?.ca === undefined
        ? "name the CA of the server's certificate with --tls-ca"
        : "the certificate does not come from the CA that --tls-ca names"
    // Node adds advice on itself.
    return new NotTrusted({ server, reason: `${reason.replace(/;.*/s, "")}; ${hint}` })
  }
  // OpenSSL's message has its own source's line in it, and its reason is what a person needs.
  const isOpenSsl = code.startsWith("ERR_SSL") && "reason" in error
  if (isOpenSsl) return new NotTrusted({ server, reason: String(error.reason) })
  if (TLS_CODE.test(code)) return new NotTrusted({ server, reason })
  const isShaking = server.tls !== undefined && code === "ECONNRESET"
  const hint = isShaking ? " in the TLS handshake; does the server speak TLS?" : ""
  return new Unreachable({ server, reason: `${reason}${hint}` })
}

/** A connection that is being dialled; closes with the scope. */
const dial = (server: ServerAddress) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const { host, port, tls } = server
        const keepAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MILLIS }
        const options = { host, port, noDelay: true, ...keepAlive }
        const net = tls === undefined ? Net.createConnection(options) : dialTls(options, tls)
        // Whoever reads or writes learns of an error; between them nobody listens, which would end
        // the process.
        return net.on("error", () => {})
      },
      // Certificates that cannot be read are refused at once.
      catch: (error) =>
        toOpenFailure(server, error instanceof Error ? error : new Error(`${error}`))
    }),
    (net) => Effect.sync(() => (net.connecting ? net.destroy() : net.destroySoon()))
  )

/** Waits until a connection is open, with TLS once both sides have shaken hands. */
const opened = (net: Net.Socket, server: ServerAddress) =>
  Effect.callback<void, OpenFailure>((resume) => {
    const isOpen = server.tls === undefined ? "connect" : "secureConnect"
    net.once(isOpen, () => resume(Effect.void))
    net.once("error", (error) => resume(Effect.fail(toOpenFailure(server, error))))
  }).pipe(
    Effect.timeoutOrElse({
      duration: OPEN_TIMEOUT,
      orElse: () => Effect.fail(new Unreachable({ server, reason: `not in ${OPEN_TIMEOUT}` }))
    })
  )

/** Connects without a word in the log; closes with the scope. */
export const open = Effect.fnUntraced(function* (
  server: ServerAddress
): Effect.fn.Return<ServerConnection, OpenFailure, Scope.Scope> {
  const net = yield* dial(server)
  yield* opened(net, server)
  const socket = yield* NodeSocket.fromDuplex(Effect.succeed(net))
  const connection = yield* Effect.mapError(
    Peer.make(socket, net),
    ({ reason }) => new Unreachable({ server, reason })
  )
  if (server.tls !== undefined) return connection
  return { ...connection, reader: unlessTls(connection.reader, server) }
})

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
