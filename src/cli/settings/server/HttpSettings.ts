/** The settings of `lottery server` for HTTP (docs/http.md). */
import { Effect, Option } from "effect"
import { CliError, type Command } from "effect/cli"
import * as Setting from "../Setting.ts"
import * as SettingText from "../SettingText.ts"

export const settings = {
  http: Setting.optional("http", "<host:port>", {
    description: "Serve the live board, metrics and health over HTTP, such as on 127.0.0.1:8080",
    schema: SettingText.ListenAddressFromText
  }),
  httpHost: Setting.optional("http-host", "<names>", {
    description: 'Names of this server in HTTP requests besides loopback, such as "board.example"',
    schema: SettingText.HostListFromText
  })
}

type Given = Command.Command.Config.Infer<typeof settings>

/** The address to listen on, and the names in lower case; undefined if HTTP is off. */
export const read = Effect.fnUntraced(function* ({ http, httpHost }: Given) {
  if (Option.isNone(http)) {
    if (Option.isNone(httpHost)) return undefined
    const message = "http-host needs an address to listen on: add --http 127.0.0.1:8080"
    return yield* new CliError.ValidationError({ message })
  }
  const hosts = Option.getOrElse(httpHost, () => []).map((host) => host.toLowerCase())
  return { ...http.value, hosts }
})
