/** The TLS settings of `lottery client` and `lottery ping`. */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import type { ClientTls } from "../../client/ServerFailure.ts"
import { pairOf, readAuthority, readPair } from "../files/PemFile.ts"
import * as Setting from "./Setting.ts"

export const settings = {
  tls: Setting.flag("tls", "Use TLS; implied by the --tls-* flags"),
  tlsCa: Setting.file("tls-ca", "CA of the server's certificate (PEM; default the public CAs)"),
  tlsCert: Setting.file("tls-cert", "Certificate to present to the server (PEM)"),
  tlsKey: Setting.file("tls-key", "Private key of that certificate (PEM)")
}

type Given = Command.Command.Config.Infer<typeof settings>

/** Reads the files; undefined without TLS. */
export const make = Effect.fn("ClientTls.make")(function* (given: Given) {
  const files = yield* pairOf(given.tlsCert, given.tlsKey)
  const caFile = Option.getOrUndefined(given.tlsCa)
  if (!given.tls && caFile === undefined && files === undefined) return undefined
  const ca = caFile === undefined ? undefined : yield* readAuthority(caFile)
  const pair = files === undefined ? { cert: undefined, key: undefined } : yield* readPair(files)
  return { ca, ...pair } satisfies ClientTls
})
