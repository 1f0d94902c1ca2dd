/**
 * The fields of the lines that a seal, a receipt and a result are made of. Each field has exactly
 * one text for each value, and what is written otherwise is refused.
 */
import { Result, Schema } from "effect"
import { MAX_AGENCY } from "../Agency.ts"
import { DrawId } from "../Draw.ts"

/** One field of a line; its name is for messages. */
export interface Field<T> {
  readonly name: string
  readonly parse: (text: string) => Result.Result<T, string>
}

/** Characters of a refused text that a message shows. */
const SHOWN = 80

const show = (text: string): string =>
  text.length > SHOWN ? `${JSON.stringify(text.slice(0, SHOWN))}…` : JSON.stringify(text)

/** Says what was expected and shows the text that was there instead. */
export const mismatch = (expected: string, got: string): string =>
  `expected ${expected}, got ${show(got)}`

export const expectedBut = (expected: string, got: string): Result.Result<never, string> =>
  Result.fail(mismatch(expected, got))

const INT = /^(?:0|[1-9][0-9]{0,15})$/

/** A whole number without leading zeros. */
export const int = (name: string, min = 0, max = Number.MAX_SAFE_INTEGER): Field<number> => {
  const most = max === Number.MAX_SAFE_INTEGER ? "2^53-1" : max
  const expected = `a whole number from ${min} to ${most} without leading zeros`
  return {
    name,
    parse: (text) => {
      const value = INT.test(text) ? Number(text) : -1
      return value >= min && value <= max ? Result.succeed(value) : expectedBut(expected, text)
    }
  }
}

/** A number of lowercase hex digits. */
export const hex = (name: string, digits: number): Field<string> => {
  const pattern = new RegExp(`^[0-9a-f]{${digits}}$`)
  const expected = `${digits} digits of 0-9a-f`
  return {
    name,
    parse: (text) => (pattern.test(text) ? Result.succeed(text) : expectedBut(expected, text))
  }
}

const isDrawId = Schema.is(DrawId)

export const DRAW: Field<string> = {
  name: "DRAW",
  parse: (text) =>
    isDrawId(text) ? Result.succeed(text) : expectedBut("1 to 64 of A-Z a-z 0-9 . _ -", text)
}
export const AGENCY = int("AGENCY", 1, MAX_AGENCY)
export const BETS = int("BETS")
export const SHA256 = hex("SHA256", 64)
/** A number that can win. */
export const NUMBER = int("NUMBER", 0, 9999)
/** A round of drand; there is no round 0. */
export const ROUND = int("ROUND", 1)

/** Decodes a field; a failure begins with the field's name. */
export const parseField = <T>({ name, parse }: Field<T>, text: string): Result.Result<T, string> =>
  Result.mapError(parse(text), (problem) => `${name}: ${problem}`)

type Values<Fields> = { [K in keyof Fields]: Fields[K] extends Field<infer T> ? T : never }

/**
 * Makes the decoder of the lines that are `keyword` and these fields, separated by single spaces.
 * It takes a line without its LF.
 */
export const line =
  <const Fields extends ReadonlyArray<Field<unknown>>>(keyword: string, fields: Fields) =>
  (text: string): Result.Result<Values<Fields>, string> => {
    const [first, ...texts] = text.split(" ", fields.length + 2)
    if (first !== keyword || texts.length !== fields.length) {
      const shape = [keyword, ...fields.map(({ name }) => name)].join(" ")
      return expectedBut(`"${shape}"`, text)
    }
    const values: Array<unknown> = []
    for (const [index, field] of fields.entries()) {
      const value = parseField(field, texts[index]!)
      if (Result.isFailure(value)) return Result.fail(value.failure)
      values.push(value.success)
    }
    return Result.succeed(values as Values<Fields>)
  }

/** Splits a text into its lines, each of which ends in LF; fails if the last one does not. */
export const linesOf = (text: string): Result.Result<ReadonlyArray<string>, string> => {
  if (!text.endsWith("\n")) return Result.fail("expected LF after the last line")
  return Result.succeed(text.slice(0, -1).split("\n"))
}

/** Adds the number of the line, counted from 1, to a problem in it. */
export const atLine = (number: number, problem: string): string => `line ${number}: ${problem}`

/** Decodes line `number` of a text, counted from 1; a missing one counts as empty. */
export const parseLine = <T>(
  lines: ReadonlyArray<string>,
  number: number,
  parse: (line: string) => Result.Result<T, string>
): Result.Result<T, string> =>
  Result.mapError(parse(lines[number - 1] ?? ""), (problem) => atLine(number, problem))
