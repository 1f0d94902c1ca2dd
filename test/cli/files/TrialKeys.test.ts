/**
 * Goal: what an authority issues is good for what it was issued for, and for nothing else. Method:
 * Node's own reader of certificates, and real TLS handshakes in which each end asks for the other's
 * certificate.
 */
// The library of certificates asks for it when it is imported.
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

/** Ended an hour ago. */
const past = Effect.map(
  DateTime.now,
  (now): Validity => ({
    notBefore: DateTime.subtract(now, { hours: 2 }),
    notAfter: DateTime.subtract(now, { hours: 1 })
  })
)

/** Begins in an hour. */
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
  it.live("of an authority signs certificates, its own too", () =>
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

  it.live("may be used for what its holder does, and names who signed it", () =>
    Effect.gen(function* () {
      const { agency, authority, server } = yield* parties
      // Node's reader does not tell any of it.
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

  it.live("of an agency names it, for a client", () =>
    Effect.gen(function* () {
      const certificate = read((yield* parties).agency)
      expect(certificate.ca).toBe(false)
      expect(certificate.subject).toBe("CN=agency-3")
      expect(certificate.subjectAltName).toBe("URI:lottery:agency:3")
      expect(certificate.keyUsage).toEqual([CLIENT_AUTH])
    })
  )

  it.live("of a server has its names, for a server", () =>
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

  it.live("belongs to its key, on P-256 in PKCS#8, and no two are the same", () =>
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

  it.effect("holds from five minutes ago for its days", () =>
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

/** How a handshake ended at each end: the peer's name, or the code of what was wrong. */
interface Handshake {
  readonly atServer: string
  readonly atClient: string
}

/** What each end shows, and the authority that it trusts. */
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

/** Shakes hands over a real connection, until both ends know how it ended. */
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
      // In TLS 1.3 a client is done before the server has looked at its certificate.
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
  it.live("succeeds under every name, and gives the agency's to the server", () =>
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

  it.live("fails for a server under another name", () =>
    Effect.gen(function* () {
      const { agency, authority, server } = yield* parties
      const ends = [server, agency].map((shows) => ({ shows, trusts: authority }))
      const { atClient } = yield* shakeHands(ends[0]!, ends[1]!, "other.example")
      expect(atClient).toBe("ERR_TLS_CERT_ALTNAME_INVALID")
    })
  )

  it.live("refuses a client with a server's certificate, another authority's, or an old one", () =>
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

  it.live("refuses a server with an agency's certificate, another authority's, or an old one", () =>
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

  it.live("refuses what an old authority issued", () =>
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
