import { describe, expect, it } from "vitest"
import {
  CsvRowReader,
  MAX_ROW_BYTES,
  WinnerReader
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
