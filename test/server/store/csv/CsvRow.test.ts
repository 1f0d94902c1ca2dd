import { describe, expect, it } from "vitest"
import {
  CsvRowReader,
  MAX_ROW_BYTES,
  WinnerReader
} from "../../../../src/server/store/csv/CsvRow.ts"

/** No row is longer: names of quotes only, which are doubled, and an agency of ten digits. */
const name = `"${'""'.repeat(100)}"`
const LONGEST = Buffer.from(`2147483647,${name},${name},1234567890,1990-01-01,7574\r\n`)

for (const [what, make] of [
  ["a row", () => new CsvRowReader()],
  ["a row of which only the winners are looked for", () => new WinnerReader(7574)]
] as const) {
  describe(what, () => {
    it("of the greatest length is one, and may be one as long as it is not there in full", () => {
      for (let length = 0; length < LONGEST.length; length++) {
        expect(make().read(LONGEST, 0, length)).toBe(undefined)
      }
      expect(make().read(LONGEST, 0, LONGEST.length)).toBe(true)
    })

    it("without a line end is none once it is too long", () => {
      const bytes = Buffer.alloc(MAX_ROW_BYTES + 1, "2")
      expect(make().read(bytes, 0, bytes.length)).toBe(false)
    })
  })
}
