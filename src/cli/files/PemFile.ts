/**
 * Reads the files for TLS, and says of each what is wrong with it. Node itself skips what is no
 * certificate, and trusts the public CAs if it finds none in the file of a CA.
 */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { Effect } from "effect"
import { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { readText } from "./WholeFile.ts"

const BEGIN = "-----BEGIN CERTIFICATE-----"

/** The certificates in a text; throws if one cannot be read. */
const certificatesIn = (pem: string): ReadonlyArray<X509Certificate> =>
  pem
    .split(BEGIN)
    .slice(1)
    .map((rest) => new X509Certificate(`${BEGIN}${rest}`))

const readable = <A>(file: string, expected: string, read: () => A | undefined) =>
  Effect.suspend(() => {
    const unreadable = new FileUnavailable({ file, reason: `expected ${expected}` })
    return Effect.flatMap(Effect.try({ try: read, catch: () => unreadable }), (value) =>
      value === undefined ? Effect.fail(unreadable) : Effect.succeed(value)
    )
  })

const readCertificate = Effect.fnUntraced(function* (file: string) {
  const pem = yield* readText(file)
  const expected = "one or more certificates as PEM"
  return { pem, first: yield* readable(file, expected, () => certificatesIn(pem)[0]) }
})

/** The certificates of a CA, as PEM. */
export const readAuthority = (file: string) => Effect.map(readCertificate(file), ({ pem }) => pem)

/** A certificate, with those that it was signed with, and its private key, both as PEM. */
export const readPair = Effect.fnUntraced(function* (certFile: string, keyFile: string) {
  const { first, pem } = yield* readCertificate(certFile)
  const key = yield* readText(keyFile)
  const expected = "a private key as PEM, without a passphrase"
  const privateKey = yield* readable(keyFile, expected, () => createPrivateKey(key))
  if (!first.checkPrivateKey(privateKey)) {
    const reason = `expected the private key of the certificate in ${certFile}`
    return yield* new FileUnavailable({ file: keyFile, reason })
  }
  return { cert: pem, key }
})
