/**
 * The agencies' tokens: one agency per line, its number, whitespace and its token. Blank lines and
 * lines that begin with # are skipped. Only digests are kept, and they are compared in constant
 * time. No token is ever shown.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Result } from "effect"
import { type Agency, fromDigits } from "../../domain/Agency.ts"
import { MAX_TOKEN_BYTES } from "../../protocol/Limits.ts"

export interface Tokens {
  /** Takes the same time for a right token as for a wrong one. */
  readonly isOf: (agency: Agency, token: string) => boolean
}

const digestOf = (token: string): Buffer => createHash("sha256").update(token).digest()

/** Stands in for the digest of an agency without a token. No token has this digest. */
const NO_DIGEST = Buffer.alloc(32)

const LINE = /^\s*(\d+)\s+(\S+)\s*$/
const SKIPPED = /^\s*(#|$)/

/** Parses a token file. A failure says which line is wrong, and why. */
export const parseTokens = (text: string): Result.Result<Tokens, string> => {
  const digests = new Map<Agency, Buffer>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (SKIPPED.test(line)) continue
    const [, digits = "", token = ""] = LINE.exec(line) ?? []
    const agency = fromDigits(digits)
    const bad = (reason: string) => Result.fail(`line ${index + 1}: ${reason}`)
    if (agency === undefined) return bad("expected an agency number, whitespace and a token")
    if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) {
      return bad(`expected a token of at most ${MAX_TOKEN_BYTES} bytes`)
    }
    if (digests.has(agency)) return bad(`agency ${agency} already has a token`)
    digests.set(agency, digestOf(token))
  }
  return Result.succeed({
    isOf: (agency, token) => timingSafeEqual(digestOf(token), digests.get(agency) ?? NO_DIGEST)
  })
}
