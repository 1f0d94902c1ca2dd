/** Decides who may speak for an agency: by certificate, by token (native dialect) or any peer. */
import { Context, Data, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { Tokens } from "./Tokens.ts"

export class Unauthorized extends Data.TaggedError("Unauthorized")<{
  readonly agency: Agency
  readonly reason: string
}> {
  override get message(): string {
    return `not authorized for agency ${this.agency}: ${this.reason}`
  }
}

/** The agency that a peer's certificate proves, or why it proves none. */
export type Certificate =
  | { readonly _tag: "Agency"; readonly agency: Agency }
  | { readonly _tag: "Refused"; readonly reason: string }
  | { readonly _tag: "Missing" }

/** What a peer must present to speak for an agency. A server cannot be built without it. */
export class Identity extends Context.Service<
  Identity,
  {
    readonly certificates: boolean
    /** Returns the tokens that were loaded last. */
    readonly tokens: (() => Tokens) | undefined
  }
>()("lottery/server/Identity") {}

/** Returns why a certificate does not authorize its peer for `agency`, or undefined if it does. */
const refusalOf = (certificate: Certificate | undefined, agency: Agency): string | undefined => {
  switch (certificate?._tag) {
    case "Agency":
      return certificate.agency === agency
        ? undefined
        : `the certificate belongs to agency ${certificate.agency}`
    case "Refused":
      return `the certificate was rejected: ${certificate.reason}`
    default:
      return "no certificate was presented"
  }
}

/** A certificate, if presented, decides alone. A token counts only without one. */
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
      : "no token was presented; only the native dialect can carry one"
    return yield* new Unauthorized({ agency, reason })
  }
  if (!tokens().isOf(agency, token)) {
    return yield* new Unauthorized({ agency, reason: "the token is wrong" })
  }
})
