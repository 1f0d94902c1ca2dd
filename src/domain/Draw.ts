/** The draw: the agencies that take part and the winning number. */
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

/** The settings stored when a draw is first opened. They cannot change later. */
export class Draw extends Schema.Class<Draw>("lottery/domain/Draw")({
  id: DrawId,
  agencies: ExpectedAgencies,
  winningNumber: BetNumber
}) {}

/** The documents of an agency's winning bets, in book order, one per winning bet. */
export type WinningDocuments = ReadonlyArray<string>
