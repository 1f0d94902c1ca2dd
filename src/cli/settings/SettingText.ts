/** Schemas that read settings from text. Each error says what was expected. */
import {
  Array as Arr,
  ByteSize,
  Duration,
  Effect,
  Result,
  Schema,
  SchemaGetter,
  SchemaIssue
} from "effect"
import * as NetHost from "effect/net/Host"
import { type Agency, fromDigits, MAX_AGENCY } from "../../domain/Agency.ts"
import type { ExpectedAgencies } from "../../domain/Draw.ts"
import { MAX_TOKEN_BYTES } from "../../protocol/Limits.ts"
import { LOG_LEVELS, type LogLevel } from "../log/LogFormat.ts"

export type TextSchema<A> = Schema.Codec<A, string>

/** Makes a Schema that fails with `expected` if `decode` returns undefined. */
export const fromText = <A>(
  expected: string,
  decode: (text: string) => A | undefined
): TextSchema<A> =>
  Schema.String.pipe(
    Schema.decodeTo(Schema.Any, {
      decode: SchemaGetter.transformEffect((text: string, options) => {
        const value = decode(text)
        return value === undefined
          ? Effect.fail(new SchemaIssue.InvalidValue({ message: expected }, text, options))
          : Effect.succeed(value)
      }),
      encode: SchemaGetter.forbiddenEncoding
    })
  )

export const Text = fromText("expected non-empty text", (text) => (text === "" ? undefined : text))

const INTEGER = /^-?\d{1,15}$/

/** A whole number from `minimum` to `maximum`, in decimal digits. */
export const intBetween = (minimum: number, maximum: number): TextSchema<number> =>
  fromText(`expected a whole number from ${minimum} to ${maximum}`, (text) => {
    const value = INTEGER.test(text) ? Number(text) : Number.NaN
    return value >= minimum && value <= maximum ? value : undefined
  })

export const MAX_PORT = 65_535

/** A TCP port to listen on; for 0 the system chooses a free one. */
export const Port = intBetween(0, MAX_PORT)

/** The DNS root, which is not a host. */
const ROOT = "."

/** Returns the host in its shortest spelling, or undefined if it is invalid. */
export const parseHost = (text: string): string | undefined => {
  const host = Result.getOrUndefined(NetHost.hostFromString(text))
  return host === undefined || host === ROOT ? undefined : NetHost.formatHost(host)
}

/** A host name or an IP address, IPv6 without brackets. */
export const Host = fromText("expected a host name or an IP address", parseHost)

export interface Address {
  readonly host: string
  readonly port: number
}

/** Writes an address as `host:port`, IPv6 in brackets. */
export const showAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

const parseAddress = (text: string): Address | undefined => {
  const address = Result.getOrUndefined(NetHost.hostPortFromString(text))
  if (address === undefined || address.host === ROOT) return undefined
  return { host: NetHost.formatHost(address.host), port: address.port }
}

export const AddressFromText = fromText(
  "expected host:port, such as localhost:12345 or [::1]:12345",
  (text) => {
    const address = parseAddress(text)
    return address?.port === 0 ? undefined : address
  }
)

/** An address to listen on; for port 0 the system chooses a free one. */
export const ListenAddressFromText = fromText(
  "expected host:port, such as 127.0.0.1:8080 or [::1]:8080",
  parseAddress
)

/** Host names or IP addresses, separated by commas. */
export const HostListFromText = fromText(
  'expected host names such as "board.example" or "board.example,10.0.0.5"',
  (text) => {
    const hosts = text.split(",").flatMap((name) => parseHost(name.trim()) ?? [])
    return hosts.length === text.split(",").length ? hosts : undefined
  }
)

/** Returns the base URL of a service without its final slash, or undefined if it is invalid. */
const parseBaseUrl = (text: string): string | undefined => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || /[?#@]/.test(text)) return undefined
  return url.origin + url.pathname.replace(/\/+$/, "")
}

/** Base URLs of one service, separated by commas. */
export const UrlListFromText = fromText(
  "expected http or https URLs separated by commas, each without a name, a password and a query",
  (text) => {
    const urls = text.split(",").map((url) => parseBaseUrl(url.trim()))
    return urls.every((url) => url !== undefined) ? urls : undefined
  }
)

// Effect's parser accepts only one unit, written as a word: `1 second`.
const UNIT_MILLIS = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/
const DURATION_PART = /([\d.]+)(ms|s|m|h)/g

/** Writes a duration in the largest unit that divides it: `1s`, `1500ms`. */
export const showDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  const unit = (["h", "m", "s"] as const).find(
    (one) => millis > 0 && millis % UNIT_MILLIS[one] === 0
  )
  return unit === undefined ? `${millis}ms` : `${millis / UNIT_MILLIS[unit]}${unit}`
}

const parseMillis = (text: string): number | undefined => {
  if (!DURATION.test(text)) return undefined
  let millis = 0
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    millis += Number(amount) * UNIT_MILLIS[unit as keyof typeof UNIT_MILLIS]
  }
  return millis
}

const durationFrom = (minimumMillis: number) =>
  fromText("expected a duration such as 500ms, 1s or 5m", (text) => {
    const millis = parseMillis(text)
    return millis !== undefined && millis >= minimumMillis ? Duration.millis(millis) : undefined
  })

/** A duration as `1s`, `500ms`, `5m`, `1h30m`. */
export const DurationFromText = durationFrom(0)

/** A duration of at least a millisecond, for limits. */
export const SomeTime = durationFrom(1)

/** A duration in whole seconds, from one second to `maximum`. */
export const wholeSecondsTo = (maximum: Duration.Duration): TextSchema<Duration.Duration> =>
  fromText(
    `expected a duration in whole seconds from 1s to ${showDuration(maximum)}, such as 5m`,
    (text) => {
      const seconds = (parseMillis(text) ?? 0) / UNIT_MILLIS.s
      const isAllowed = Number.isInteger(seconds) && seconds >= 1
      return isAllowed && seconds <= Duration.toSeconds(maximum)
        ? Duration.seconds(seconds)
        : undefined
    }
  )

/** The maximum number of agencies, so that a typo does not produce a huge list. */
const MAX_AGENCIES = 1_000_000

const COUNT = /^\d{1,7}$/

/** Reads `5` as 1 to 5, `1,2,7` as a list and `7,` as only 7. Sorts and removes duplicates. */
const parseAgencies = (text: string): ExpectedAgencies | undefined => {
  if (!text.includes(",")) {
    const count = COUNT.test(text) ? Number(text) : 0
    return count < 1 || count > MAX_AGENCIES ? undefined : Arr.range(1, count)
  }
  const agencies = new Set<Agency>()
  for (const item of text.replace(/,$/, "").split(",")) {
    const agency = fromDigits(item.trim())
    if (agency === undefined) return undefined
    agencies.add(agency)
  }
  const [first, ...others] = [...agencies].sort((one, other) => one - other)
  return [first!, ...others]
}

/** Writes agencies in the form that `AgenciesFromText` reads. */
export const showAgencies = (agencies: ExpectedAgencies): string => {
  const last = agencies[agencies.length - 1]!
  if (agencies[0] === 1 && last === agencies.length) return String(last)
  return agencies.length === 1 ? `${last},` : agencies.join(",")
}

export const AgenciesFromText = fromText(
  `expected a count of agencies (1 to ${MAX_AGENCIES}) or a list such as "1,2,7" or "7,"`,
  parseAgencies
)

export const AgencyFromText = fromText(
  `expected an agency number from 1 to ${MAX_AGENCY}`,
  fromDigits
)

/** Agencies by number, such as `3,5`. */
export const AgencyListFromText = fromText('expected agency numbers such as "3" or "3,5"', (text) =>
  parseAgencies(text.includes(",") ? text : `${text},`)
)

const TIME = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?)(?:Z|[+-]\d{2}:\d{2})$/

/** A time with its offset from UTC, in milliseconds since the epoch. */
const parseTime = (text: string): number | undefined => {
  const [, local] = TIME.exec(text) ?? []
  const millis = Date.parse(text)
  if (local === undefined || Number.isNaN(millis)) return undefined
  // `Date` turns February 30 into March 2.
  const written = new Date(Date.parse(`${local}Z`)).toISOString()
  return written.startsWith(local) ? millis : undefined
}

const EXPECTED_TIME = "expected a time with its offset, such as 2026-12-01T21:00:00-03:00"

export const TimeFromText = fromText(EXPECTED_TIME, parseTime)

export const NEVER = "never"

export const TimeOrNever = fromText(`${EXPECTED_TIME}, or ${NEVER}`, (text) =>
  text === NEVER ? text : parseTime(text)
)

/** One of `words`, or one of their `aliases`, in upper or lower case. */
export const oneOf = <const Word extends string>(
  words: ReadonlyArray<Word>,
  aliases: Readonly<Record<string, Word>> = {}
): TextSchema<Word> =>
  fromText(`expected one of ${words.join(", ")}`, (text) => {
    const name = text.toLowerCase()
    return (
      words.find((word) => word.toLowerCase() === name) ??
      new Map(Object.entries(aliases)).get(name)
    )
  })

export const LogLevelFromText: TextSchema<LogLevel> = oneOf(LOG_LEVELS, {
  warn: "WARNING",
  fatal: "CRITICAL"
})

const YES = /^(?:true|1|y|yes|on)$/i
const NO = /^(?:false|0|n|no|off)$/i

/** Accepts the words that effect/cli accepts for a switch. */
export const BooleanFromText = fromText("expected true or false", (text) =>
  YES.test(text) ? true : NO.test(text) ? false : undefined
)

/** Writes a size as `256MiB`. */
export const showSize = (bytes: number): string =>
  ByteSize.format(ByteSize.bytes(bytes)).replace(" ", "")

// The unambiguous subset of what `ByteSize` reads.
const SIZE = /^\d{1,6}(?:KiB|MiB|GiB)$/

export const sizeFrom = (minimum: number): TextSchema<number> =>
  fromText(`expected a size such as 256MiB or 1GiB, at least ${showSize(minimum)}`, (text) => {
    const bytes = SIZE.test(text) ? Number(ByteSize.fromStringUnsafe(text)) : 0
    return bytes >= minimum ? bytes : undefined
  })

/** A token that proves an agency's identity: one word, which is sent inside JSON. */
export const Token = fromText(
  `expected a token of at most ${MAX_TOKEN_BYTES} bytes without white space`,
  (text) => (/^\S+$/.test(text) && Buffer.byteLength(text) <= MAX_TOKEN_BYTES ? text : undefined)
)
