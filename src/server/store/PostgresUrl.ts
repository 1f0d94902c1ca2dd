/**
 * A PostgreSQL's URL as libpq writes it: `postgres://user:password@host:port/database?parameters`.
 * What is special in a name or a password must be percent-encoded: only then is it clear where
 * the password ends, which is never shown.
 */
import { Redacted, Result } from "effect"

/** The parameters that mean something here; any other would be ignored without a word. */
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

const SCHEME = /^postgres(ql)?:\/\//
/** What a URL has behind its host: a database, and parameters. */
const REST = /^(\/[^/@?#]*)?(\?[^@#]*)?$/

const EXPECTED = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE"

const parse = (text: string): URL | undefined => {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}

/** What is wrong with a URL, without showing any of it. */
const problemOf = (text: string): string | undefined => {
  const url = parse(text)
  if (!SCHEME.test(text) || url === undefined) return EXPECTED
  const authority = text.replace(SCHEME, "").match(/^[^/?#]*/)?.[0] ?? ""
  const rest = text.replace(SCHEME, "").slice(authority.length)
  if (!REST.test(rest) || authority.split("@").length > 2) {
    return `${EXPECTED}, what is special in a name or password percent-encoded (@ as %40)`
  }
  for (const name of url.searchParams.keys()) {
    if (!PARAMETERS.includes(name)) {
      return `${EXPECTED}, with no parameters but ${PARAMETERS.join(", ")}`
    }
  }
  return undefined
}

/** Takes a URL for what it is, or says what is wrong with it, without showing any of it. */
export const parsePostgresUrl = (text: string): Result.Result<Redacted.Redacted, string> => {
  const problem = problemOf(text)
  return problem === undefined ? Result.succeed(Redacted.make(text)) : Result.fail(problem)
}

/** The URL without its password and parameters, fit to be shown. */
export const showPostgresUrl = (url: Redacted.Redacted): string => {
  const { host, pathname, searchParams, username } = new URL(Redacted.value(url))
  // A parameter is decoded, and may have line breaks then.
  const parameter = (name: string) => {
    const value = searchParams.get(name)
    return value === null ? undefined : encodeURI(value)
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
