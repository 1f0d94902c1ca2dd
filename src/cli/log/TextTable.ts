/** Lines of right-aligned columns, as people read numbers; the first row holds the heads. */
export const textTable = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const heads = rows[0] ?? []
  const widths = heads.map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]!.length), 0)
  )
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join("  "))
}
