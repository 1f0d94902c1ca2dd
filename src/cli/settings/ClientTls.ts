/** How `lottery client` and `lottery ping` speak TLS: settings that name files. */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import type { ClientTls } from "../../client/ServerFailure.ts"
import { pairOf, readAuthority, readPair } from "../files/PemFile.ts"
import * as Setting from "./Setting.ts"

export const settings = {
  tls: Setting.flag("tls", "Speak TLS, as do the settings that begin so"),
  tlsCa: Setting.file(
    "tls-ca",
    "The CA of the server's certificate (PEM; default the public ones)"
  ),
  tlsCert: Setting.file("tls-cert", "Certificate to present to the server (PEM)"),
  tlsKey: Setting.file("tls-key", "The private key of that certificate (PEM)")
}

type Given = Command.Command.Config.Infer<typeof settings>

/** What the settings come to; undefined without TLS. */
export const make = Effect.fn("ClientTls.make")(function* (given: Given) {
  const files = yield* pairOf(given.tlsCert, given.tlsKey)
  const caFile = Option.getOrUndefined(given.tlsCa)
  // A CA or a certificate asks for TLS too.
  if (!given.tls && caFile === undefined && files === undefined) return undefined
  const ca = caFile === undefined ? undefined : yield* readAuthority(caFile)
  const pair = files === undefined ? { cert: undefined, key: undefined } : yield* readPair(files)
  return { ca, ...pair } satisfies ClientTls
})
