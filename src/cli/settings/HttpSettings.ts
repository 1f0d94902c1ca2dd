/** The settings of `lottery server` for HTTP (docs/http.md). */
import { Option } from "effect"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

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

/** The names, in lower case. */
export const hostsOf = (given: Option.Option<ReadonlyArray<string>>): ReadonlyArray<string> =>
  Option.getOrElse(given, () => []).map((host) => host.toLowerCase())
