import { describe, expect, it } from "vitest"
import { textTable, widthOf } from "../../../src/cli/log/TextTable.ts"

describe("the width of a text", () => {
  it.each<[string, number]>([
    ["", 0],
    ["Ana", 3],
    ["Ñandú", 5],
    ["N\u0303andu\u0301", 5],
    ["李小龍", 6],
    ["ﾊﾝｶｸ", 4],
    ["ＡＢ", 4],
    ["김", 2],
    ["🎉", 2],
    ["𠮷野", 4],
    ["a\u200bb\u202e", 2]
  ])("of %j is %i", (text, width) => {
    expect(widthOf(text)).toBe(width)
  })
})

describe("a table", () => {
  it("aligns to the right, also wide characters", () => {
    expect(
      textTable(
        ["name", "n"],
        [
          ["李小龍", 5],
          ["Ana", 1200]
        ]
      )
    ).toEqual([
      // The names need six columns.
      "  name     n",
      "李小龍     5",
      "   Ana  1200"
    ])
  })

  it("has only its headings without rows", () => {
    expect(textTable(["a", "b"], [])).toEqual(["a  b"])
  })

  it("aligns columns to the left if asked, without spaces at the end", () => {
    const rows = [["yy", "李"]]
    expect(textTable(["x", "Ana"], rows, ["right", "left"])).toEqual([" x  Ana", "yy  李"])
  })
})
