/**
 * Goal: the check of a book counts its errors and its repeated bets exactly, for books of any
 * length. Method: real files, compared with counts that keep every bet in memory.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { expect } from "vitest"
import * as BookCheck from "../../../src/client/book/BookCheck.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const OPTIONS = { name: "b.csv", maxErrors: 20, today: "2024-02-29", isStandardInput: false }
const GOOD = "Ana,Pérez,01234567,1999-03-17,7574\n"

const check = Effect.fnUntraced(function* (
  content: string,
  options: Partial<BookCheck.Options> = {}
) {
  const file = join(yield* temporaryFolder, "b.csv")
  writeFileSync(file, content)
  return yield* BookCheck.check(file, { ...OPTIONS, ...options })
})

const oneOf = (...texts: ReadonlyArray<string>) => Schema.Literals(texts)
/** So few values that many bets are repeated, also in other spellings. */
const Line = Schema.Tuple([
  oneOf("Ana", '"Ana"', "Eva", "AnaP"),
  oneOf("Paz", "Pérez", '"O""Neill"', "az"),
  oneOf("1", "01", "10", "0", "9999999999", "0000000001", '"1"'),
  oneOf("1999-03-17", "1999-03-18"),
  oneOf("7", "07", "0007", "70", "0", "9999")
])

/** The fields of a line without quotes, the number without leading zeros. */
const fieldsOf = (line: typeof Line.Type): ReadonlyArray<string> => {
  const fields = line.map((field) => field.replace(/^"(.*)"$/, "$1"))
  return [...fields.slice(0, 4), String(Number(fields[4]))]
}

const repeatedOf = (keys: ReadonlyArray<string>) => keys.length - new Set(keys).size

layer(NodeServices.layer)("BookCheck", (it) => {
  it.effect("tells each document and number from the others", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 8 * 300 }, (_, index) =>
        GOOD.replace("01234567", String(index % 8)).replace("7574", String(Math.floor(index / 8)))
      )
      const { bets, repeated } = yield* check(lines.join(""))
      expect({ bets, ...repeated }).toEqual({ bets: 2400, rows: 0, documents: 0 })
    })
  )

  it.effect("counts names with commas at other places as different", () =>
    Effect.gen(function* () {
      const rest = "1,1999-03-17,7574\n"
      const { repeated } = yield* check(`"Ana,Luz",Paz,${rest}Ana,"Luz,Paz",${rest}`)
      expect(repeated).toMatchObject({ rows: 0, documents: 1 })
    })
  )

  it.effect.prop("counts the bets that repeat earlier ones", [Schema.Array(Line)], ([lines]) =>
    Effect.gen(function* () {
      const content = lines.map((line) => `${line.join(",")}\r\n`).join("")
      const { bets, errors, repeated } = yield* check(content)
      const fields = lines.map(fieldsOf)
      expect({ bets, errors }).toEqual({ bets: lines.length, errors: 0 })
      expect({ rows: repeated.rows, documents: repeated.documents }).toEqual({
        rows: repeatedOf(fields.map((all) => all.join(";"))),
        documents: repeatedOf(fields.map(([, , document, , number]) => `${document};${number}`))
      })
    }).pipe(Effect.scoped)
  )

  it.effect("counts more bets of one partition than stay in memory", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 40_000 }, (_, index) =>
        GOOD.replace("Ana", `Ana ${index % 200}`)
      )
      const one = yield* check(lines.join(""))
      expect(one.repeated).toMatchObject({ rows: 39_800, documents: 39_999 })
      const all = Array.from({ length: 60_000 }, (_, index) => GOOD.replace("01234567", `${index}`))
      const other = yield* check([...lines, ...all, ...lines, ...all].join(""))
      expect(other).toMatchObject({
        bets: 200_000,
        repeated: { rows: 139_800, documents: 139_999 }
      })
    })
  )

  it.effect("returns the first errors in order, and counts all, the truncated line included", () =>
    Effect.gen(function* () {
      const content = `bad\n${GOOD}\n${GOOD}${"x,y\n".repeat(30)}${GOOD}Ana,Paz,1`
      const { bets, errors, firstErrors, unended } = yield* check(content, { maxErrors: 3 })
      expect({ bets, errors, unended }).toEqual({ bets: 3, errors: 33, unended: undefined })
      expect(firstErrors.map(({ message }) => message)).toEqual([
        "b.csv:1: line: expected 5 fields separated by commas, got 1",
        "b.csv:3: line: expected a bet, got an empty line",
        "b.csv:5: line: expected 5 fields separated by commas, got 2"
      ])
      const all = yield* check(content, { maxErrors: 100 })
      expect(all.firstErrors).toHaveLength(33)
      expect(all.firstErrors[32]?.message).toContain("b.csv:36: line: expected 5 fields")
      const none = yield* check(content, { maxErrors: 0 })
      expect(none.firstErrors).toEqual([])
      expect(none.errors).toBe(33)
    })
  )

  it.effect("counts a long line without a line ending once", () =>
    Effect.gen(function* () {
      const { errors, firstErrors } = yield* check(GOOD + "x".repeat(2000))
      expect(errors).toBe(1)
      expect(firstErrors.map(({ message }) => message)).toEqual([
        expect.stringMatching(/^b.csv:2: line: expected at most 1024 bytes; it has no line ending/)
      ])
    })
  )

  it.effect("returns a last line without a line ending", () =>
    Effect.gen(function* () {
      const { bets, errors, unended } = yield* check(GOOD + GOOD.trim())
      expect({ bets, errors }).toEqual({ bets: 2, errors: 0 })
      expect(unended).toEqual({ line: 2, text: GOOD.trim() })
    })
  )
})
