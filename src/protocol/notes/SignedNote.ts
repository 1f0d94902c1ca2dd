/**
 * Signed notes (c2sp.org/signed-note), with Ed25519 and the cosignatures of witnesses
 * (c2sp.org/tlog-cosignature): a text, an empty line, and a line for each signature.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signBytes,
  verify
} from "node:crypto"
import { Result } from "effect"
import { expectedBut } from "../../domain/seal/TextFields.ts"
import { fromBase64, toBase64 } from "./Base64.ts"
import { parseCheckpoint } from "./Checkpoint.ts"

/** A key that verifies notes: the operator's or a witness's. */
export interface VerifierKey {
  readonly kind: "ed25519" | "cosignature"
  readonly name: string
  /** 8 hex digits. */
  readonly id: string
  readonly publicKey: Uint8Array
}

/** The first byte of a key, by its kind. */
const TYPES = { ed25519: 0x01, cosignature: 0x04 } as const

const KEY_BYTES = 32
const ID_BYTES = 4
const SIGNATURE_BYTES = 64
/** The time before the signature in a cosignature. */
const TIME_BYTES = 8
/** Signature lines of a note, as in Go's package: each of a known key costs a verification. */
const MAX_SIGNATURES = 100

/** What precedes a public key in DER (RFC 8410). */
const PUBLIC_DER = Buffer.from("302a300506032b6570032100", "hex")

const typed = ({ kind, publicKey }: Pick<VerifierKey, "kind" | "publicKey">): Buffer =>
  Buffer.concat([Buffer.of(TYPES[kind]), publicKey])

const idOf = (key: Omit<VerifierKey, "id">): string =>
  createHash("sha256")
    .update(`${key.name}\n`)
    .update(typed(key))
    .digest("hex")
    .slice(0, 2 * ID_BYTES)

/** A key name: no white space and no `+`, not empty. */
export const isKeyName = (name: string): boolean =>
  name.isWellFormed() && /^[^\p{White_Space}+\u0000-\u001f]+$/u.test(name)

const VKEY = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/s

/** Decodes a vkey, such as `lottery.example+9b6c648b+AQOh…`; its ID must be that of the key. */
export const parseKey = (vkey: string): Result.Result<VerifierKey, string> => {
  const [, name = "", id = "", text = ""] = VKEY.exec(vkey) ?? []
  const bytes = fromBase64(text)
  if (!isKeyName(name) || bytes === undefined) {
    return expectedBut("a verifier key NAME+ID+KEY", vkey)
  }
  const kind = bytes[0] === TYPES.ed25519 ? "ed25519" : "cosignature"
  if (bytes.length !== 1 + KEY_BYTES || bytes[0] !== TYPES[kind]) {
    return expectedBut("a key of type 1 or 4 and 32 bytes after the ID", vkey)
  }
  const key = { kind, name, publicKey: bytes.subarray(1) } as const
  const expected = idOf(key)
  return id === expected
    ? Result.succeed({ ...key, id })
    : Result.fail(`expected the ID ${expected} of this name and key, got ${id}`)
}

export const showKey = (key: VerifierKey): string => `${key.name}+${key.id}+${toBase64(typed(key))}`

/** A private key of the operator. */
export interface SealKey {
  readonly verifier: VerifierKey
  /** The 64 bytes of the Ed25519 signature of a text. */
  readonly sign: (text: string) => Uint8Array
}

/** Reads an Ed25519 private key in PKCS#8 PEM. */
export const sealKeyFromPem = (name: string, pem: string): Result.Result<SealKey, string> => {
  if (!isKeyName(name)) return expectedBut("a key name without white space and +", name)
  const expected = "expected an Ed25519 private key in PKCS#8 PEM, not encrypted"
  return Result.flatMap(
    // OpenSSL's reasons mean nothing to a person.
    Result.try({ try: () => createPrivateKey(pem), catch: () => expected }),
    (key) =>
      key.asymmetricKeyType === "ed25519"
        ? Result.succeed(sealKeyOf(name, key))
        : Result.fail(`${expected}, got ${key.asymmetricKeyType}`)
  )
}

const sealKeyOf = (name: string, key: KeyObject): SealKey => {
  const der = createPublicKey(key).export({ type: "spki", format: "der" })
  const named = { kind: "ed25519", name, publicKey: der.subarray(PUBLIC_DER.length) } as const
  return {
    verifier: { ...named, id: idOf(named) },
    sign: (text) => signBytes(null, Buffer.from(text), key)
  }
}

/** The note of a text that ends in LF. */
export const sign = (text: string, { sign, verifier }: SealKey): string => {
  const signature = Buffer.concat([Buffer.from(verifier.id, "hex"), sign(text)])
  return `${text}\n— ${verifier.name} ${toBase64(signature)}\n`
}

export interface OpenedNote {
  readonly text: string
  /** The keys whose signatures verified; a cosignature's time is in POSIX seconds. */
  readonly signatures: ReadonlyArray<{ readonly key: VerifierKey; readonly time?: number }>
}

interface SignatureLine {
  readonly name: string
  readonly id: string
  readonly signature: Uint8Array
}

const SIGNATURE_LINE = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/

const parseSignature = (line: string): Result.Result<SignatureLine, string> => {
  const [, name = "", text = ""] = SIGNATURE_LINE.exec(line) ?? []
  const bytes = fromBase64(text)
  if (!isKeyName(name) || bytes === undefined || bytes.length <= ID_BYTES) {
    return expectedBut("a signature line — NAME BASE64", line)
  }
  const id = Buffer.from(bytes.subarray(0, ID_BYTES)).toString("hex")
  return Result.succeed({ name, id, signature: bytes.subarray(ID_BYTES) })
}

/** Splits a note at its last empty line. */
const split = (
  note: string
): Result.Result<
  { readonly text: string; readonly lines: ReadonlyArray<SignatureLine> },
  string
> => {
  const end = note.lastIndexOf("\n\n")
  if (end === -1) return Result.fail("expected an empty line before the signatures")
  const signatures = note.slice(end + 2)
  if (!signatures.endsWith("\n")) return Result.fail("expected LF after the last signature")
  const lines = signatures.slice(0, -1).split("\n", MAX_SIGNATURES + 1)
  if (lines.length > MAX_SIGNATURES) {
    return Result.fail(`expected at most ${MAX_SIGNATURES} signatures`)
  }
  return Result.map(Result.all(lines.map(parseSignature)), (lines) => ({
    text: note.slice(0, end + 1),
    lines
  }))
}

const isSigned = ({ publicKey }: VerifierKey, message: string, signature: Uint8Array): boolean => {
  const der = Buffer.concat([PUBLIC_DER, publicKey])
  const key = createPublicKey({ key: der, type: "spki", format: "der" })
  return verify(null, Buffer.from(message), key, signature)
}

const verifyCosignature = (
  text: string,
  key: VerifierKey,
  cosignature: Uint8Array
): Result.Result<OpenedNote["signatures"][number], string> => {
  const wrong = Result.fail(
    `expected a cosignature by ${key.name} of this text: one of the two was changed`
  )
  if (cosignature.length !== TIME_BYTES + SIGNATURE_BYTES) return wrong
  const time = Buffer.from(cosignature.subarray(0, TIME_BYTES)).readBigUInt64BE()
  const message = `cosignature/v1\ntime ${time}\n${text}`
  if (!isSigned(key, message, cosignature.subarray(TIME_BYTES))) return wrong
  if (time > Number.MAX_SAFE_INTEGER) {
    return Result.fail(`expected a cosignature with a time up to 2^53-1, got ${time}`)
  }
  return Result.mapBoth(parseCheckpoint(text), {
    onSuccess: () => ({ key, time: Number(time) }),
    onFailure: (problem) => `${key.name} cosigned what is no checkpoint: ${problem}`
  })
}

const verifyLine = (text: string, key: VerifierKey, { signature }: SignatureLine) => {
  if (key.kind === "cosignature") return verifyCosignature(text, key, signature)
  return signature.length === SIGNATURE_BYTES && isSigned(key, text, signature)
    ? Result.succeed({ key })
    : Result.fail(`expected a signature by ${key.name} of this text: one of the two was changed`)
}

/** What a note must not contain: control characters other than LF. */
const FORBIDDEN = /[\u0000-\u0009\u000b-\u001f]/

/** Verifies a note. A known key with a wrong signature refuses it, and so does no known key. */
export const open = (
  note: string,
  keys: ReadonlyArray<VerifierKey>
): Result.Result<OpenedNote, string> =>
  Result.gen(function* () {
    if (FORBIDDEN.test(note) || !note.isWellFormed()) {
      return yield* Result.fail("expected a note in UTF-8 with no control character except LF")
    }
    const { lines, text } = yield* split(note)
    const signatures: Array<OpenedNote["signatures"][number]> = []
    for (const line of lines) {
      const key = keys.find(({ id, name }) => id === line.id && name === line.name)
      if (key !== undefined) signatures.push(yield* verifyLine(text, key, line))
    }
    if (signatures.length === 0) {
      const known = keys.map(({ id, name }) => `${name}+${id}`).join(", ")
      const signers = lines.map(({ id, name }) => `${name}+${id}`).join(", ")
      return yield* Result.fail(`expected a signature by ${known}, got only ${signers}`)
    }
    return { text, signatures }
  })

/** Verifies a note that the operator must have signed; witnesses may have. */
export const openOperators = (
  note: string,
  operator: VerifierKey,
  witnesses: ReadonlyArray<VerifierKey> = []
): Result.Result<OpenedNote, string> => {
  if (operator.kind !== "ed25519") {
    return Result.fail(`expected the operator's key to be of type 1, got ${operator.kind}`)
  }
  return Result.filterOrFail(
    open(note, [operator, ...witnesses]),
    ({ signatures }) => signatures.some(({ key }) => key === operator),
    () => `expected a signature by ${operator.name}+${operator.id}, got only those of witnesses`
  )
}
