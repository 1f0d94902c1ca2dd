/**
 * TLS on an accepted connection: the handshake, and what the peer's certificate says of the agency
 * that it is of. Each connection takes the certificates that were given last.
 */
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { Clock, Context, Data, Effect } from "effect"
import { type Agency, fromDigits } from "../domain/Agency.ts"
import { detect } from "../protocol/Dialect.ts"
import { HTTP_REFUSAL, isHttpRequest } from "../protocol/HttpRequest.ts"
import { MAX_LINE_BYTES } from "../protocol/Limits.ts"
import { beginsWithHandshake, NOT_TLS_ALERT } from "../protocol/TlsRecord.ts"
import type { Certificate } from "./Identity.ts"
import { showFirstBytes } from "./ShownBytes.ts"

/** What a server proves itself with, and whom it believes; each as PEM. */
export interface Credentials {
  readonly cert: string
  readonly key: string
  /** The CA of the agencies' certificates, where these are asked for. */
  readonly clientCa: string | undefined
}

/** Certificates that TLS cannot use. */
export class CredentialsUnusable extends Data.TaggedError("CredentialsUnusable")<{
  readonly reason: string
}> {
  override get message(): string {
    return `these certificates cannot be used: ${this.reason}`
  }
}

/** A connection did not become a TLS one. */
export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<{
  readonly reason: string
}> {
  override get message(): string {
    return `expected a TLS handshake: ${this.reason}`
  }
}

/** A peer began with something else than TLS. */
export class NotTls extends Data.TaggedError("NotTls")<{
  readonly what: string
  /** Says so to the peer, in words that its end knows. */
  readonly answer: Uint8Array
}> {
  override get message(): string {
    return `expected a TLS handshake; that is not TLS: ${this.what}`
  }
}

/** What it was; bets are not shown. */
const toNotTls = (bytes: Uint8Array): NotTls => {
  const dialect = detect(bytes, false)
  if (dialect === "line") {
    const [line] = Buffer.from(bytes.subarray(0, MAX_LINE_BYTES)).toString().split(/\r?\n/, 1)
    const answer = isHttpRequest(line!) ? HTTP_REFUSAL : NOT_TLS_ALERT
    return new NotTls({ what: "a line of text", answer })
  }
  const isUnknown = dialect === "unknown" || dialect === "undecided"
  const what = isUnknown ? showFirstBytes(bytes) : `the ${dialect} dialect in the clear`
  return new NotTls({ what, answer: NOT_TLS_ALERT })
}

/** A connection whose handshake is done. */
export interface Secured {
  readonly link: Tls.TLSSocket
  /** Undefined where none is asked for. */
  readonly certificate: Certificate | undefined
}

export interface ServerTls {
  /** Makes an accepted connection a TLS one. Closing that closes both. */
  readonly handshake: (net: Net.Socket) => Effect.Effect<Secured, HandshakeFailed | NotTls>
  /** Takes other certificates for the connections to come; those that are open stay. */
  readonly replace: (credentials: Credentials) => Effect.Effect<void, CredentialsUnusable>
}

/** How connections become TLS ones; they are plain where it is undefined. */
export const CurrentTls = Context.Reference<ServerTls | undefined>("lottery/server/CurrentTls", {
  defaultValue: () => undefined
})

const COMMON_NAME = /^agency-(\d{1,10})$/
const URI_NAME = /(?:^|, )URI:lottery:agency:(\d{1,10})(?=, |$)/g

/** The agencies that a certificate names; there should be one. */
const namedAgencies = ({ subject, subjectaltname = "" }: Tls.PeerCertificate): Set<Agency> => {
  const commonNames = [subject.CN ?? []].flat().map((name) => COMMON_NAME.exec(name)?.[1])
  const uris = Array.from(subjectaltname.matchAll(URI_NAME), ([, digits]) => digits)
  return new Set([...commonNames, ...uris].flatMap((digits) => fromDigits(digits ?? "") ?? []))
}

/** As OpenSSL calls it. */
const EXPIRED = "CERT_HAS_EXPIRED"

/** What the certificate of a peer says, which TLS has checked against the agencies' CA. */
const certificateOf = (link: Tls.TLSSocket, nowMillis: number): Certificate => {
  const presented = link.getPeerCertificate()
  if (Object.keys(presented).length === 0) return { _tag: "Missing" }
  // A session that is resumed was checked when it began.
  if (Date.parse(presented.valid_to) < nowMillis) return { _tag: "Refused", reason: EXPIRED }
  if (!link.authorized) return { _tag: "Refused", reason: String(link.authorizationError) }
  const [agency, ...others] = namedAgencies(presented)
  if (agency !== undefined && others.length === 0) return { _tag: "Agency", agency }
  const reason = "expected the name of one agency, such as agency-3 or lottery:agency:3"
  return { _tag: "Refused", reason }
}

/** Tells a connection from all others that are open. */
const nameOf = ({ localAddress, localPort, remoteAddress, remotePort }: Net.Socket): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`

const toOptions = ({ cert, clientCa, key }: Credentials): Tls.SecureContextOptions =>
  clientCa === undefined ? { cert, key } : { cert, key, ca: clientCa }

/** OpenSSL's message has its own source's line in it, and its reason is what a person needs. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return "reason" in error && typeof error.reason === "string" ? error.reason : error.message
}

const usable = <A>(use: () => A): Effect.Effect<A, CredentialsUnusable> =>
  Effect.try({
    try: use,
    catch: (error) => new CredentialsUnusable({ reason: reasonOf(error) })
  })

/** The longest time that a timer takes. */
const MAX_TIMER_MILLIS = 2 ** 31 - 1

const goneAway = () => new HandshakeFailed({ reason: "the peer has gone away" })

/** Waits for the first bytes of a connection, which are left in it. */
const peekFirst = (net: Net.Socket) =>
  Effect.callback<Uint8Array, HandshakeFailed>((resume) => {
    const forget = () => {
      net.off("close", onClose)
      net.off("readable", onReadable)
    }
    const onClose = () => {
      forget()
      resume(Effect.fail(goneAway()))
    }
    const onReadable = () => {
      const bytes: Buffer | null = net.read()
      if (bytes === null) return onClose()
      forget()
      net.unshift(bytes)
      resume(Effect.succeed(bytes))
    }
    if (net.destroyed) return onClose()
    net.once("close", onClose)
    net.once("readable", onReadable)
    return Effect.sync(forget)
  })

/** How a connection's handshake ends. */
type OnShaken = (link: Effect.Effect<Tls.TLSSocket, HandshakeFailed>) => void

/** TLS with these certificates. */
export const makeServerTls = Effect.fn("Certificates.makeServerTls")(function* (
  credentials: Credentials
): Effect.fn.Return<ServerTls, CredentialsUnusable> {
  const asksForCertificates = credentials.clientCa !== undefined
  const shaking = new Map<string, OnShaken>()
  // It listens nowhere: it is handed each connection, and checks certificates as a server does.
  const server = yield* usable(() =>
    Tls.createServer({
      ...toOptions(credentials),
      requestCert: asksForCertificates,
      // Who has none may still send a text line; an agency is told why it is refused.
      rejectUnauthorized: false,
      pauseOnConnect: true,
      // The server has a limit of its own.
      handshakeTimeout: MAX_TIMER_MILLIS
    })
  )
  server.on("secureConnection", (link) => {
    // Whoever reads or writes learns of an error; between them nobody listens.
    link.on("error", () => {})
    shaking.get(nameOf(link))?.(Effect.succeed(link))
  })
  server.on("tlsClientError", (error, link) => {
    shaking.get(nameOf(link))?.(Effect.fail(new HandshakeFailed({ reason: reasonOf(error) })))
  })

  const shake = (net: Net.Socket) =>
    Effect.callback<Tls.TLSSocket, HandshakeFailed>((resume) => {
      const name = nameOf(net)
      const onClose = () => resume(Effect.fail(goneAway()))
      const forget = () => {
        shaking.delete(name)
        net.off("close", onClose)
      }
      if (net.destroyed) return onClose()
      net.once("close", onClose)
      shaking.set(name, (link) => {
        forget()
        resume(link)
      })
      server.emit("connection", net)
      return Effect.sync(forget)
    })

  return {
    handshake: (net) =>
      Effect.gen(function* () {
        const bytes = yield* peekFirst(net)
        if (!beginsWithHandshake(bytes)) return yield* toNotTls(bytes)
        const link = yield* shake(net)
        const now = yield* Clock.currentTimeMillis
        return { link, certificate: asksForCertificates ? certificateOf(link, now) : undefined }
      }),
    replace: (next) => usable(() => server.setSecureContext(toOptions(next)))
  }
})
