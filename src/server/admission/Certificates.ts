/**
 * TLS on an accepted connection: the handshake, and what the peer's certificate says of the agency
 * that it is of. Each connection takes the certificates that were given last.
 */
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { Clock, Context, Data, Effect } from "effect"
import { type Agency, fromDigits } from "../../domain/Agency.ts"
import type { Certificate } from "./Identity.ts"
import { goneAway, HandshakeFailed } from "./TlsHello.ts"

/** What a server proves itself with, and whom it believes; each as PEM. */
interface Credentials {
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

/** A connection whose handshake is done. */
interface Secured {
  readonly link: Tls.TLSSocket
  /** Undefined where none is asked for. */
  readonly certificate: Certificate | undefined
}

export interface ServerTls {
  /** Makes an accepted connection a TLS one. Closing that closes both. */
  readonly handshake: (net: Net.Socket) => Effect.Effect<Secured, HandshakeFailed>
  /**
   * Takes other certificates for the connections to come. Those that are open stay, unless a CA of
   * the agencies is not accepted any more: then all are closed, for they may have come in by it.
   */
  readonly replace: (credentials: Credentials) => Effect.Effect<void, CredentialsUnusable>
}

/** How connections become TLS ones; undefined if they stay plain. */
export class CurrentTls extends Context.Service<CurrentTls, ServerTls | undefined>()(
  "lottery/server/CurrentTls"
) {}

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

/** Also those that OpenSSL gives other names, such as a trusted certificate. */
const CERTIFICATES = /-----BEGIN [^-]+-----[^-]+/g

/** The certificates of the agencies' CA, in whatever order. */
const authoritiesIn = ({ clientCa = "" }: Credentials): ReadonlySet<string> =>
  new Set(Array.from(clientCa.matchAll(CERTIFICATES), ([pem]) => pem.replace(/\s/g, "")))

const usable = <A>(use: () => A): Effect.Effect<A, CredentialsUnusable> =>
  Effect.try({
    try: use,
    catch: (error) => new CredentialsUnusable({ reason: reasonOf(error) })
  })

const CA_REPLACED = "the CA of the agencies' certificates was replaced"

/** The longest time that a timer takes. */
const MAX_TIMER_MILLIS = 2 ** 31 - 1

/** How a connection's handshake ends. */
type OnShaken = (link: Effect.Effect<Tls.TLSSocket, HandshakeFailed>) => void

/** TLS with these certificates. */
export const makeServerTls = Effect.fn("Certificates.makeServerTls")(function* (
  credentials: Credentials
): Effect.fn.Return<ServerTls, CredentialsUnusable> {
  const asksForCertificates = credentials.clientCa !== undefined
  let authorities = authoritiesIn(credentials)
  /** How often one of them was taken away. */
  let revocations = 0
  const links = new Set<Tls.TLSSocket>()
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
    // From here on a peer that half-closes still gets its answers.
    link.allowHalfOpen = true
    links.add(link)
    link.once("close", () => links.delete(link))
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
      const onClose = () => end(Effect.fail(goneAway()))
      const forget = () => {
        shaking.delete(name)
        net.off("close", onClose)
      }
      const end: OnShaken = (link) => {
        forget()
        resume(link)
      }
      if (net.destroyed) return onClose()
      net.once("close", onClose)
      shaking.set(name, end)
      // Who closes in the middle of the handshake is gone: half-open it would keep its place.
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
      const link = yield* shake(net)
      // It may have been let in by what is not accepted any more.
      if (before !== revocations) return yield* new HandshakeFailed({ reason: CA_REPLACED })
      return { link, certificate: asksForCertificates ? yield* certificateNow(link) : undefined }
    }),
    replace: (next) =>
      usable(() => {
        server.setSecureContext(toOptions(next))
        const before = authorities
        authorities = authoritiesIn(next)
        if ([...before].every((pem) => authorities.has(pem))) return
        revocations++
        for (const link of links) link.destroy(new Error(CA_REPLACED))
      })
  }
})
