/** Scripts and emoji that a terminal shows two columns wide. */
const WIDE = new RegExp(
  "[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f" +
    "\\uff01-\\uff60\\uffe0-\\uffe6\\u{1f300}-\\u{1f64f}\\u{1f900}-\\u{1f9ff}" +
    "\\u{20000}-\\u{3fffd}]",
  "gu"
)
/** Marks on the letter before them, and characters that are not shown. */
const WITHOUT_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/gu
const ASCII = /^[ -~]*$/

/** The columns that a terminal needs for a text without controls. */
export const widthOf = (text: string): number => {
  if (ASCII.test(text)) return text.length
  const shown = text.replace(WITHOUT_WIDTH, "")
  return [...shown].length + (shown.match(WIDE)?.length ?? 0)
}

type Row = ReadonlyArray<string | number>
type Align = "left" | "right"

/**
 * Lays out rows as lines of columns, with headings in the first line. Columns are aligned to the
 * right if `aligns` does not say otherwise.
 */
export const textTable = (
  heads: ReadonlyArray<string>,
  rows: ReadonlyArray<Row>,
  aligns: ReadonlyArray<Align> = []
): ReadonlyArray<string> => {
  const all = [heads, ...rows]
  const widths: Array<number> = []
  for (const row of all) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(String(cell)))
    }
  }
  return all.map((row) => {
    const cells = row.map((cell, column) => {
      const text = String(cell)
      const room = " ".repeat(widths[column]! - widthOf(text))
      return aligns[column] === "left" ? text + room : room + text
    })
    return cells.join("  ").trimEnd()
  })
}
