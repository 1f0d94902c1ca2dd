/**
 * Makes keys and certificates to try out TLS: a new CA, which issues certificates to a server and
 * to agencies. ECDSA on P-256; profiles follow RFC 5280.
 */
import { isIP } from "node:net"
// @peculiar/x509 needs it when it is imported.
import "reflect-metadata"
import * as x509 from "@peculiar/x509"
import { DateTime, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"

/** A certificate and its private key (PKCS#8), both in PEM. */
export interface CertifiedKey {
  readonly certificate: string
  readonly key: string
}

/** A certificate's period of validity, in whole seconds. */
export interface Validity {
  readonly notBefore: DateTime.Utc
  readonly notAfter: DateTime.Utc
}

/** The holder of a certificate; a server's names are host names and IP addresses. */
type Holder = { readonly agency: Agency } | { readonly serverNames: ReadonlyArray<string> }

export interface Authority extends CertifiedKey {
  readonly issue: (holder: Holder, validity: Validity) => Effect.Effect<CertifiedKey>
}

const EARLIER_MINUTES = 5

/** Starts a little before now, for clocks that are slow. */
export const validFor = (days: number): Effect.Effect<Validity> =>
  Effect.map(DateTime.now, (now) => ({
    notBefore: DateTime.subtract(now, { minutes: EARLIER_MINUTES }),
    notAfter: DateTime.add(now, { days })
  }))

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" }

const AUTHORITY_NAME = "lottery trial authority"

const generateKeys = Effect.promise(() =>
  crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
)

type KeyPair = Effect.Success<typeof generateKeys>

/** Encodes PEM with a final line ending, so that such texts can be concatenated. */
const encodePem = (bytes: ArrayBuffer, tag: string): string =>
  `${x509.PemConverter.encode(bytes, tag).trimEnd()}\n`

const isCritical = true

interface Profile {
  readonly commonName: string
  readonly extensions: ReadonlyArray<x509.Extension>
}

const AUTHORITY: Profile = {
  commonName: AUTHORITY_NAME,
  extensions: [
    // It may sign certificates, but not those of further CAs.
    new x509.BasicConstraintsExtension(true, 0, isCritical),
    new x509.KeyUsagesExtension(
      x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
      isCritical
    )
  ]
}

const profile = (commonName: string, usage: string, names: x509.JsonGeneralNames): Profile => ({
  commonName,
  extensions: [
    new x509.BasicConstraintsExtension(false, undefined, isCritical),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, isCritical),
    new x509.ExtendedKeyUsageExtension([usage]),
    new x509.SubjectAlternativeNameExtension(names)
  ]
})

const profileOf = (holder: Holder): Profile => {
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage
  if ("agency" in holder) {
    const url = `lottery:agency:${holder.agency}`
    return profile(`agency-${holder.agency}`, clientAuth, [{ type: "url", value: url }])
  }
  const names = holder.serverNames.map((value) => {
    const type: "dns" | "ip" = isIP(value) === 0 ? "dns" : "ip"
    return { type, value }
  })
  return profile("lottery server", serverAuth, names)
}

const certify = async (
  { commonName, extensions }: Profile,
  { privateKey, publicKey }: KeyPair,
  authority: KeyPair,
  { notAfter, notBefore }: Validity
): Promise<CertifiedKey> => {
  const certificate = await x509.X509CertificateGenerator.create({
    notBefore: DateTime.toDateUtc(notBefore),
    notAfter: DateTime.toDateUtc(notAfter),
    subject: [{ CN: [commonName] }],
    issuer: [{ CN: [AUTHORITY_NAME] }],
    publicKey,
    signingKey: authority.privateKey,
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey)
    ]
  })
  const key = await crypto.subtle.exportKey("pkcs8", privateKey)
  return {
    certificate: encodePem(certificate.rawData, x509.PemConverter.CertificateTag),
    key: encodePem(key, x509.PemConverter.PrivateKeyTag)
  }
}

/** Makes a CA with a new key. A server name that a certificate cannot contain is a defect. */
export const makeAuthority = Effect.fn("TrialKeys.makeAuthority")(function* (validity: Validity) {
  const keys = yield* generateKeys
  const credentials = yield* Effect.promise(() => certify(AUTHORITY, keys, keys, validity))
  return {
    ...credentials,
    issue: Effect.fn("TrialKeys.issue")(function* (holder, held) {
      const own = yield* generateKeys
      return yield* Effect.promise(() => certify(profileOf(holder), own, keys, held))
    })
  } satisfies Authority as Authority
})
