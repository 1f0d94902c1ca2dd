/**
 * The field rules of `Bet` over bytes: what a whole batch is checked with, without making a string
 * or an object per field. It only says yes or no; a refused field goes to the Schemas of `Bet`,
 * which say what is wrong. Both accept and refuse the same fields (a property test).
 */
import { Result, Schema } from "effect"
import { Bet, daysInMonth, FIRST_YEAR, MAX_NAME_BYTES, Name } from "./Bet.ts"
import type { FieldSpans } from "./BetRow.ts"

/** The fields of a bet in the order in which every dialect and every book writes them. */
export const FIELDS = ["firstName", "lastName", "document", "birthdate", "number"] as const

/** The fields as a person calls them. */
const LABELS = {
  firstName: "first name",
  lastName: "last name",
  document: "document",
  birthdate: "birthdate",
  number: "number"
} as const

/** What is wrong with one bet: the field and what was expected of it. */
export interface BetProblem {
  readonly field: string
  readonly message: string
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The text of `bytes`, or undefined where it is not valid UTF-8. */
export const decodeUtf8 = (bytes: Uint8Array): string | undefined => {
  // A fatal decoder has no other way to say no; it is asked only where bytes are already suspect.
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

const isName = Schema.is(Name)

const isNameText = (bytes: Uint8Array): boolean => {
  const text = decodeUtf8(bytes)
  return text !== undefined && isName(text)
}

const nameIsValid = (bytes: Uint8Array, start: number, end: number): boolean => {
  if (end <= start || end - start > MAX_NAME_BYTES) return false
  let blank = true
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte < 0x20 || byte === 0x7f) return false
    if (byte < 0x80) {
      if (byte !== 0x20) blank = false
      continue
    }
    // U+00A1 to U+07FF, the accented letters of most names: neither controls nor white space.
    const next = at + 1 < end ? bytes[at + 1]! : 0
    const twoBytes = byte >= 0xc2 && byte <= 0xdf && (next & 0xc0) === 0x80
    if (!twoBytes || (byte === 0xc2 && next <= 0xa0)) {
      return isNameText(bytes.subarray(start, end))
    }
    blank = false
    at++
  }
  return !blank
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

const digitsAreValid = (bytes: Uint8Array, start: number, end: number, most: number): boolean => {
  if (end <= start || end - start > most) return false
  for (let at = start; at < end; at++) if (!isDigit(bytes[at]!)) return false
  return true
}

/** The value of the ASCII digits in `[start, end)`. */
export const digitsValue = (bytes: Uint8Array, start: number, end: number): number => {
  let value = 0
  for (let at = start; at < end; at++) value = value * 10 + bytes[at]! - 0x30
  return value
}

const HYPHEN = 0x2d

const birthdateIsValid = (bytes: Uint8Array, start: number, end: number): boolean => {
  if (end - start !== 10) return false
  if (bytes[start + 4] !== HYPHEN || bytes[start + 7] !== HYPHEN) return false
  if (
    !digitsAreValid(bytes, start, start + 4, 4) ||
    !digitsAreValid(bytes, start + 5, start + 7, 2) ||
    !digitsAreValid(bytes, start + 8, end, 2)
  ) {
    return false
  }
  const year = digitsValue(bytes, start, start + 4)
  const month = digitsValue(bytes, start + 5, start + 7)
  const day = digitsValue(bytes, start + 8, end)
  if (year < FIRST_YEAR || month < 1 || month > 12) return false
  return day >= 1 && day <= daysInMonth(year, month)
}

/** Whether the five fields that `spans` marks in `bytes` are a bet. */
export const fieldsAreValid = (bytes: Uint8Array, spans: FieldSpans): boolean =>
  nameIsValid(bytes, spans[0]!, spans[1]!) &&
  nameIsValid(bytes, spans[2]!, spans[3]!) &&
  digitsAreValid(bytes, spans[4]!, spans[5]!, 10) &&
  birthdateIsValid(bytes, spans[6]!, spans[7]!) &&
  digitsAreValid(bytes, spans[8]!, spans[9]!, 4)

/** How much of a refused field is shown. */
const SHOWN_CHARACTERS = 40

const show = (text: string): string =>
  JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text)

const fieldDecoders = FIELDS.map((name) => Schema.decodeUnknownResult(Bet.fields[name]))

/**
 * What the field Schemas say of the five fields that `spans` marks in `bytes`: the first problem,
 * or undefined where they are a bet. Slow; asked only for fields that `fieldsAreValid` refused.
 */
export const fieldsProblem = (bytes: Uint8Array, spans: FieldSpans): BetProblem | undefined => {
  for (const [index, name] of FIELDS.entries()) {
    const field = LABELS[name]
    const text = decodeUtf8(bytes.subarray(spans[2 * index]!, spans[2 * index + 1]!))
    if (text === undefined) return { field, message: "expected valid UTF-8" }
    const result = fieldDecoders[index]!(text)
    if (Result.isFailure(result)) {
      return { field, message: `${result.failure.message}, got ${show(text)}` }
    }
  }
  return undefined
}
