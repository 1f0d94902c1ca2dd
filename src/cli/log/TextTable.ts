/** Lays out rows as lines of right-aligned columns, with headings in the first line. */
export const textTable = (
  heads: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | number>>
): ReadonlyArray<string> => {
  const lines = [heads, ...rows.map((row) => row.map(String))]
  const widths = heads.map((_, column) =>
    lines.reduce((width, line) => Math.max(width, line[column]!.length), 0)
  )
  return lines.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  "))
}
