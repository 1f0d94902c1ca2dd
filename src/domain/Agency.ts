/** An agency takes bets and uploads its book to the server. Its number is its only identity. */
import { Schema } from "effect"

/** The largest signed 32-bit integer, which fits in every store. */
export const MAX_AGENCY = 2_147_483_647

export const Agency = Schema.Int.check(
  Schema.isBetween(
    { minimum: 1, maximum: MAX_AGENCY },
    { message: `expected an agency number from 1 to ${MAX_AGENCY}` }
  )
)
export type Agency = typeof Agency.Type

const DIGITS = /^\d{1,10}$/

/** Reads an agency number from 1 to 10 ASCII digits. Returns undefined if it is invalid. */
export const fromDigits = (text: string): Agency | undefined => {
  if (!DIGITS.test(text)) return undefined
  const agency = Number(text)
  return agency >= 1 && agency <= MAX_AGENCY ? agency : undefined
}
