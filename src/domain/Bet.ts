/**
 * A bet and the rules of its five fields, which are only here. `ordinaryBetEnd` alone repeats them,
 * over bytes and for speed, and is tested against this module.
 */
import { Schema, SchemaTransformation } from "effect"

export const MAX_NAME_BYTES = 100

// C0, DEL and C1 controls, and the Unicode line and paragraph separators: these can break a line.
const FORBIDDEN_IN_NAME = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

const nameProblem = (name: string): string | undefined => {
  if (!name.isWellFormed()) return "expected valid Unicode, no lone surrogate"
  if (name.trim() === "") return "expected a name, not only white space"
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `expected at most ${MAX_NAME_BYTES} bytes`
  if (FORBIDDEN_IN_NAME.test(name)) return "expected no control characters or line breaks"
  return undefined
}

const DOCUMENT = /^[0-9]{1,10}$/
const documentProblem = (text: string): string | undefined =>
  DOCUMENT.test(text) ? undefined : "expected 1 to 10 digits"

const DATE = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/
export const FIRST_YEAR = 1900

/** The number of days in a month (1 to 12) of the Gregorian calendar. */
export const daysInMonth = (year: number, month: number): number => {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

const isBirthdate = (text: string): boolean => {
  if (!DATE.test(text)) return false
  const year = Number(text.slice(0, 4))
  const month = Number(text.slice(5, 7))
  const day = Number(text.slice(8))
  if (year < FIRST_YEAR || month < 1 || month > 12) return false
  return day >= 1 && day <= daysInMonth(year, month)
}

const birthdateProblem = (text: string): string | undefined =>
  isBirthdate(text) ? undefined : "expected a real date YYYY-MM-DD from 1900-01-01 to 9999-12-31"

const NUMBER = /^[0-9]{1,4}$/
const numberProblem = (text: string): string | undefined =>
  NUMBER.test(text) ? undefined : "expected 1 to 4 digits"

/**
 * The fields of a bet, in the order of every dialect and book. `problemOf` returns why a text is
 * invalid, or undefined if it is valid.
 */
export const FIELDS = [
  { label: "first name", problemOf: nameProblem },
  { label: "last name", problemOf: nameProblem },
  { label: "document", problemOf: documentProblem },
  { label: "birthdate", problemOf: birthdateProblem },
  { label: "number", problemOf: numberProblem }
] as const

/** A first or last name: 1 to 100 bytes of UTF-8, not blank, no controls. Stored unchanged. */
export const Name = Schema.String.check(
  Schema.makeFilter(nameProblem, { arbitraryConstraint: { minLength: 1, maxLength: 30 } })
)

/** Text that `problemOf` checks; `pattern` only generates random test data. */
const textOf = (problemOf: (text: string) => string | undefined, pattern: RegExp) =>
  Schema.String.check(
    Schema.makeFilter(problemOf, {
      arbitraryConstraint: { patterns: [{ source: pattern.source, flags: "" }] }
    })
  )

/** A document: 1 to 10 ASCII digits, leading zeros kept. */
export const Document = textOf(documentProblem, DOCUMENT)

/** A birthdate: a calendar date from 1900-01-01 to 9999-12-31, as YYYY-MM-DD. */
export const Birthdate = textOf(
  birthdateProblem,
  /^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$/
)

/** A number to bet on or to draw: 0 to 9999. */
export const BetNumber = Schema.Int.check(
  Schema.isBetween({ minimum: 0, maximum: 9999 }, { message: "expected a number from 0 to 9999" })
)

/** A bet's number from 1 to 4 ASCII digits; leading zeros are dropped. */
export const NumberFromDigits = textOf(numberProblem, NUMBER).pipe(
  Schema.decodeTo(BetNumber, SchemaTransformation.transform({ decode: Number, encode: String }))
)

/** One bet; its encoded form is five text fields. */
export class Bet extends Schema.Class<Bet>("lottery/domain/Bet")({
  firstName: Name,
  lastName: Name,
  document: Document,
  birthdate: Birthdate,
  number: NumberFromDigits
}) {}

/** The texts of a bet's fields, in the order of `FIELDS`. */
export const textsOf = (bet: Bet): ReadonlyArray<string> => [
  bet.firstName,
  bet.lastName,
  bet.document,
  bet.birthdate,
  String(bet.number)
]
