/**
 * An agency: one of the houses that take bets and upload their book to the central.
 * An agency is known by its number alone.
 */
import { Schema } from "effect"

/** The largest agency number: the largest signed 32-bit integer, which every store can hold. */
export const MAX_AGENCY = 2_147_483_647

/** An agency's number, 1 to 2,147,483,647. */
export const Agency = Schema.Int.check(
  Schema.isBetween(
    { minimum: 1, maximum: MAX_AGENCY },
    { message: `expected an agency number from 1 to ${MAX_AGENCY}` }
  )
)
export type Agency = typeof Agency.Type

const DIGITS = /^\d{1,10}$/

/** Reads an agency number from 1 to 10 ASCII digits; undefined if it is not one. */
export const fromDigits = (text: string): Agency | undefined => {
  if (!DIGITS.test(text)) return undefined
  const agency = Number(text)
  return agency >= 1 && agency <= MAX_AGENCY ? agency : undefined
}
