/**
 * PostgreSQL URLs in libpq's form: `postgres://user:password@host:port/database?parameters`.
 * Special characters in names and passwords must be percent-encoded. Otherwise the end of the
 * password is ambiguous and part of it could be shown.
 */
import { Redacted, Result } from "effect"
import { isLoopback } from "../../../protocol/Loopback.ts"

/** The supported parameters. The driver ignores others silently, so they are refused. */
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

const PARTS = /^postgres(?:ql)?:\/\/([^/?#]*)(.*)$/s
const DATABASE_AND_PARAMETERS = /^(\/[^/@?#]*)?(\?[^@#]*)?$/

const EXPECTED = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"

/** Checks a URL. The error describes the problem without showing any part of the URL. */
export const parsePostgresUrl = (text: string): Result.Result<Redacted.Redacted, string> => {
  const url = URL.parse(text)
  const [, authority, rest] = PARTS.exec(text) ?? []
  if (url === null || authority === undefined || rest === undefined) return Result.fail(EXPECTED)
  if (!DATABASE_AND_PARAMETERS.test(rest) || authority.split("@").length > 2) {
    return Result.fail(`${EXPECTED}, with special characters percent-encoded (@ as %40)`)
  }
  return [...url.searchParams.keys()].every((name) => PARAMETERS.includes(name))
    ? Result.succeed(Redacted.make(text))
    : Result.fail(`${EXPECTED}, with no parameters except ${PARAMETERS.join(", ")}`)
}

/** Returns the last value of a parameter, which takes precedence. */
const parameterOf = ({ searchParams }: URL, name: string): string | undefined =>
  searchParams.getAll(name).at(-1)

export const hasParameter = (url: Redacted.Redacted, name: string): boolean =>
  parameterOf(new URL(Redacted.value(url)), name) !== undefined

/** Formats the URL for messages, without its password and parameters. */
export const showPostgresUrl = (url: Redacted.Redacted): string => {
  const parsed = new URL(Redacted.value(url))
  const { host, pathname, username } = parsed
  // A decoded parameter may contain line breaks.
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
 * The values of `sslmode` that require TLS. All of them verify the certificate and its host name,
 * which libpq does only for `verify-full`. `prefer` and `allow` accept a server without TLS.
 */
const TLS_MODES = new Set(["require", "verify-ca", "verify-full"])

export const requiresTls = (url: Redacted.Redacted): boolean =>
  TLS_MODES.has(parameterOf(new URL(Redacted.value(url)), "sslmode") ?? "")

const SOCKET_FOLDER = /^(\/|%2f)/i

/** Returns the host if it is another machine and the connection may be unencrypted. */
export const hostWithoutTls = (url: Redacted.Redacted): string | undefined => {
  if (requiresTls(url)) return undefined
  const parsed = new URL(Redacted.value(url))
  const host = parameterOf(parsed, "host") ?? parsed.hostname.replace(/^\[|\]$/g, "")
  return host === "" || SOCKET_FOLDER.test(host) || isLoopback(host) ? undefined : host
}
