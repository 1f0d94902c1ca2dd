import { describe, expect, it } from "vitest"
import { FIELD_COUNT, splitRow } from "../../../../src/domain/BetRow.ts"
import { RowFields } from "../../../../src/server/store/sqlite/RowFields.ts"

const utf8 = new TextEncoder()

/** Reads up to `most` rows at a time. */
const fieldsOf = (bytes: Uint8Array, most = 50) => {
  const all: Array<ReadonlyArray<string | number>> = []
  const fields = new RowFields(bytes)
  const values: Array<string | number> = []
  for (;;) {
    const rows = fields.read(values, most)
    if (rows === 0) return all
    for (let row = 0; row < rows; row++) {
      all.push(values.slice(row * FIELD_COUNT, (row + 1) * FIELD_COUNT))
    }
    // Fewer rows than asked for are the last ones.
    if (rows < most) expect(fields.read(values, most)).toBe(0)
  }
}

const splitEach = (rows: ReadonlyArray<string>) =>
  rows.map((row) => {
    const [firstName, lastName, document, birthdate, number] = splitRow(row)
    return [firstName, lastName, document, birthdate, Number(number)]
  })

const NAMES = ["Ana", "ñandú", '"Sosa, de"', '"""Tito"""', "\ufeffBOM", "李小龍", "x".repeat(200)]

/** Rows of many lengths, some of them quoted; large counts span several pieces. */
const rowsOf = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => {
    const name = index % 89 < NAMES.length ? NAMES[index % 89]! : `Name${"e".repeat(index % 37)}`
    const other = index % 97 === 0 ? NAMES[index % NAMES.length]! : "Pérez"
    return `${name},${other},${10_000_000 + index},1999-03-17,${index % 10_000}`
  })

describe("RowFields", () => {
  it("reads the same fields as splitting row by row", () => {
    for (const count of [0, 1, 2, 1000, 20_000]) {
      const rows = rowsOf(count)
      const bytes = utf8.encode(rows.map((row) => `${row}\n`).join(""))
      for (const most of [1, 7, 50]) {
        expect(fieldsOf(bytes, most)).toStrictEqual(splitEach(rows))
      }
    }
  })

  it("keeps a BOM at the start of the first name", () => {
    const rows = ["\ufeffAna,Pérez,30904465,1999-03-17,7574", "\ufeff,Sosa,30904466,1999-03-17,0"]
    expect(fieldsOf(utf8.encode(`${rows[0]}\n`))).toStrictEqual(splitEach(rows.slice(0, 1)))
    expect(fieldsOf(utf8.encode(`${rows[1]}\n`))).toStrictEqual(splitEach(rows.slice(1)))
  })

  it("reads rows in the middle of a buffer", () => {
    const rows = rowsOf(3000)
    const bytes = utf8.encode(`before\n${rows.map((row) => `${row}\n`).join("")}behind\n`)
    const batch = bytes.subarray("before\n".length, bytes.length - "behind\n".length)
    expect(fieldsOf(batch)).toStrictEqual(splitEach(rows))
  })
})
