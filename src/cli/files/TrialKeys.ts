/**
 * Keys and certificates for trying out TLS: an authority that is made on the spot, and what it
 * issues to a server and to agencies. ECDSA on P-256; profiles after RFC 5280.
 */
import { isIP } from "node:net"
// The library of certificates asks for it when it is imported.
import "reflect-metadata"
import * as x509 from "@peculiar/x509"
import { DateTime, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"

/** A certificate and its private key (PKCS#8), both as PEM. */
export interface Credentials {
  readonly certificate: string
  readonly key: string
}

/** From when to when a certificate holds, in whole seconds. */
export interface Validity {
  readonly notBefore: DateTime.Utc
  readonly notAfter: DateTime.Utc
}

/** Whose certificate it is: an agency's, or a server's under its host names and IP addresses. */
export type Holder = { readonly agency: Agency } | { readonly serverNames: ReadonlyArray<string> }

/** Issues certificates; anyone who has its key can do so too. */
export interface Authority extends Credentials {
  readonly issue: (holder: Holder, validity: Validity) => Effect.Effect<Credentials>
}

// Clocks of two machines differ.
const EARLIER_MINUTES = 5

/** From a little before now, for clocks that are behind, until `days` from now. */
export const validFor = (days: number): Effect.Effect<Validity> =>
  Effect.map(DateTime.now, (now) => ({
    notBefore: DateTime.subtract(now, { minutes: EARLIER_MINUTES }),
    notAfter: DateTime.add(now, { days })
  }))

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" }

const AUTHORITY_NAME = [{ CN: ["lottery trial authority"] }]

const generateKeys = Effect.promise(() =>
  crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
)

type KeyPair = Effect.Success<typeof generateKeys>

/** As PEM; a key and a certificate that are put into one file must be on lines of their own. */
const encodePem = (bytes: ArrayBuffer, tag: string): string =>
  `${x509.PemConverter.encode(bytes, tag).trimEnd()}\n`

const credentialsOf = async (
  certificate: x509.X509Certificate,
  { privateKey }: KeyPair
): Promise<Credentials> => ({
  certificate: encodePem(certificate.rawData, x509.PemConverter.CertificateTag),
  key: encodePem(
    await crypto.subtle.exportKey("pkcs8", privateKey),
    x509.PemConverter.PrivateKeyTag
  )
})

const datesOf = ({ notAfter, notBefore }: Validity) => ({
  notBefore: DateTime.toDateUtc(notBefore),
  notAfter: DateTime.toDateUtc(notAfter)
})

const profileOf = (holder: Holder) =>
  "agency" in holder
    ? {
        commonName: `agency-${holder.agency}`,
        usage: x509.ExtendedKeyUsage.clientAuth,
        names: [{ type: "url" as const, value: `lottery:agency:${holder.agency}` }]
      }
    : {
        commonName: "lottery server",
        usage: x509.ExtendedKeyUsage.serverAuth,
        names: holder.serverNames.map((value) => ({
          type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
          value
        }))
      }

const isCritical = true

const issue = async (
  authority: KeyPair,
  keys: KeyPair,
  holder: Holder,
  validity: Validity
): Promise<Credentials> => {
  const { commonName, names, usage } = profileOf(holder)
  const certificate = await x509.X509CertificateGenerator.create({
    ...datesOf(validity),
    subject: [{ CN: [commonName] }],
    issuer: AUTHORITY_NAME,
    publicKey: keys.publicKey,
    signingKey: authority.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, isCritical),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, isCritical),
      new x509.ExtendedKeyUsageExtension([usage]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey)
    ]
  })
  return credentialsOf(certificate, keys)
}

const selfSign = async (keys: KeyPair, validity: Validity): Promise<Credentials> => {
  const { cRLSign, keyCertSign } = x509.KeyUsageFlags
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...datesOf(validity),
    name: AUTHORITY_NAME,
    keys,
    extensions: [
      // It signs certificates of servers and agencies, and no further authority's.
      new x509.BasicConstraintsExtension(true, 0, isCritical),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, isCritical),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey)
    ]
  })
  return credentialsOf(certificate, keys)
}

/** Makes an authority with a key of its own. A name that cannot be in a certificate is a defect. */
export const makeAuthority = Effect.fn("TrialKeys.makeAuthority")(function* (validity: Validity) {
  const keys = yield* generateKeys
  const credentials = yield* Effect.promise(() => selfSign(keys, validity))
  return {
    ...credentials,
    issue: Effect.fn("TrialKeys.issue")(function* (holder, held) {
      const own = yield* generateKeys
      return yield* Effect.promise(() => issue(keys, own, holder, held))
    })
  } satisfies Authority as Authority
})
