/**
 * TLS on accepted connections: the handshake, and the agency that a peer's certificate names. New
 * connections use the certificates that were loaded last.
 */
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { Clock, Context, Data, Effect } from "effect"
import { type Agency, fromDigits } from "../../domain/Agency.ts"
import type { Certificate } from "./Identity.ts"
import { HandshakeFailed, peerGone } from "./TlsHello.ts"

/** The server's certificate and key, as PEM. */
interface Credentials {
  readonly cert: string
  readonly key: string
  /** The CA of the agencies' certificates as PEM; undefined if none are requested. */
  readonly clientCa: string | undefined
}

export class CredentialsUnusable extends Data.TaggedError("CredentialsUnusable")<{
  readonly reason: string
}> {
  override get message(): string {
    return `these certificates cannot be used: ${this.reason}`
  }
}

interface Secured {
  readonly link: Tls.TLSSocket
  /** Undefined if the server requests none. */
  readonly certificate: Certificate | undefined
}

export interface ServerTls {
  /** Runs the handshake on an accepted connection. Closing the link closes both. */
  readonly handshake: (net: Net.Socket) => Effect.Effect<Secured, HandshakeFailed>
  /**
   * Uses other certificates for new connections. Open ones stay, unless a CA of the agencies was
   * removed: then all of them close, because that CA may have authenticated any of them.
   */
  readonly replace: (credentials: Credentials) => Effect.Effect<void, CredentialsUnusable>
}

/** How connections use TLS; undefined if they are plain TCP. */
export class CurrentTls extends Context.Service<CurrentTls, ServerTls | undefined>()(
  "lottery/server/CurrentTls"
) {}

const COMMON_NAME = /^agency-(\d{1,10})$/
const URI_NAME = /(?:^|, )URI:lottery:agency:(\d{1,10})(?=, |$)/g

/** Returns the agencies that a certificate names. There should be exactly one. */
const namedAgencies = ({ subject, subjectaltname = "" }: Tls.PeerCertificate): Set<Agency> => {
  const commonNames = [subject.CN ?? []].flat().map((name) => COMMON_NAME.exec(name)?.[1])
  const uris = Array.from(subjectaltname.matchAll(URI_NAME), ([, digits]) => digits)
  return new Set([...commonNames, ...uris].flatMap((digits) => fromDigits(digits ?? "") ?? []))
}

const EXPIRED = "CERT_HAS_EXPIRED"

/** Reads the peer's certificate, which TLS has checked against the agencies' CA. */
const certificateOf = (link: Tls.TLSSocket, nowMillis: number): Certificate => {
  const presented = link.getPeerCertificate()
  if (Object.keys(presented).length === 0) return { _tag: "Missing" }
  // A resumed session was only checked when it began.
  if (Date.parse(presented.valid_to) < nowMillis) return { _tag: "Refused", reason: EXPIRED }
  if (!link.authorized) return { _tag: "Refused", reason: String(link.authorizationError) }
  const [agency, ...others] = namedAgencies(presented)
  if (agency !== undefined && others.length === 0) return { _tag: "Agency", agency }
  const reason = "expected exactly one agency name, such as agency-3 or lottery:agency:3"
  return { _tag: "Refused", reason }
}

/** Identifies a connection among all open ones. */
const nameOf = ({ localAddress, localPort, remoteAddress, remotePort }: Net.Socket): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`

const toOptions = ({ cert, clientCa, key }: Credentials): Tls.SecureContextOptions =>
  clientCa === undefined ? { cert, key } : { cert, key, ca: clientCa }

/** OpenSSL's message names a line of its source. Its `reason` is the readable part. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return "reason" in error && typeof error.reason === "string" ? error.reason : error.message
}

/** Any PEM label, because OpenSSL uses several, such as TRUSTED CERTIFICATE. */
const CERTIFICATES = /-----BEGIN [^-]+-----[^-]+/g

const authoritiesIn = ({ clientCa = "" }: Credentials): ReadonlySet<string> =>
  new Set(Array.from(clientCa.matchAll(CERTIFICATES), ([pem]) => pem.replace(/\s/g, "")))

const orUnusable = <A>(use: () => A): Effect.Effect<A, CredentialsUnusable> =>
  Effect.try({
    try: use,
    catch: (error) => new CredentialsUnusable({ reason: reasonOf(error) })
  })

const CA_REPLACED = "the CA of the agencies' certificates was replaced"

/** The longest delay of a Node timer. */
const MAX_TIMER_MILLIS = 2 ** 31 - 1

type Finish = (link: Effect.Effect<Tls.TLSSocket, HandshakeFailed>) => void

export const makeServerTls = Effect.fn("Certificates.makeServerTls")(function* (
  credentials: Credentials
): Effect.fn.Return<ServerTls, CredentialsUnusable> {
  const asksForCertificates = credentials.clientCa !== undefined
  let authorities = authoritiesIn(credentials)
  /** How many times a CA of the agencies was removed. */
  let revocations = 0
  const links = new Set<Tls.TLSSocket>()
  const shaking = new Map<string, Finish>()
  // It does not listen: each connection is passed to it, and it checks the peer's certificate.
  const server = yield* orUnusable(() =>
    Tls.createServer({
      ...toOptions(credentials),
      requestCert: asksForCertificates,
      // A peer without a certificate may send a text line, and an agency gets a reason.
      rejectUnauthorized: false,
      pauseOnConnect: true,
      // `Reception` has its own timeout.
      handshakeTimeout: MAX_TIMER_MILLIS
    })
  )
  server.on("secureConnection", (link) => {
    // From now on a peer that half-closes still gets its answers.
    link.allowHalfOpen = true
    links.add(link)
    link.once("close", () => links.delete(link))
    // Reads and writes report errors. An error in between must have a listener.
    link.on("error", () => {})
    shaking.get(nameOf(link))?.(Effect.succeed(link))
  })
  server.on("tlsClientError", (error, link) => {
    shaking.get(nameOf(link))?.(Effect.fail(new HandshakeFailed({ reason: reasonOf(error) })))
  })

  const performHandshake = (net: Net.Socket) =>
    Effect.callback<Tls.TLSSocket, HandshakeFailed>((resume) => {
      const name = nameOf(net)
      const onClose = () => end(Effect.fail(peerGone()))
      const forget = () => {
        shaking.delete(name)
        net.off("close", onClose)
      }
      const end: Finish = (link) => {
        forget()
        resume(link)
      }
      if (net.destroyed) return onClose()
      net.once("close", onClose)
      shaking.set(name, end)
      // A peer that closes during the handshake is gone. Half-open, it would keep its place.
      net.allowHalfOpen = false
      server.emit("connection", net)
      return Effect.sync(forget)
    })

  const certificateNow = Effect.fnUntraced(function* (link: Tls.TLSSocket) {
    return certificateOf(link, yield* Clock.currentTimeMillis)
  })

  return {
    handshake: Effect.fnUntraced(function* (net) {
      const before = revocations
      const link = yield* performHandshake(net)
      // The peer may have been authenticated by a CA that was removed meanwhile.
      if (before !== revocations) return yield* new HandshakeFailed({ reason: CA_REPLACED })
      return { link, certificate: asksForCertificates ? yield* certificateNow(link) : undefined }
    }),
    replace: (next) =>
      orUnusable(() => {
        server.setSecureContext(toOptions(next))
        const before = authorities
        authorities = authoritiesIn(next)
        if ([...before].every((pem) => authorities.has(pem))) return
        revocations++
        for (const link of links) link.destroy(new Error(CA_REPLACED))
      })
  }
})
