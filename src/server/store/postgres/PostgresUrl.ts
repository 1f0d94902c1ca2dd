/**
 * A PostgreSQL URL as libpq writes it: `postgres://user:password@host:port/database?parameters`.
 * Special characters of a name or a password must be percent-encoded: otherwise it is not clear
 * where the password ends, and a password is never shown.
 */
import { Redacted, Result } from "effect"
import { isLoopback } from "../../../protocol/Loopback.ts"

/** The supported parameters; any other would be ignored silently. */
const PARAMETERS = [
  "host",
  "port",
  "user",
  "password",
  "dbname",
  "application_name",
  "options",
  "connect_timeout",
  "sslmode"
]

/** User, password and host, up to a slash; then the rest. */
const PARTS = /^postgres(?:ql)?:\/\/([^/?#]*)(.*)$/s
/** A database and parameters. */
const REST = /^(\/[^/@?#]*)?(\?[^@#]*)?$/

const EXPECTED = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"

/** Checks a URL, or says what is wrong with it without showing any of it. */
export const parsePostgresUrl = (text: string): Result.Result<Redacted.Redacted, string> => {
  const url = URL.parse(text)
  const [, authority, rest] = PARTS.exec(text) ?? []
  if (url === null || authority === undefined || rest === undefined) return Result.fail(EXPECTED)
  if (!REST.test(rest) || authority.split("@").length > 2) {
    return Result.fail(
      `${EXPECTED}, what is special in a name or password percent-encoded (@ as %40)`
    )
  }
  return [...url.searchParams.keys()].every((name) => PARAMETERS.includes(name))
    ? Result.succeed(Redacted.make(text))
    : Result.fail(`${EXPECTED}, with no parameters but ${PARAMETERS.join(", ")}`)
}

/** The last value of a parameter, which is the one that counts. */
const parameterOf = ({ searchParams }: URL, name: string): string | undefined =>
  searchParams.getAll(name).at(-1)

/** The URL without its password and parameters, fit to be shown. */
export const showPostgresUrl = (url: Redacted.Redacted): string => {
  const parsed = new URL(Redacted.value(url))
  const { host, pathname, username } = parsed
  // A parameter is decoded, and may have line breaks then.
  const parameter = (name: string) => {
    const value = parameterOf(parsed, name)
    return value === undefined ? undefined : encodeURI(value)
  }
  const user = parameter("user") ?? username
  const at = parameter("host") ?? host
  const port = parameter("port")
  const database = parameter("dbname") ?? pathname.slice(1)
  return (
    `postgres://${user === "" ? "" : `${user}@`}${at}${port === undefined ? "" : `:${port}`}` +
    (database === "" ? "" : `/${database}`)
  )
}

/**
 * The values of `sslmode` that insist on TLS. Each of them checks the certificate and its name, as
 * libpq does for `verify-full` alone. `prefer` and `allow` do without TLS if the server has none.
 */
const TLS_MODES = new Set(["require", "verify-ca", "verify-full"])

/** Whether PostgreSQL is spoken to over TLS only. */
export const requiresTls = (url: Redacted.Redacted): boolean =>
  TLS_MODES.has(parameterOf(new URL(Redacted.value(url)), "sslmode") ?? "")

/** The folder of a socket, also as a URL has it. */
const FOLDER = /^(\/|%2f)/i

/** The host of another machine that may be spoken to without TLS. */
export const hostWithoutTls = (url: Redacted.Redacted): string | undefined => {
  if (requiresTls(url)) return undefined
  const parsed = new URL(Redacted.value(url))
  const host = parameterOf(parsed, "host") ?? parsed.hostname.replace(/^\[|\]$/g, "")
  return host === "" || FOLDER.test(host) || isLoopback(host) ? undefined : host
}
