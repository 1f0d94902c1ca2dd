/**
 * Goal: certificates of the trial CA are valid for their purpose and for nothing else. Method:
 * Node's certificate parser, and real TLS handshakes with certificates on both ends.
 */
// @peculiar/x509 needs it when it is imported.
import "reflect-metadata"
import { createPrivateKey, X509Certificate } from "node:crypto"
import * as tls from "node:tls"
import { it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { DateTime, Effect } from "effect"
import { describe, expect } from "vitest"
import {
  type Authority,
  type CertifiedKey,
  makeAuthority,
  type Validity,
  validFor
} from "../../../src/cli/files/TrialKeys.ts"

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
const SERVER_NAMES = ["localhost", "central.example", "127.0.0.1", "::1"]

const read = ({ certificate }: CertifiedKey) => new X509Certificate(certificate)

const past = Effect.map(
  DateTime.now,
  (now): Validity => ({
    notBefore: DateTime.subtract(now, { hours: 2 }),
    notAfter: DateTime.subtract(now, { hours: 1 })
  })
)

const future = Effect.map(
  DateTime.now,
  (now): Validity => ({
    notBefore: DateTime.add(now, { hours: 1 }),
    notAfter: DateTime.add(now, { hours: 2 })
  })
)

const parties = Effect.gen(function* () {
  const validity = yield* validFor(1)
  const authority = yield* makeAuthority(validity)
  return {
    validity,
    authority,
    server: yield* authority.issue({ serverNames: SERVER_NAMES }, validity),
    agency: yield* authority.issue({ agency: 3 }, validity)
  }
})

describe("a certificate", () => {
  it.live("of a CA signs certificates, including its own", () =>
    Effect.gen(function* () {
      const { agency, authority, server } = yield* parties
      const certificate = read(authority)
      expect(certificate.ca).toBe(true)
      expect(certificate.subject).toBe("CN=lottery trial authority")
      expect(certificate.keyUsage).toBeUndefined()
      for (const issued of [authority, server, agency]) {
        expect(read(issued).checkIssued(certificate)).toBe(true)
        expect(read(issued).verify(certificate.publicKey)).toBe(true)
      }
    })
  )

  it.live("allows its holder's use only, and names its issuer", () =>
    Effect.gen(function* () {
      const { agency, authority, server } = yield* parties
      // Node's parser does not show these extensions.
      const extensionsOf = ({ certificate }: CertifiedKey) => {
        const read = new x509.X509Certificate(certificate)
        return {
          pathLength: read.getExtension(x509.BasicConstraintsExtension)?.pathLength,
          usages: read.getExtension(x509.KeyUsagesExtension)?.usages,
          own: read.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
          signer: read.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId
        }
      }
      const { own, ...ofAuthority } = extensionsOf(authority)
      const { cRLSign, digitalSignature, keyCertSign } = x509.KeyUsageFlags
      const signing = { pathLength: 0, usages: keyCertSign | cRLSign }
      expect(own).toMatch(/^[0-9a-f]{40}$/)
      expect(ofAuthority).toEqual({ ...signing, signer: own })
      for (const issued of [server, agency]) {
        const usages = digitalSignature
        expect(extensionsOf(issued)).toMatchObject({ usages, signer: own })
        expect(extensionsOf(issued).own).not.toBe(own)
      }
    })
  )

  it.live("of an agency names the agency and is for clients", () =>
    Effect.gen(function* () {
      const certificate = read((yield* parties).agency)
      expect(certificate.ca).toBe(false)
      expect(certificate.subject).toBe("CN=agency-3")
      expect(certificate.subjectAltName).toBe("URI:lottery:agency:3")
      expect(certificate.keyUsage).toEqual([CLIENT_AUTH])
    })
  )

  it.live("of a server has its names and is for servers", () =>
    Effect.gen(function* () {
      const certificate = read((yield* parties).server)
      expect(certificate.ca).toBe(false)
      expect(certificate.subject).toBe("CN=lottery server")
      expect(certificate.keyUsage).toEqual([SERVER_AUTH])
      for (const name of ["localhost", "central.example"]) {
        expect(certificate.checkHost(name)).toBe(name)
      }
      for (const address of ["127.0.0.1", "::1"]) {
        expect(certificate.checkIP(address)).toBe(address)
      }
      expect(certificate.checkHost("other.example")).toBeUndefined()
    })
  )

  it.live("matches its key, on P-256 in PKCS#8, and no two are the same", () =>
    Effect.gen(function* () {
      const { agency, authority, server, validity } = yield* parties
      const again = yield* authority.issue({ agency: 3 }, validity)
      const all = [authority, server, agency, again]
      for (const { certificate, key } of all) {
        expect(certificate).toMatch(/^-----BEGIN CERTIFICATE-----\n[^-]+\n-----END [A-Z]+-----\n$/)
        expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----\n[^-]+\n-----END PRIVATE KEY-----\n$/)
        const privateKey = createPrivateKey(key)
        expect(privateKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" })
        expect(new X509Certificate(certificate).checkPrivateKey(privateKey)).toBe(true)
      }
      expect(new Set(all.map((one) => read(one).serialNumber)).size).toBe(all.length)
      expect(new Set(all.map(({ key }) => key)).size).toBe(all.length)
    })
  )

  it.effect("is valid from five minutes ago for the given days", () =>
    Effect.gen(function* () {
      const validity = yield* validFor(30)
      const authority = yield* makeAuthority(validity)
      for (const issued of [authority, yield* authority.issue({ agency: 1 }, validity)]) {
        const { validFromDate, validToDate } = read(issued)
        const now = DateTime.toEpochMillis(yield* DateTime.now)
        expect(validFromDate.getTime()).toBe(now - 5 * 60_000)
        expect(validToDate.getTime()).toBe(now + 30 * 24 * 3_600_000)
      }
    })
  )
})

/** The result of a handshake at each end: the peer's name or an error code. */
interface Handshake {
  readonly atServer: string
  readonly atClient: string
}

/** The certificate of each end, and the CA that it trusts. */
interface End {
  readonly shows: CertifiedKey
  readonly trusts: Authority
}

const nameOf = (socket: tls.TLSSocket): string =>
  `CN=${socket.getPeerX509Certificate()?.toLegacyObject().subject.CN}`

const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? error.message

const optionsOf = ({ shows, trusts }: End) => ({
  cert: shows.certificate,
  key: shows.key,
  ca: trusts.certificate,
  rejectUnauthorized: true
})

/** Performs a handshake over a real connection until both ends know the result. */
const shakeHands = (server: End, client: End, servername = "localhost") =>
  Effect.callback<Handshake>((resume) => {
    let atServer: string | undefined
    let atClient: string | undefined
    let socket: tls.TLSSocket | undefined
    const listener = tls.createServer({ ...optionsOf(server), requestCert: true })
    const close = () => {
      socket?.destroy()
      listener.close()
    }
    const look = () => {
      if (atServer === undefined || atClient === undefined) return
      close()
      resume(Effect.succeed({ atServer, atClient }))
    }
    listener.on("secureConnection", (accepted) => {
      accepted.on("error", () => {})
      atServer = nameOf(accepted)
      accepted.end("welcome")
      look()
    })
    listener.on("tlsClientError", (error, { authorizationError }) => {
      atServer = String(authorizationError ?? codeOf(error))
      look()
    })
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address()
      if (address === null || typeof address === "string") throw new Error("no port")
      const dialled = tls.connect({ ...optionsOf(client), port: address.port, servername })
      socket = dialled
      // In TLS 1.3 the client finishes before the server has checked its certificate.
      dialled.on("data", () => {
        atClient ??= nameOf(dialled)
        look()
      })
      dialled.on("error", (error) => {
        atClient ??= codeOf(error)
      })
      dialled.on("close", () => {
        atClient ??= "closed"
        look()
      })
    })
    return Effect.sync(close)
  })

describe("a handshake", () => {
  it.live("succeeds for every name, and the server learns the agency's name", () =>
    Effect.gen(function* () {
      const { agency, authority, server } = yield* parties
      for (const name of ["localhost", "central.example"]) {
        expect(
          yield* shakeHands(
            { shows: server, trusts: authority },
            { shows: agency, trusts: authority },
            name
          )
        ).toEqual({ atServer: "CN=agency-3", atClient: "CN=lottery server" })
      }
    })
  )

  it.live("fails for a server with another name", () =>
    Effect.gen(function* () {
      const { agency, authority, server } = yield* parties
      const ends = [server, agency].map((shows) => ({ shows, trusts: authority }))
      const { atClient } = yield* shakeHands(ends[0]!, ends[1]!, "other.example")
      expect(atClient).toBe("ERR_TLS_CERT_ALTNAME_INVALID")
    })
  )

  it.live("refuses a client with a server's certificate, another CA's or an expired one", () =>
    Effect.gen(function* () {
      const { authority, server, validity } = yield* parties
      const other = yield* makeAuthority(validity)
      const wrong: ReadonlyArray<readonly [CertifiedKey, string]> = [
        [server, "INVALID_PURPOSE"],
        [yield* other.issue({ agency: 3 }, validity), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        [yield* authority.issue({ agency: 3 }, yield* past), "CERT_HAS_EXPIRED"],
        [yield* authority.issue({ agency: 3 }, yield* future), "CERT_NOT_YET_VALID"]
      ]
      for (const [shows, reason] of wrong) {
        const end = { shows: server, trusts: authority }
        const { atClient, atServer } = yield* shakeHands(end, { shows, trusts: authority })
        expect(atServer).toBe(reason)
        expect(atClient).not.toMatch(/^CN=/)
      }
    })
  )

  it.live("refuses a server with an agency's certificate, another CA's or an expired one", () =>
    Effect.gen(function* () {
      const { agency, authority, validity } = yield* parties
      const other = yield* makeAuthority(validity)
      const holder = { serverNames: SERVER_NAMES }
      const wrong: ReadonlyArray<readonly [CertifiedKey, string]> = [
        [agency, "INVALID_PURPOSE"],
        [yield* other.issue(holder, validity), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        [yield* authority.issue(holder, yield* past), "CERT_HAS_EXPIRED"]
      ]
      for (const [shows, reason] of wrong) {
        const end = { shows: agency, trusts: authority }
        const { atClient } = yield* shakeHands({ shows, trusts: authority }, end)
        expect(atClient).toBe(reason)
      }
    })
  )

  it.live("refuses certificates of an expired CA", () =>
    Effect.gen(function* () {
      const { authority: current, server, validity } = yield* parties
      const old = yield* makeAuthority(yield* past)
      const agency = yield* old.issue({ agency: 3 }, validity)
      const { atServer } = yield* shakeHands(
        { shows: server, trusts: old },
        { shows: agency, trusts: current }
      )
      expect(atServer).toBe("CERT_HAS_EXPIRED")
    })
  )
})
