/** Where traces go: the URL of an OpenTelemetry collector that takes OTLP over HTTP. */
import { Option, Redacted, Schema } from "effect"

export interface Collector {
  /** The URL for traces, without a name and a password. */
  readonly url: string
  /** The value of the header `Authorization`, from the name and the password of the given URL. */
  readonly authorization: Option.Option<Redacted.Redacted>
}

export const EXPECTED_COLLECTOR =
  "expected an http or https URL without a query, such as http://localhost:4318"

const TRACES_PATH = "/v1/traces"

const decode = Schema.decodeOption(Schema.StringFromUriComponent)

/** Returns undefined if the name or the password is not percent-encoded UTF-8. */
const authorizationOf = ({ password, username }: URL): Collector["authorization"] | undefined => {
  if (username === "" && password === "") return Option.none()
  const name = decode(username)
  const secret = decode(password)
  if (Option.isNone(name) || Option.isNone(secret)) return undefined
  const credentials = Buffer.from(`${name.value}:${secret.value}`).toString("base64")
  return Option.some(Redacted.make(`Basic ${credentials}`))
}

/** Reads the base URL of a collector, to which the path for traces is appended. */
export const parseCollector = (text: string): Collector | undefined => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || /[?#]/.test(text)) return undefined
  const authorization = authorizationOf(url)
  if (authorization === undefined) return undefined
  const path = url.pathname.replace(/\/+$/, "")
  return { url: `${url.origin}${path}${TRACES_PATH}`, authorization }
}
