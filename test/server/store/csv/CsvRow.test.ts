import { describe, expect, it } from "vitest"
import {
  CsvRowReader,
  MARK_BYTES,
  MAX_ROW_BYTES,
  sizeOf,
  WinnerReader,
  writeRows
} from "../../../../src/server/store/csv/CsvRow.ts"

/** Names made only of quotes, which are doubled, and an agency of ten digits. */
const name = `"${'""'.repeat(100)}"`
const LONGEST = Buffer.from(`2147483647,${name},${name},1234567890,1990-01-01,7574\r\n`)

for (const [what, make] of [
  ["a row", () => new CsvRowReader()],
  ["a row in a search for winners", () => new WinnerReader(7574)]
] as const) {
  describe(what, () => {
    it("of the maximum length is valid, and undecided until it is complete", () => {
      for (let length = 0; length < LONGEST.length; length++) {
        expect(make().read(LONGEST, 0, length)).toBe(undefined)
      }
      expect(make().read(LONGEST, 0, LONGEST.length)).toBe(true)
    })

    it("without a line ending is invalid once it is too long", () => {
      const bytes = Buffer.alloc(MAX_ROW_BYTES + 1, "2")
      expect(make().read(bytes, 0, bytes.length)).toBe(false)
    })
  })
}

describe("canonical rows", () => {
  /** From the shortest row on, each length by one byte more, and with quotes. */
  const canonical = Array.from({ length: 200 }, (_, index) => [
    `${"A".repeat(1 + (index % 100))},B,1,1990-01-01,1\n`,
    `"Ana, ""la ñ""",${"ñ".repeat(1 + (index % 50))},1234567890,1990-01-01,${index}\n`
  ]).flat()
  /** Runs of rows that lie in larger buffers, as those of frames do. */
  const runsOf = (rowsPerRun: number) =>
    Array.from({ length: Math.ceil(canonical.length / rowsPerRun) }, (_, run) => {
      const rows = canonical.slice(run * rowsPerRun, (run + 1) * rowsPerRun).join("")
      const bytes = Buffer.from(`frame${rows}\n\n\n\n\n\n\n\n`)
      return new Uint8Array(Uint8Array.from(bytes).buffer, 5, Buffer.byteLength(rows))
    })

  for (const agency of [7, 2147483647]) {
    it.each([1, 2, 7, 400])(`of agency ${agency} become the file's, %s in a run`, (rowsPerRun) => {
      const expected = canonical.map((row) => `${agency},${row.slice(0, -1)}\r\n`)
      const runs = runsOf(rowsPerRun)
      const size = runs.reduce((sum, run) => sum + run.length, 0)
      const rows = { agency, runs, size, count: canonical.length }
      const into = Buffer.alloc(3 + sizeOf(rows) + 3, "-")
      const marks = writeRows(rows, into, 3)
      expect(into.toString()).toBe(`---${expected.join("")}---`)
      expect(marks.length).toBeGreaterThan(3)
      let last = 0
      for (const { offset, position } of marks) {
        expect(offset).toBe(Buffer.byteLength(expected.slice(0, position).join("")))
        expect(offset - last).toBeGreaterThanOrEqual(MARK_BYTES)
        last = offset
      }
    })
  }
})
