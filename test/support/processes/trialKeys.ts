/** Certificates for tests, including ones that `lottery keys` never creates. */
// Required by @peculiar/x509.
import "reflect-metadata"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as x509 from "@peculiar/x509"
import { DateTime, Effect } from "effect"
import {
  type CertifiedKey,
  makeAuthority,
  type Validity,
  validFor
} from "../../../src/cli/files/TrialKeys.ts"

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" }

/** The subject names of an agency's certificate. */
export interface Names {
  readonly commonName: string
  readonly uris?: ReadonlyArray<string>
}

const issueNamed = async (
  authority: CertifiedKey,
  { commonName, uris = [] }: Names,
  { notAfter, notBefore }: Validity
): Promise<CertifiedKey> => {
  const [signer] = x509.PemConverter.decode(authority.key)
  const signingKey = await crypto.subtle.importKey("pkcs8", signer!, ALGORITHM, false, ["sign"])
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
  const names = uris.map((value) => ({ type: "url" as const, value }))
  const certificate = await x509.X509CertificateGenerator.create({
    notBefore: DateTime.toDateUtc(notBefore),
    notAfter: DateTime.toDateUtc(notAfter),
    subject: [{ CN: [commonName] }],
    issuer: new x509.X509Certificate(authority.certificate).subjectName,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)])
    ]
  })
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey)
  return {
    certificate: certificate.toString("pem"),
    key: x509.PemConverter.encode(key, x509.PemConverter.PrivateKeyTag)
  }
}

const WEAK_ALGORITHM = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 1024,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256"
}

const selfSign = Effect.fnUntraced(function* (algorithm: typeof ALGORITHM | typeof WEAK_ALGORITHM) {
  const { notAfter, notBefore } = yield* validFor(1)
  return yield* Effect.promise(async (): Promise<CertifiedKey> => {
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      notBefore: DateTime.toDateUtc(notBefore),
      notAfter: DateTime.toDateUtc(notAfter),
      name: [{ CN: ["localhost"] }],
      keys,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }])]
    })
    const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey)
    return {
      certificate: certificate.toString("pem"),
      key: x509.PemConverter.encode(key, x509.PemConverter.PrivateKeyTag)
    }
  })
})

/** A self-signed server certificate. */
export const makeSelfSigned = selfSign(ALGORITHM)

/** A self-signed certificate with a key that is too short for TLS. */
export const makeWeak = selfSign(WEAK_ALGORITHM)

/** Creates an authority, a server certificate, and functions that issue agency certificates. */
export const makeTrialKeys = Effect.gen(function* () {
  const validity = yield* validFor(1)
  const authority = yield* makeAuthority(validity)
  const now = yield* DateTime.now
  const past: Validity = {
    notBefore: DateTime.subtract(now, { hours: 2 }),
    notAfter: DateTime.subtract(now, { hours: 1 })
  }
  return {
    authority,
    server: yield* authority.issue({ serverNames: ["localhost", "127.0.0.1"] }, validity),
    agency: (agency: number) => authority.issue({ agency }, validity),
    expired: (agency: number) => authority.issue({ agency }, past),
    named: (names: Names) => Effect.promise(() => issueNamed(authority, names, validity))
  }
})

export type TrialKeys = Effect.Success<typeof makeTrialKeys>

/** Writes a certificate and its key, and returns both file names. */
export const writePair = (folder: string, name: string, { certificate, key }: CertifiedKey) => {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}-key.pem`) }
  writeFileSync(files.cert, certificate)
  writeFileSync(files.key, key)
  return files
}
