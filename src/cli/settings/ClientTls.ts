/** How `lottery client` and `lottery ping` speak TLS: settings that name files. */
import { Effect, Option } from "effect"
import { CliError, type Command } from "effect/cli"
import type { ClientTls } from "../../client/ServerFailure.ts"
import { readAuthority, readPair } from "../files/PemFile.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

const file = (name: string, description: string) =>
  Setting.optional(name, { description, schema: SettingText.Text, metavar: "file" })

export const settings = {
  tls: Setting.flag("tls", "Speak TLS, as do the settings that begin so"),
  tlsCa: file("tls-ca", "The CA of the server's certificate (PEM; default the public ones)"),
  tlsCert: file("tls-cert", "Certificate to present to the server (PEM)"),
  tlsKey: file("tls-key", "The private key of that certificate (PEM)")
}

type Given = Command.Command.Config.Infer<typeof settings>

/** What the settings come to; undefined without TLS. */
export const make = Effect.fn("ClientTls.make")(function* (given: Given) {
  const ca = Option.getOrUndefined(given.tlsCa)
  const cert = Option.getOrUndefined(given.tlsCert)
  const key = Option.getOrUndefined(given.tlsKey)
  if ((cert === undefined) !== (key === undefined)) {
    const message = "tls-cert and tls-key belong together: one of them is missing"
    return yield* new CliError.ValidationError({ message })
  }
  // A CA or a certificate asks for TLS too.
  if (!given.tls && ca === undefined && cert === undefined) return undefined
  const authority = ca === undefined ? undefined : yield* readAuthority(ca)
  const isPair = cert !== undefined && key !== undefined
  const pair = isPair ? yield* readPair(cert, key) : { cert: undefined, key: undefined }
  return { ca: authority, ...pair } satisfies ClientTls
})
