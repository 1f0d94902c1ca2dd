/**
 * The texts that settings are written as, each as a Schema from text to its value: ports,
 * addresses, durations, agencies. What is wrong says what was expected.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as NetHost from "effect/net/Host"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { Agency, fromDigits, MAX_AGENCY } from "../../domain/Agency.ts"
import { NumberFromDigits } from "../../domain/Bet.ts"
import { DrawId, ExpectedAgencies } from "../../domain/Draw.ts"
import { MAX_TOKEN_BYTES } from "../../protocol/Limits.ts"
import { LOG_LEVELS, type LogLevel } from "../log/LogFormat.ts"

/** From text to a value and back. */
export type TextSchema<A> = Schema.Codec<A, string>

const fromText = <A>(
  to: Schema.Codec<A, A>,
  expected: string,
  decode: (text: string) => A | undefined,
  encode: (value: A) => string
): TextSchema<A> =>
  Schema.String.pipe(
    Schema.decodeTo(
      to,
      SchemaTransformation.transformEffect<A, string>({
        decode: (text, options) => {
          const value = decode(text)
          return value === undefined
            ? Effect.fail(new SchemaIssue.InvalidValue({ message: expected }, text, options))
            : Effect.succeed(value)
        },
        encode: (value) => Effect.succeed(encode(value))
      })
    )
  )

/** Any text that is not empty. */
export const Text: TextSchema<string> = Schema.String.check(
  Schema.makeFilter((text: string) => text !== "" || "expected some text")
)

const INTEGER = /^-?\d{1,15}$/

/** A whole number from `minimum` to `maximum`, in decimal digits. */
export const intBetween = (minimum: number, maximum: number): TextSchema<number> => {
  const expected = `expected a whole number from ${minimum} to ${maximum}`
  return fromText(
    Schema.Number,
    expected,
    (text) => {
      if (!INTEGER.test(text)) return undefined
      const value = Number(text)
      return value >= minimum && value <= maximum ? value : undefined
    },
    String
  )
}

export const MAX_PORT = 65_535

/** A TCP port to connect to or to listen on; 0 lets the system choose where one listens. */
export const Port: TextSchema<number> = intBetween(0, MAX_PORT)

const WHITE_SPACE = /\s/

/** The root of all names is a name, but of no host. */
const ROOT = "."

/** The host in its shortest spelling; undefined if it cannot be one. */
export const parseHost = (text: string): string | undefined => {
  const host = Option.getOrUndefined(Result.getSuccess(NetHost.hostFromString(text)))
  return host === undefined || host === ROOT ? undefined : NetHost.formatHost(host)
}

/** A host name or an IP address, IPv6 without brackets. */
export const Host: TextSchema<string> = fromText(
  Schema.String,
  "expected a host name or an IP address",
  parseHost,
  (host) => host
)

/** A host and a port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The address of `host:port`, IPv6 in brackets; undefined where it is not one. */
const parseAddress = (text: string): Address | undefined => {
  const address = Option.getOrUndefined(Result.getSuccess(NetHost.hostPortFromString(text)))
  if (address === undefined || address.host === ROOT || address.port === 0) return undefined
  return { host: NetHost.formatHost(address.host), port: address.port }
}

/** Writes an address as `host:port`, IPv6 in brackets. */
export const showAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/** An address as `host:port`; an IPv6 address goes in brackets. */
export const AddressFromText: TextSchema<Address> = fromText(
  Schema.Struct({ host: Schema.String, port: Schema.Number }),
  "expected host:port, such as localhost:12345 or [::1]:12345",
  parseAddress,
  showAddress
)

const UNIT_MILLIS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000
}
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)/

/** Reads `1s`, `500ms`, `1.5m`, `1h30m`; undefined where it is not a duration. */
const parseDuration = (text: string): Duration.Duration | undefined => {
  let rest = text
  let millis = 0
  do {
    const match = DURATION.exec(rest)
    if (match === null) return undefined
    millis += Number(match[1]) * UNIT_MILLIS[match[2]!]!
    rest = rest.slice(match[0].length)
  } while (rest !== "")
  return Duration.millis(millis)
}

/** Writes a duration in the largest unit that holds it as a whole: `1s`, `1500ms`. */
export const showDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  for (const unit of ["h", "m", "s"] as const) {
    if (millis > 0 && millis % UNIT_MILLIS[unit]! === 0)
      return `${millis / UNIT_MILLIS[unit]!}${unit}`
  }
  return `${millis}ms`
}

/** A duration as `1s`, `500ms`, `5m`, `1h30m`. */
export const DurationFromText: TextSchema<Duration.Duration> = fromText(
  Schema.Duration,
  "expected a duration such as 500ms, 1s or 5m",
  parseDuration,
  showDuration
)

/** The most agencies that `N` may stand for, so that a slip of the finger is not a long list. */
const MAX_AGENCIES = 1_000_000

const COUNT = /^\d{1,7}$/

/** Reads `5` as 1 to 5, `1,2,7` as these, `7,` as only 7; sorted, each once. */
const parseAgencies = (text: string): ExpectedAgencies | undefined => {
  if (!text.includes(",")) {
    const count = COUNT.test(text) ? Number(text) : 0
    if (count < 1 || count > MAX_AGENCIES) return undefined
    const [first, ...others] = Array.from({ length: count }, (_, index) => index + 1)
    return [first!, ...others]
  }
  const listed = text.endsWith(",") ? text.slice(0, -1) : text
  const agencies = new Set<Agency>()
  for (const item of listed.split(",")) {
    const agency = fromDigits(item.trim())
    if (agency === undefined) return undefined
    agencies.add(agency)
  }
  const [first, ...others] = [...agencies].sort((one, other) => one - other)
  return first === undefined ? undefined : [first, ...others]
}

/** Writes agencies so that `AgenciesFromText` reads the same. */
export const showAgencies = (agencies: ExpectedAgencies): string => {
  const last = agencies[agencies.length - 1]!
  if (agencies[0] === 1 && last === agencies.length) return String(last)
  return agencies.length === 1 ? `${last},` : agencies.join(",")
}

/** The agencies of a draw: how many from 1 on, or a list; a list of one ends in a comma. */
export const AgenciesFromText: TextSchema<ExpectedAgencies> = fromText(
  ExpectedAgencies,
  `expected how many agencies (1 to ${MAX_AGENCIES}), or a list such as "1,2,7" or "7,"`,
  parseAgencies,
  showAgencies
)

/** An agency's number. */
export const AgencyFromText: TextSchema<Agency> = fromText(
  Agency,
  `expected an agency number from 1 to ${MAX_AGENCY}`,
  fromDigits,
  String
)

/** The winning number, as it is written in a book. */
export const WinningNumber: TextSchema<number> = NumberFromDigits

/** The name of a draw. */
export const Draw: TextSchema<DrawId> = DrawId

/** One of some words, in any case; `aliases` are other words for them. */
export const oneOf = <const Word extends string>(
  words: ReadonlyArray<Word>,
  aliases: Readonly<Record<string, Word>> = {}
): TextSchema<Word> => {
  const byName = new Map<string, Word>([
    ...Object.entries(aliases),
    ...words.map((word): [string, Word] => [word.toLowerCase(), word])
  ])
  return fromText(
    Schema.Literals(words),
    `expected one of ${words.join(", ")}`,
    (text) => byName.get(text.toLowerCase()),
    (word) => word
  )
}

/** A level of the log, in any case; WARN is WARNING, FATAL is CRITICAL. */
export const LogLevelFromText: TextSchema<LogLevel> = oneOf(LOG_LEVELS, {
  warn: "WARNING",
  fatal: "CRITICAL"
})

const YES = /^(?:true|1|y|yes|on)$/i
const NO = /^(?:false|0|n|no|off)$/i

/** Yes or no, in the words that a switch takes as a flag too. */
export const BooleanFromText: TextSchema<boolean> = fromText(
  Schema.Boolean,
  "expected true or false",
  (text) => (YES.test(text) ? true : NO.test(text) ? false : undefined),
  String
)

const SIZE_UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }
const SIZE = /^(\d{1,6})(KiB|MiB|GiB)$/

/** Writes bytes in the largest unit that holds them as a whole: `256MiB`. */
export const showSize = (bytes: number): string => {
  for (const unit of ["GiB", "MiB"] as const) {
    if (bytes % SIZE_UNITS[unit]! === 0) return `${bytes / SIZE_UNITS[unit]!}${unit}`
  }
  return `${bytes / 1024}KiB`
}

/** A size of memory as `256MiB`, at least `minimum` bytes. */
export const sizeFrom = (minimum: number): TextSchema<number> =>
  fromText(
    Schema.Number,
    `expected a size such as 256MiB or 1GiB, ${showSize(minimum)} or more`,
    (text) => {
      const [, digits, unit] = SIZE.exec(text) ?? []
      const bytes = digits === undefined ? 0 : Number(digits) * SIZE_UNITS[unit!]!
      return bytes >= minimum ? bytes : undefined
    },
    showSize
  )

/** A duration of a millisecond or more, for what is to have some time. */
export const SomeTime: TextSchema<Duration.Duration> = DurationFromText.check(
  Schema.makeFilter(
    (duration: Duration.Duration) =>
      Duration.toMillis(duration) >= 1 || "expected a duration such as 500ms, 1s or 5m"
  )
)

/** What proves that an agency is the one that it says: a word, whose characters travel as JSON. */
export const Token: TextSchema<string> = Schema.String.check(
  Schema.makeFilter(
    (text: string) =>
      (text !== "" && !WHITE_SPACE.test(text) && Buffer.byteLength(text) <= MAX_TOKEN_BYTES) ||
      `expected a token without white space, of at most ${MAX_TOKEN_BYTES} bytes`
  )
)
