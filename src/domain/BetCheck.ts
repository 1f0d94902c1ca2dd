/**
 * Checks bets where they lie, as bytes. `ordinaryBetEnd` says the rules of `Bet` over bytes,
 * without a string or an object per field, and accepts almost every bet; `betProblem` takes the
 * others through the rules themselves. It accepts all that the first accepts (a property test).
 */
import { daysInMonth, FIELDS, FIRST_YEAR, MAX_NAME_BYTES } from "./Bet.ts"
import {
  BACKSLASH,
  COMMA,
  type FieldSpans,
  HYPHEN,
  QUOTE,
  SEMICOLON,
  SPACE,
  ZERO
} from "./BetRow.ts"

/** What is wrong with one bet: the field and what was expected of it. */
export interface BetProblem {
  readonly field: string
  readonly message: string
}

const strictUtf8 = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const wholeUtf8 = strictUtf8()

/**
 * The text of `bytes`, or undefined if they are not valid UTF-8. With `isCut` more bytes may
 * follow: a last character that lacks its end is left out.
 */
export const decodeUtf8 = (bytes: Uint8Array, isCut = false): string | undefined => {
  // A fatal decoder has no other way to say no.
  try {
    return isCut ? strictUtf8().decode(bytes, { stream: true }) : wholeUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

// What a byte is in a name: a character, or the first of the two bytes of U+00C0 to U+07FF, the
// accented letters of most names. 0 is for what ends a field, and for what only `Name` can judge.
const CHARACTER = 1
const LEAD = 2
const NAME_BYTES = new Uint8Array(256).fill(CHARACTER, SPACE, 0x7f).fill(LEAD, 0xc3, 0xe0)
for (const byte of [COMMA, SEMICOLON, QUOTE, BACKSLASH]) NAME_BYTES[byte] = 0

/** Where the ordinary name at `start` ends: at once if it begins with a space, and may be blank. */
const nameEnd = (bytes: Uint8Array, start: number, limit: number): number => {
  let at = start
  if (bytes[at] === SPACE) return at
  for (; at < limit; at++) {
    const kind = NAME_BYTES[bytes[at]!]
    if (kind === CHARACTER) continue
    if (kind !== LEAD || (bytes[at + 1]! & 0xc0) !== 0x80) break
    at++
  }
  return at
}

const NO_DIGIT = 0xff
/** The value of an ASCII digit, by byte. */
const DIGITS = new Uint8Array(256).fill(NO_DIGIT)
for (let value = 0; value < 10; value++) DIGITS[ZERO + value] = value

/** Whether a byte is an ASCII digit. */
export const isDigit = (byte: number): boolean => DIGITS[byte] !== NO_DIGIT

/** Where the ASCII digits end that begin at `start`, at `limit` at the latest. */
export const digitsEnd = (bytes: Uint8Array, start: number, limit: number): number => {
  let at = start
  while (at < limit && isDigit(bytes[at]!)) at++
  return at
}

/** The value of the ASCII digits in `[start, end)`. */
export const digitsValue = (bytes: Uint8Array, start: number, end: number): number => {
  let value = 0
  for (let at = start; at < end; at++) value = value * 10 + bytes[at]! - ZERO
  return value
}

/** The value of two digits; above 99 if they are not digits. */
const twoDigits = (bytes: Uint8Array, at: number): number =>
  10 * DIGITS[bytes[at]!]! + DIGITS[bytes[at + 1]!]!

const BIRTHDATE_BYTES = 10

/** After every year that four digits can say. */
const AFTER_YEARS = 10_000

/** Whether the ten bytes at `start` are a birthdate before the year `beforeYear`. */
const birthdateIsValid = (bytes: Uint8Array, start: number, beforeYear: number): boolean => {
  const century = twoDigits(bytes, start)
  const yearOfCentury = twoDigits(bytes, start + 2)
  const month = twoDigits(bytes, start + 5)
  const day = twoDigits(bytes, start + 8)
  if (bytes[start + 4] !== HYPHEN || bytes[start + 7] !== HYPHEN) return false
  if (century > 99 || yearOfCentury > 99 || month < 1 || month > 12 || day < 1) return false
  const year = 100 * century + yearOfCentury
  return year >= FIRST_YEAR && year < beforeYear && (day <= 28 || day <= daysInMonth(year, month))
}

const MAX_DOCUMENT_BYTES = 10
const MAX_NUMBER_BYTES = 4

/**
 * Marks and checks in one pass the ordinary bet that begins at `start`, with `separator` between
 * its fields. Gives where its number ends, at `limit` at the latest, or -1: it may still be a bet,
 * and its fields must be marked and checked one by one. No name of an ordinary bet has a comma, a
 * semicolon, a quote or a backslash, and its birthdate is before the year `beforeYear`.
 */
export const ordinaryBetEnd = (
  bytes: Uint8Array,
  start: number,
  limit: number,
  separator: number,
  spans: FieldSpans,
  beforeYear = AFTER_YEARS
): number => {
  const firstEnd = nameEnd(bytes, start, limit)
  const firstBytes = firstEnd - start
  if (firstBytes < 1 || firstBytes > MAX_NAME_BYTES || bytes[firstEnd] !== separator) return -1
  const last = firstEnd + 1
  const lastEnd = nameEnd(bytes, last, limit)
  const lastBytes = lastEnd - last
  if (lastBytes < 1 || lastBytes > MAX_NAME_BYTES || bytes[lastEnd] !== separator) return -1
  const document = lastEnd + 1
  const documentEnd = digitsEnd(bytes, document, limit)
  const documentBytes = documentEnd - document
  if (documentBytes < 1 || documentBytes > MAX_DOCUMENT_BYTES) return -1
  const birthdate = documentEnd + 1
  const birthdateEnd = birthdate + BIRTHDATE_BYTES
  const number = birthdateEnd + 1
  if (number >= limit || bytes[documentEnd] !== separator) return -1
  if (bytes[birthdateEnd] !== separator) return -1
  if (!birthdateIsValid(bytes, birthdate, beforeYear)) return -1
  const numberEnd = digitsEnd(bytes, number, limit)
  const numberBytes = numberEnd - number
  if (numberBytes < 1 || numberBytes > MAX_NUMBER_BYTES) return -1
  spans[0] = start
  spans[1] = firstEnd
  spans[2] = last
  spans[3] = lastEnd
  spans[4] = document
  spans[5] = documentEnd
  spans[6] = birthdate
  spans[7] = birthdateEnd
  spans[8] = number
  spans[9] = numberEnd
  return numberEnd
}

/** How much of a refused field is shown. */
const SHOWN_CHARACTERS = 40

const show = (text: string): string =>
  JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text)

/** What is wrong with the bet whose five fields `spans` marks in `bytes`; undefined if nothing. */
export const betProblem = (bytes: Uint8Array, spans: FieldSpans): BetProblem | undefined => {
  for (const [index, { label, problemOf }] of FIELDS.entries()) {
    const text = decodeUtf8(bytes.subarray(spans[2 * index]!, spans[2 * index + 1]!))
    if (text === undefined) return { field: label, message: "expected valid UTF-8" }
    const problem = problemOf(text)
    if (problem !== undefined) return { field: label, message: `${problem}, got ${show(text)}` }
  }
  return undefined
}
