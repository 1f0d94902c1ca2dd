/**
 * Goal: rows of finished books that are only hashed have the digest of their canonical rows, and
 * any damage to them shows. Method: read files in memory that differ in form or in one byte.
 */
import { describe, expect, it } from "vitest"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { FinishedReader } from "../../../../src/server/store/csv/CsvBookHash.ts"
import { CsvIndex } from "../../../../src/server/store/csv/CsvIndex.ts"
import { MAX_ROW_BYTES } from "../../../../src/server/store/csv/CsvRow.ts"
import { whole } from "../../../support/wholeBook.ts"

/** Canonical rows of every length by one byte more, from the shortest row on. */
const canonical = (agency: number, count: number): ReadonlyArray<string> =>
  Array.from(
    { length: count },
    (_, index) => `${"A".repeat(1 + (index % 100))},"b, ""ñ""",1,1990-01-01,${agency + index}`
  )

const bookOf = (rows: ReadonlyArray<string>) =>
  whole(new BetBatch(Buffer.from(`${rows.join("\n")}\n`), rows.length))

/** Reads a whole file of the finished books of agencies 1 and 2 as far as it has rows. */
const readFinished = (file: Buffer) => {
  const index = new CsvIndex([1, 2])
  const reader = new FinishedReader(index)
  let at = 0
  let hashed = 0
  while (reader.read(file, at, file.length) === true) {
    const { hash } = index.add(reader.agency, at, 1, reader.end - at)
    if (reader.isHashed) hashed++
    else hash?.add(reader)
    at = reader.end
  }
  const of = (agency: number) => ({
    bets: index.bets(agency),
    ...index.get(agency)?.hash?.digest()
  })
  return { at, hashed, of }
}

/** Rows of agencies in turns, `inTurn` of each at a time. */
const fileOf = (inTurn: number, ending: (row: number) => string, rows = 400): Buffer => {
  const books = [1, 2].map((agency) => canonical(agency, rows))
  let file = ""
  for (let row = 0; row < rows; row += inTurn) {
    for (const [index, book] of books.entries()) {
      for (const [after, bet] of book.slice(row, row + inTurn).entries()) {
        file += `${index + 1},${bet}${ending(row + after)}`
      }
    }
  }
  return Buffer.from(file)
}

describe("finished books", () => {
  it.each([1, 3, 400])("are hashed without checks, %s rows of each in turn", (inTurn) => {
    const file = fileOf(inTurn, () => "\r\n")
    const { at, hashed, of } = readFinished(file)
    expect(at).toBe(file.length)
    // Only rows at the end may be cut.
    expect(hashed).toBeGreaterThan(800 - MAX_ROW_BYTES / 20)
    for (const agency of [1, 2]) {
      expect(of(agency)).toEqual({ bets: 400, ...bookOf(canonical(agency, 400)) })
    }
  })

  it("may have rows with another line ending", () => {
    const { hashed, of } = readFinished(fileOf(1, (row) => (row % 3 === 0 ? "\n" : "\r\n")))
    expect(hashed).toBeGreaterThan(400)
    expect(of(1)).toEqual({ bets: 400, ...bookOf(canonical(1, 400)) })
  })

  it("show damage to any byte", () => {
    const file = fileOf(1, () => "\r\n", 40)
    const books = [1, 2].map((agency) => ({ bets: 40, ...bookOf(canonical(agency, 40)) }))
    const isWhole = ({ of }: ReturnType<typeof readFinished>) =>
      [1, 2].every((agency) => {
        const { bets, sha256 } = of(agency)
        return bets === books[agency - 1]!.bets && sha256 === books[agency - 1]!.sha256
      })
    expect(isWhole(readFinished(file))).toBe(true)
    for (let at = 0; at < 500; at++) {
      for (const byte of Buffer.from('\n\r,"A1ñ')) {
        if (file[at] === byte) continue
        const damaged = Buffer.from(file)
        damaged[at] = byte
        expect(isWhole(readFinished(damaged)), `${byte} at ${at}`).toBe(false)
      }
    }
  })
})
