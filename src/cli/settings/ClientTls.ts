/** The TLS settings of `lottery client` and `lottery ping`. */
import { Effect, Option } from "effect"
import type { Command } from "effect/cli"
import type { ClientTls } from "../../client/ServerFailure.ts"
import { pairOf, readAuthority, readPair } from "../files/PemFile.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

export const settings = {
  tls: Setting.flag("tls", "Use TLS; implied by the other --tls-* flags"),
  tlsCa: Setting.optional("tls-ca", "<file>", {
    description: "PEM certificate of the CA that issued the server's certificate",
    schema: SettingText.Text,
    shownDefault: "the public CAs"
  }),
  tlsCert: Setting.file("tls-cert", "PEM certificate to present to the server"),
  tlsKey: Setting.file("tls-key", "PEM private key of the --tls-cert certificate")
}

type Given = Command.Command.Config.Infer<typeof settings>

/** Reads the files; returns undefined if TLS is not used. */
export const make = Effect.fn("ClientTls.make")(function* (given: Given) {
  const files = yield* pairOf(given.tlsCert, given.tlsKey)
  const caFile = Option.getOrUndefined(given.tlsCa)
  if (!given.tls && caFile === undefined && files === undefined) return undefined
  const ca = caFile === undefined ? undefined : yield* readAuthority(caFile)
  const pair = files === undefined ? { cert: undefined, key: undefined } : yield* readPair(files)
  return { ca, ...pair } satisfies ClientTls
})
