/**
 * How settings are written: Schemas that read ports, addresses, durations and agencies from text.
 * Each refusal says what was expected.
 */
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

/** `decode` gives undefined for a text that is not as `expected`. */
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

/** Any text that is not empty. */
export const Text = fromText("expected some text", (text) => (text === "" ? undefined : text))

const INTEGER = /^-?\d{1,15}$/

/** A whole number from `minimum` to `maximum`, in decimal digits. */
export const intBetween = (minimum: number, maximum: number): TextSchema<number> =>
  fromText(`expected a whole number from ${minimum} to ${maximum}`, (text) => {
    const value = INTEGER.test(text) ? Number(text) : Number.NaN
    return value >= minimum && value <= maximum ? value : undefined
  })

export const MAX_PORT = 65_535

/** A TCP port; a server that is given 0 listens on one that the system chooses. */
export const Port = intBetween(0, MAX_PORT)

/** The root of all names; no host has it. */
const ROOT = "."

/** The host in its shortest spelling; undefined if it cannot be one. */
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

/** An address as `host:port`; an IPv6 address goes in brackets. */
export const AddressFromText = fromText(
  "expected host:port, such as localhost:12345 or [::1]:12345",
  (text): Address | undefined => {
    const address = Result.getOrUndefined(NetHost.hostPortFromString(text))
    if (address === undefined || address.host === ROOT || address.port === 0) return undefined
    return { host: NetHost.formatHost(address.host), port: address.port }
  }
)

// Effect reads one unit only, as a word after a space: `1 second`.
const UNIT_MILLIS = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/
const DURATION_PART = /([\d.]+)(ms|s|m|h)/g

/** Writes a duration in the largest unit that holds it as a whole: `1s`, `1500ms`. */
export const showDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  const unit = (["h", "m", "s"] as const).find(
    (one) => millis > 0 && millis % UNIT_MILLIS[one] === 0
  )
  return unit === undefined ? `${millis}ms` : `${millis / UNIT_MILLIS[unit]}${unit}`
}

const durationFrom = (minimumMillis: number) =>
  fromText("expected a duration such as 500ms, 1s or 5m", (text) => {
    if (!DURATION.test(text)) return undefined
    let millis = 0
    for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
      millis += Number(amount) * UNIT_MILLIS[unit as keyof typeof UNIT_MILLIS]
    }
    return millis >= minimumMillis ? Duration.millis(millis) : undefined
  })

/** A duration as `1s`, `500ms`, `5m`, `1h30m`. */
export const DurationFromText = durationFrom(0)

/** A duration of a millisecond or more, for a limit that must leave some time. */
export const SomeTime = durationFrom(1)

/** The most agencies that a count may mean, so that a typing mistake is not a long list. */
const MAX_AGENCIES = 1_000_000

const COUNT = /^\d{1,7}$/

/** Reads `5` as 1 to 5, `1,2,7` as these, `7,` as only 7; sorted, each once. */
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

/** Writes agencies so that `AgenciesFromText` reads the same. */
export const showAgencies = (agencies: ExpectedAgencies): string => {
  const last = agencies[agencies.length - 1]!
  if (agencies[0] === 1 && last === agencies.length) return String(last)
  return agencies.length === 1 ? `${last},` : agencies.join(",")
}

/** The agencies of a draw: how many from 1 on, or a list; a list of one ends in a comma. */
export const AgenciesFromText = fromText(
  `expected how many agencies (1 to ${MAX_AGENCIES}), or a list such as "1,2,7" or "7,"`,
  parseAgencies
)

export const AgencyFromText = fromText(
  `expected an agency number from 1 to ${MAX_AGENCY}`,
  fromDigits
)

/** One of some words, in any case; `aliases` are other words for them. */
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

/** A level of the log, in any case; WARN is WARNING, FATAL is CRITICAL. */
export const LogLevelFromText: TextSchema<LogLevel> = oneOf(LOG_LEVELS, {
  warn: "WARNING",
  fatal: "CRITICAL"
})

const YES = /^(?:true|1|y|yes|on)$/i
const NO = /^(?:false|0|n|no|off)$/i

/** Yes or no, in the words that a switch takes as a flag too. */
export const BooleanFromText = fromText("expected true or false", (text) =>
  YES.test(text) ? true : NO.test(text) ? false : undefined
)

/** Writes a size of memory as `256MiB`. */
export const showSize = (bytes: number): string =>
  ByteSize.format(ByteSize.bytes(bytes)).replace(" ", "")

// Of what `ByteSize` reads, only what can be read in one way.
const SIZE = /^\d{1,6}(?:KiB|MiB|GiB)$/

/** A size of memory as `256MiB`, at least `minimum` bytes. */
export const sizeFrom = (minimum: number): TextSchema<number> =>
  fromText(`expected a size such as 256MiB or 1GiB, ${showSize(minimum)} or more`, (text) => {
    const bytes = SIZE.test(text) ? Number(ByteSize.fromStringUnsafe(text)) : 0
    return bytes >= minimum ? bytes : undefined
  })

/** A token that proves an agency's identity: one word, which travels inside JSON. */
export const Token = fromText(
  `expected a token without white space, of at most ${MAX_TOKEN_BYTES} bytes`,
  (text) => (/^\S+$/.test(text) && Buffer.byteLength(text) <= MAX_TOKEN_BYTES ? text : undefined)
)
