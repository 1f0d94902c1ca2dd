/** The draw: its agencies, where the winning number comes from, and when the books are closed. */
import { Schema } from "effect"
import { Agency } from "./Agency.ts"
import { BetNumber } from "./Bet.ts"

export const DrawId = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/, {
    message: "expected 1 to 64 letters, digits, dots, dashes or underscores"
  })
)
export type DrawId = typeof DrawId.Type

/** The course's winning number. */
export const DEFAULT_WINNING_NUMBER = 7574

/** The agencies that take part: at least one, in ascending order without duplicates. */
export const ExpectedAgencies = Schema.NonEmptyArray(Agency).check(
  Schema.makeFilter(
    (agencies: ReadonlyArray<Agency>) =>
      agencies.every((agency, index) => index === 0 || agencies[index - 1]! < agency) ||
      "expected agencies in ascending order, each once"
  )
)
export type ExpectedAgencies = typeof ExpectedAgencies.Type

const NAMED_AGENCIES = 10

/** Describes any number of agencies briefly: `1 to 3000`, or the first ten `and 90 more`. */
export const describeAgencies = (agencies: ReadonlyArray<Agency>): string => {
  const first = agencies[0]
  const last = agencies.at(-1)
  if (first === undefined || last === undefined) return "none"
  if (agencies.length <= NAMED_AGENCIES) return agencies.join(", ")
  if (last - first === agencies.length - 1) return `${first} to ${last}`
  const named = agencies.slice(0, NAMED_AGENCIES).join(", ")
  return `${named} and ${agencies.length - NAMED_AGENCIES} more`
}

/** Describes agencies as `agency 3` or `agencies 1 to 3000`. */
export const nameAgencies = (agencies: ReadonlyArray<Agency>): string =>
  `${agencies.length === 1 ? "agency" : "agencies"} ${describeAgencies(agencies)}`

/** The number of a drand round: 1 or more. */
export const Round = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 53 - 1 }))

/** The longest time from a seal to the round of its number: a year. */
export const MAX_DELAY_SECONDS = 31_536_000

/**
 * Where the winning number comes from: fixed when the draw is opened, announced once every book is
 * closed, or derived from a round of drand. The round is fixed when the draw is opened, or it is
 * the first one at or after the time of the seal plus a delay.
 */
export const NumberSource = Schema.Union([
  Schema.TaggedStruct("fixed", { number: BetNumber }),
  Schema.TaggedStruct("announced", {}),
  Schema.TaggedStruct("drand", {
    at: Schema.Union([
      Schema.Struct({ round: Round }),
      Schema.Struct({
        delaySeconds: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: MAX_DELAY_SECONDS }))
      })
    ])
  })
])
export type NumberSource = typeof NumberSource.Type

export const fixedNumber = (number: number): NumberSource => ({ _tag: "fixed", number })

/** Describes a source briefly: `winning number 7574`, or `an announced winning number`. */
export const describeSource = (source: NumberSource): string => {
  if (source._tag === "fixed") return `winning number ${source.number}`
  if (source._tag === "announced") return "an announced winning number"
  return "round" in source.at
    ? `the number of drand round ${source.at.round}`
    : `the number of the first drand round ${source.at.delaySeconds} s after the books are closed`
}

/** The settings stored when a draw is first opened. They cannot change later. */
export class Draw extends Schema.Class<Draw>("lottery/domain/Draw")({
  id: DrawId,
  agencies: ExpectedAgencies,
  source: NumberSource,
  /** When unfinished agencies are excluded, in milliseconds since the epoch; never if absent. */
  closeAt: Schema.optionalKey(Schema.Int),
  /** The operator's verifier key (vkey) if the draw is sealed. */
  sealKey: Schema.optionalKey(Schema.String)
}) {}

const MINUTE_MILLIS = 60_000

/** Shows a time in this machine's time zone, to the second: `2026-12-01T21:00:00-03:00`. */
export const showTime = (millis: number): string => {
  const minutes = -new Date(millis).getTimezoneOffset()
  const local = new Date(millis + minutes * MINUTE_MILLIS).toISOString().slice(0, -".000Z".length)
  if (minutes === 0) return `${local}Z`
  const twoDigits = (value: number) => String(Math.trunc(value)).padStart(2, "0")
  const offset = Math.abs(minutes)
  const sign = minutes < 0 ? "-" : "+"
  return `${local}${sign}${twoDigits(offset / 60)}:${twoDigits(offset % 60)}`
}

/** The documents of an agency's winning bets, in book order, one per winning bet. */
export type WinningDocuments = ReadonlyArray<string>
