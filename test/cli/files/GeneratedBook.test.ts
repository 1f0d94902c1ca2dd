/** Goal: made-up books look like real ones and depend only on their parameters. */
import { it } from "@effect/vitest"
import { describe, expect } from "vitest"
import { type BookParameters, generateBook } from "../../../src/cli/files/GeneratedBook.ts"
import { BookParser } from "../../../src/client/book/BookParser.ts"

const BETS = 20_000

const bytesOf = (parameters: Partial<BookParameters> = {}): Buffer =>
  Buffer.concat([...generateBook({ seed: 1, agency: 1, bets: BETS, ...parameters })])

describe("a generated book", () => {
  it("depends on the seed and on the agency", () => {
    expect(bytesOf().equals(bytesOf())).toBe(true)
    expect(bytesOf().equals(bytesOf({ seed: 2 }))).toBe(false)
    expect(bytesOf().equals(bytesOf({ agency: 2 }))).toBe(false)
  })

  it("has the requested number of valid bets", () => {
    const counts: Array<number> = []
    const options = {
      name: "book",
      batchSize: BETS,
      maxBatchBytes: 2 ** 24,
      skipBadLines: false,
      today: "2024-01-01"
    }
    const parser = new BookParser(options, (bets) => counts.push(bets.build().count))
    parser.push(bytesOf())
    parser.finish()
    expect(parser.failure).toBeUndefined()
    expect(counts).toEqual([BETS])
  })

  it("has the format of the real ones", () => {
    const text = bytesOf().toString("utf8")
    const lines = text.split("\r\n")
    expect(lines.pop()).toBe("")
    for (const line of lines) {
      expect(line).toMatch(/^[^",]+,[^",]+,\d{8},\d{4}-\d{2}-\d{2},(0|[1-9]\d{0,3})$/)
    }
    expect(text).toMatch(/[áéíóúñ]/)
  })

  it("has people who bet more than once", () => {
    const lines = bytesOf().toString("utf8").trimEnd().split("\r\n")
    const persons = new Set(lines.map((line) => line.slice(0, line.lastIndexOf(","))))
    const repeated = BETS - persons.size
    expect(repeated).toBeGreaterThan(5)
    expect(repeated).toBeLessThan(BETS / 100)
  })

  it("has more winners on request", () => {
    const countOf = (book: Buffer) => book.toString("utf8").split(",7574\r\n").length - 1
    expect(countOf(bytesOf())).toBeLessThan(20)
    const asked = countOf(bytesOf({ winners: { number: 7574, everyBets: 100 } }))
    expect(asked).toBeGreaterThan(100)
    expect(asked).toBeLessThan(400)
  })

  it("without bets is empty", () => {
    expect(bytesOf({ bets: 0 })).toHaveLength(0)
  })
})
