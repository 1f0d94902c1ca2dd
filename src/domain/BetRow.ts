/**
 * The canonical row of a bet: `first,last,document,birthdate,number` and LF, in UTF-8, quoted as
 * RFC 4180 only if a field has a comma or a quote, the number without leading zeros. A book is
 * the concatenation of its rows. Pure functions over bytes, free of imports, so that a store's
 * worker can use them too.
 */

export const COMMA = 0x2c
export const SEMICOLON = 0x3b
export const QUOTE = 0x22
export const BACKSLASH = 0x5c
export const SPACE = 0x20
export const HYPHEN = 0x2d
export const ZERO = 0x30
export const LF = 0x0a
export const CR = 0x0d
export const TAB = 0x09

/** The fields of a bet, and so of a row. */
export const FIELD_COUNT = 5

/**
 * The bytes of the longest row: two names of a hundred quotes each, doubled and quoted; ten digits,
 * a date, four digits; the separators and LF.
 */
export const MAX_ROW_BYTES = 2 * (2 * 100 + 2) + 10 + 10 + 4 + FIELD_COUNT

/**
 * Where the five fields of a bet lie in a byte array, in order: `[start, end)` of each, ten
 * offsets. One is reused for every bet of a batch.
 */
export type FieldSpans = Int32Array<ArrayBuffer>
export const makeFieldSpans = (): FieldSpans => new Int32Array(2 * FIELD_COUNT)

/**
 * Marks the fields of the unquoted row in `[start, end)`, with `separator` between them. False if
 * there are not exactly five.
 */
export const markFields = (
  bytes: Uint8Array,
  start: number,
  end: number,
  separator: number,
  spans: FieldSpans
): boolean => {
  let field = 0
  spans[0] = start
  for (let at = start; at < end; at++) {
    if (bytes[at] !== separator) continue
    spans[2 * field + 1] = at
    field++
    if (field === FIELD_COUNT) return false
    spans[2 * field] = at + 1
  }
  spans[2 * field + 1] = end
  return field === FIELD_COUNT - 1
}

/**
 * The fields of one row that is quoted as RFC 4180, without its line end: any number of them.
 * Undefined if the quoting is not closed, or something follows a closing quote.
 */
export const splitQuoted = (row: string): ReadonlyArray<string> | undefined => {
  const fields: Array<string> = []
  let at = 0
  for (;;) {
    if (row[at] !== '"') {
      const comma = row.indexOf(",", at)
      fields.push(comma === -1 ? row.slice(at) : row.slice(at, comma))
      if (comma === -1) return fields
      at = comma + 1
      continue
    }
    let field = ""
    let quote = row.indexOf('"', at + 1)
    while (quote !== -1 && row[quote + 1] === '"') {
      field += row.slice(at + 1, quote + 1)
      at = quote + 1
      quote = row.indexOf('"', at + 1)
    }
    if (quote === -1) return undefined
    fields.push(field + row.slice(at + 1, quote))
    if (quote + 1 === row.length) return fields
    if (row[quote + 1] !== ",") return undefined
    at = quote + 2
  }
}

/** The fields of one canonical row, its line end left out. */
export const splitRow = (row: string): ReadonlyArray<string> =>
  // It was checked when it was made: its quoting is closed.
  row.includes('"') ? splitQuoted(row)! : row.split(",")

/** The bytes of these texts, one after the other, each marked as a field. */
export const joinFields = (fields: ReadonlyArray<string>, spans: FieldSpans): Uint8Array => {
  let at = 0
  for (const [index, field] of fields.entries()) {
    spans[2 * index] = at
    at += Buffer.byteLength(field)
    spans[2 * index + 1] = at
  }
  return Buffer.from(fields.join(""))
}
