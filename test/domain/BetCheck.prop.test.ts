/**
 * Goal: the check over bytes and the field Schemas accept the same bets.
 * Method: both check random valid and nearly valid fields. Every bet that `ordinaryBetEnd` accepts
 * is also marked and checked field by field.
 */
import { it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import { describe, expect } from "vitest"
import { Bet } from "../../src/domain/Bet.ts"
import { betProblem, ordinaryBetEnd } from "../../src/domain/BetCheck.ts"
import { COMMA, makeFieldSpans, markFields, SEMICOLON } from "../../src/domain/BetRow.ts"

const runs = process.env.LOTTERY_TEST_LONG ? 50_000 : 2_000
const FIELDS = ["firstName", "lastName", "document", "birthdate", "number"] as const

/** The pieces of nearly valid fields: values at the limits of the rules. */
const PIECES = Schema.Literals([
  "",
  "a",
  "Ñandú",
  "é",
  " ",
  "\u00a0",
  "\u00a1",
  "\u0085",
  "\u009f",
  "\u2028",
  "\u2029",
  "\u2027",
  "\ufeff",
  "\u3000",
  "\u0000",
  "\u001f",
  "\u007f",
  "\u007e",
  "😀",
  "x".repeat(50),
  "ñ".repeat(25),
  "x".repeat(100),
  "x".repeat(101),
  ",",
  ";",
  "\\\\",
  '"',
  "\t",
  "\n",
  "0",
  "00",
  "9",
  "12345",
  "١",
  "-",
  "1999-02-28",
  "1999-02-29",
  "2000-02-29",
  "1900-02-29",
  "1899-12-31",
  "1900-01-01",
  "9999-12-31",
  "2001-04-31",
  "2001-13-01",
  "2001-00-10",
  "2001-01-00",
  "7574",
  "10000",
  "+1",
  "1e3",
  " 1"
])
const nearly = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(PIECES), { maxLength: 3 }),
  (pieces) => pieces.join("")
)

/** Joins the bytes of the fields and marks each. */
const mark = (texts: ReadonlyArray<Uint8Array>) => {
  const spans = makeFieldSpans()
  let at = 0
  for (const [index, text] of texts.entries()) {
    spans[2 * index] = at
    at += text.length
    spans[2 * index + 1] = at
  }
  return { bytes: Buffer.concat(texts), spans }
}

const acceptedBySchemas = (texts: ReadonlyArray<string>): boolean =>
  Result.isSuccess(
    Schema.decodeUnknownResult(Bet)(
      Object.fromEntries(FIELDS.map((name, index) => [name, texts[index]]))
    )
  )

const expectSame = (texts: ReadonlyArray<string>) => {
  const { bytes, spans } = mark(texts.map((text) => Buffer.from(text)))
  expect(betProblem(bytes, spans) === undefined, JSON.stringify(texts)).toBe(
    acceptedBySchemas(texts)
  )
}

describe("BetCheck", () => {
  it.effect.prop(
    "accepts every bet that the Schemas generate",
    [Bet],
    ([bet]) =>
      Effect.sync(() => {
        const texts = [bet.firstName, bet.lastName, bet.document, bet.birthdate, `${bet.number}`]
        expect(acceptedBySchemas(texts)).toBe(true)
        expectSame(texts)
      }),
    { arbitrary: { runs } }
  )

  for (const [index, name] of FIELDS.entries()) {
    it.effect.prop(
      `agrees with the Schemas on a nearly valid ${name}`,
      [Bet, nearly],
      ([bet, field]) =>
        Effect.sync(() => {
          const texts = [bet.firstName, bet.lastName, bet.document, bet.birthdate, `${bet.number}`]
          expectSame(texts.with(index, field))
        }),
      { arbitrary: { runs } }
    )
  }

  it.effect.prop(
    "refuses a name if and only if it is not UTF-8 or not a valid name",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))],
    ([name]) =>
      Effect.sync(() => {
        const bytes = Uint8Array.from(name)
        const marked = mark([bytes, ...["b", "1", "2000-01-01", "5"].map((t) => Buffer.from(t))])
        const text = Buffer.from(bytes).toString("utf8")
        const isUtf8 = Buffer.from(text).equals(bytes)
        expect(betProblem(marked.bytes, marked.spans) === undefined).toBe(
          isUtf8 && acceptedBySchemas([text, "b", "1", "2000-01-01", "5"])
        )
      }),
    { arbitrary: { runs } }
  )

  /** Checks that one pass over `texts` has the same result as the check field by field. */
  const expectSameInOnePass = (texts: ReadonlyArray<string>, separator: number) => {
    const text = texts.join(String.fromCharCode(separator))
    for (const behind of ["", "\n", "\r\n", String.fromCharCode(separator), "x"]) {
      const bytes = Buffer.from(`9,${text}${behind}`)
      const spans = makeFieldSpans()
      const end = ordinaryBetEnd(bytes, 2, bytes.length, separator, spans)
      const isOrdinary =
        /^[ -~À-߿]*$/.test(text) && texts.every((field) => !/^ |[,;"\\]/.test(field))
      if (isOrdinary && acceptedBySchemas(texts)) {
        expect(end, JSON.stringify(text + behind)).toBe(bytes.length - behind.length)
      }
      if (end === -1) continue
      const marked = makeFieldSpans()
      expect(markFields(bytes, 2, end, separator, marked)).toBe(true)
      expect(spans, JSON.stringify(text + behind)).toEqual(marked)
      expect(betProblem(bytes, marked), JSON.stringify(text + behind)).toBeUndefined()
    }
  }

  it.each([
    ["firstName", "x".repeat(100), "x".repeat(101)],
    ["firstName", "ñ".repeat(50), `${"ñ".repeat(50)}x`],
    ["firstName", `"${"x".repeat(99)}`, `"${"x".repeat(100)}`],
    ["lastName", "x".repeat(100), "x".repeat(101)],
    ["document", "1".repeat(10), "1".repeat(11)],
    ["birthdate", "9999-12-31", "10000-01-01"],
    ["birthdate", "1900-01-01", "1899-12-31"],
    ["birthdate", "2023-02-28", "2023-02-29"],
    ["birthdate", "2023-04-30", "2023-04-31"],
    ["number", "9999", "10000"]
  ] as const)("accepts a %s of %s, but not of %s", (name, most, tooMuch) => {
    const bet = ["Ana", "Perez", "1", "1999-03-17", "7574"]
    for (const [field, isBet] of [
      [most, true],
      [tooMuch, false]
    ] as const) {
      const texts = bet.with(FIELDS.indexOf(name), field)
      expect(acceptedBySchemas(texts)).toBe(isBet)
      expectSame(texts)
      expectSameInOnePass(texts, COMMA)
    }
  })

  it.effect.prop(
    "accepts ordinary bets in one pass, and nothing that is not a bet",
    [
      Bet,
      nearly,
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
      Schema.Literals([COMMA, SEMICOLON])
    ],
    ([bet, field, index, separator]) =>
      Effect.sync(() => {
        const texts = [bet.firstName, bet.lastName, bet.document, bet.birthdate, `${bet.number}`]
        // Half of the runs check a valid bet.
        expectSameInOnePass(index < 5 ? texts.with(index, field) : texts, separator)
      }),
    { arbitrary: { runs } }
  )
})
