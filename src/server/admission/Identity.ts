/**
 * Who may speak for an agency: whoever presents its certificate, or in the native dialect its
 * token. Where neither is asked for, everybody.
 */
import { Context, Data, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { Tokens } from "./Tokens.ts"

/** A peer did not prove that it is the agency that it says. */
export class Unauthorized extends Data.TaggedError("Unauthorized")<{
  readonly agency: Agency
  readonly reason: string
}> {
  override get message(): string {
    return `not authorized for agency ${this.agency}: ${this.reason}`
  }
}

/** What a peer's certificate says: the agency that it is of, or why it is of none. */
export type Certificate =
  | { readonly _tag: "Agency"; readonly agency: Agency }
  | { readonly _tag: "Refused"; readonly reason: string }
  | { readonly _tag: "Missing" }

/** What is asked of a peer that speaks for an agency. A server cannot be built without it. */
export class Identity extends Context.Service<
  Identity,
  {
    readonly certificates: boolean
    /** The tokens as they were read last. */
    readonly tokens: (() => Tokens) | undefined
  }
>()("lottery/server/Identity") {}

/** What speaks against a certificate where `agency` is spoken for; undefined where nothing does. */
const refusalOf = (certificate: Certificate | undefined, agency: Agency): string | undefined => {
  switch (certificate?._tag) {
    case "Agency":
      return certificate.agency === agency
        ? undefined
        : `the certificate is agency ${certificate.agency}'s`
    case "Refused":
      return `the certificate is not accepted: ${certificate.reason}`
    default:
      return "no certificate was presented"
  }
}

/**
 * Lets a peer speak for an agency. Who has a certificate is judged by it; a token is for those who
 * have none, in the dialect that has a word for it.
 */
export const authorize = Effect.fnUntraced(function* (
  { certificate }: { readonly certificate: Certificate | undefined },
  agency: Agency,
  token?: string
): Effect.fn.Return<void, Unauthorized, Identity> {
  const { certificates, tokens } = yield* Identity
  if (!certificates && tokens === undefined) return
  const refusal = refusalOf(certificate, agency)
  if (certificates && refusal === undefined) return
  const isMissing = certificate === undefined || certificate._tag === "Missing"
  if (tokens === undefined || (certificates && !isMissing)) {
    return yield* new Unauthorized({ agency, reason: refusal ?? "no certificate was presented" })
  }
  if (token === undefined) {
    const reason = certificates
      ? "neither a certificate nor a token was presented"
      : "no token was presented, which only the native dialect can"
    return yield* new Unauthorized({ agency, reason })
  }
  if (!tokens().isOf(agency, token)) {
    return yield* new Unauthorized({ agency, reason: "the token is not this agency's" })
  }
})
