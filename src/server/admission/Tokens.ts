/**
 * The agencies' tokens: lines, each with an agency's number, white space and its token. Empty
 * lines and those that begin with # are skipped. Only digests are kept, and compared in constant
 * time; no token is ever shown.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Result } from "effect"
import { type Agency, fromDigits } from "../../domain/Agency.ts"
import { MAX_TOKEN_BYTES } from "../../protocol/Limits.ts"

export interface Tokens {
  /** Takes as long for a token that is right as for one that is not. */
  readonly isOf: (agency: Agency, token: string) => boolean
}

const digestOf = (token: string): Buffer => createHash("sha256").update(token).digest()

/** What the token of an agency that has none is compared with: the digest of no token. */
const NO_DIGEST = Buffer.alloc(32)

const LINE = /^\s*(\d+)\s+(\S+)\s*$/
const SKIPPED = /^\s*(#|$)/

/** Reads the text of a file of tokens, or says in which line what is wrong. */
export const parseTokens = (text: string): Result.Result<Tokens, string> => {
  const digests = new Map<Agency, Buffer>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (SKIPPED.test(line)) continue
    const [, digits = "", token = ""] = LINE.exec(line) ?? []
    const agency = fromDigits(digits)
    const bad = (reason: string) => Result.fail(`line ${index + 1}: ${reason}`)
    if (agency === undefined) return bad("expected an agency's number, white space and its token")
    if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) {
      return bad(`expected a token of at most ${MAX_TOKEN_BYTES} bytes`)
    }
    if (digests.has(agency)) return bad(`agency ${agency} has a token already`)
    digests.set(agency, digestOf(token))
  }
  return Result.succeed({
    isOf: (agency, token) => timingSafeEqual(digestOf(token), digests.get(agency) ?? NO_DIGEST)
  })
}
