/**
 * Reads and checks the TLS files. Node itself ignores text that is not a certificate, and trusts
 * the public CAs if a CA file contains none.
 */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { Effect, Option } from "effect"
import { CliError } from "effect/cli"
import { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { readText } from "./WholeFile.ts"

const BEGIN = "-----BEGIN CERTIFICATE-----"

/** Returns the first certificate; throws if there is none or any is invalid. */
const firstCertificate = (pem: string): X509Certificate => {
  const [, ...rests] = pem.split(BEGIN)
  const [first] = rests.map((rest) => new X509Certificate(`${BEGIN}${rest}`))
  if (first === undefined) throw new Error("no certificate")
  return first
}

const readable = <A>(file: string, expected: string, read: () => A) =>
  Effect.try({
    try: read,
    catch: () => new FileUnavailable({ file, reason: `expected ${expected}` })
  })

const readCertificate = Effect.fnUntraced(function* (file: string) {
  const pem = yield* readText(file)
  const expected = "one or more PEM certificates"
  return { pem, first: yield* readable(file, expected, () => firstCertificate(pem)) }
})

export const readAuthority = (file: string) => Effect.map(readCertificate(file), ({ pem }) => pem)

interface PairFiles {
  readonly cert: string
  readonly key: string
}

/** Pairs the files of `tls-cert` and `tls-key`; undefined if neither is given. */
export const pairOf = Effect.fnUntraced(function* (
  cert: Option.Option<string>,
  key: Option.Option<string>
) {
  if (Option.isSome(cert) !== Option.isSome(key)) {
    const message = "tls-cert and tls-key must be given together: one of them is missing"
    return yield* new CliError.ValidationError({ message })
  }
  return Option.getOrUndefined(Option.all({ cert, key }))
})

/** Reads a certificate, with its chain, and its private key. */
export const readPair = Effect.fnUntraced(function* (files: PairFiles) {
  const { first, pem } = yield* readCertificate(files.cert)
  const key = yield* readText(files.key)
  const expected = "a PEM private key without a passphrase"
  const privateKey = yield* readable(files.key, expected, () => createPrivateKey(key))
  if (!first.checkPrivateKey(privateKey)) {
    const reason = `expected the private key of the certificate in ${files.cert}`
    return yield* new FileUnavailable({ file: files.key, reason })
  }
  return { cert: pem, key }
})
