/**
 * Checks bets as bytes, in place. `ordinaryBetEnd` accepts almost every bet without a string or an
 * object per field. `betProblem` applies the rules of `Bet` to the others. A property test checks
 * that it accepts every bet that `ordinaryBetEnd` accepts.
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

/** The first invalid field of a bet, and what was expected. */
export interface BetProblem {
  readonly field: string
  readonly message: string
}

const strictUtf8 = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const wholeUtf8 = strictUtf8()

/**
 * Returns the text of `bytes`, or undefined if they are not valid UTF-8. With `isCut` more bytes
 * may follow, so an incomplete last character is ignored.
 */
export const decodeUtf8 = (bytes: Uint8Array, isCut = false): string | undefined => {
  try {
    return isCut ? strictUtf8().decode(bytes, { stream: true }) : wholeUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

// The kinds of bytes in a name: an ASCII character, and the two bytes of U+00C0 to U+07FF, which
// include most accented letters. 0 ends the field, or needs a full check. The low two bits say
// whether a byte continues a character; the high two bits, which of those may not follow it.
const CHARACTER = 0b10_01
const LEAD = 0b01_01
const CONTINUATION = 0b10_10
const NAME_BYTES = new Uint8Array(256)
  .fill(CHARACTER, SPACE, 0x7f)
  .fill(CONTINUATION, 0x80, 0xc0)
  .fill(LEAD, 0xc3, 0xe0)
for (const byte of [COMMA, SEMICOLON, QUOTE, BACKSLASH]) NAME_BYTES[byte] = 0

/** Returns the end of the ordinary name at `start`, or `start` if the name may be blank. */
const nameEnd = (bytes: Uint8Array, start: number, limit: number): number => {
  if (bytes[start] === SPACE) return start
  let at = start
  let before = CHARACTER
  let wrong = 0
  for (; at < limit; at++) {
    const kind = NAME_BYTES[bytes[at]!]!
    if (kind === 0) break
    wrong |= (before >> 2) & kind
    before = kind
  }
  return wrong === 0 && before !== LEAD ? at : start
}

const NO_DIGIT = 0xff
/** The value of an ASCII digit, by byte. */
const DIGITS = new Uint8Array(256).fill(NO_DIGIT)
for (let value = 0; value < 10; value++) DIGITS[ZERO + value] = value

export const isDigit = (byte: number): boolean => DIGITS[byte] !== NO_DIGIT

/** Returns the end of the ASCII digits that begin at `start`; at most `limit`. */
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

/** The value of two digits; above 99 if one is not a digit. */
const twoDigits = (bytes: Uint8Array, at: number): number =>
  10 * DIGITS[bytes[at]!]! + DIGITS[bytes[at + 1]!]!

const BIRTHDATE_BYTES = 10
const ANY_YEAR = 10_000

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
 * Checks the bet at `start` in one pass and marks its fields, which `separator` separates. Returns
 * the end of its number, at most `limit`. Returns -1 if the bet is not ordinary: it may be valid,
 * but its fields must be marked and checked one by one. An ordinary bet has no comma, semicolon,
 * quote or backslash in a name, and a birthdate before the year `beforeYear`.
 */
export const ordinaryBetEnd = (
  bytes: Uint8Array,
  start: number,
  limit: number,
  separator: number,
  spans: FieldSpans,
  beforeYear = ANY_YEAR
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

const SHOWN_CHARACTERS = 40

const show = (text: string): string =>
  JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text)

/** Returns the first problem of the bet whose fields `spans` marks; undefined if it is valid. */
export const betProblem = (bytes: Uint8Array, spans: FieldSpans): BetProblem | undefined => {
  for (const [index, { label, problemOf }] of FIELDS.entries()) {
    const text = decodeUtf8(bytes.subarray(spans[2 * index]!, spans[2 * index + 1]!))
    if (text === undefined) return { field: label, message: "expected valid UTF-8" }
    const problem = problemOf(text)
    if (problem !== undefined) return { field: label, message: `${problem}, got ${show(text)}` }
  }
  return undefined
}
