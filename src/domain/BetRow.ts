/**
 * The canonical row of a bet: `first,last,document,birthdate,number` and LF, in UTF-8. A field is
 * quoted as in RFC 4180 only if it has a comma or a quote, and the number has no leading zeros.
 * The bytes of a book are its rows in order. This module has no imports, so that a store's worker
 * can use it.
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

export const FIELD_COUNT = 5

/** Two quoted names of 100 doubled quotes, 10 digits, a date, 4 digits, the commas and LF. */
export const MAX_ROW_BYTES = 2 * (2 * 100 + 2) + 10 + 10 + 4 + FIELD_COUNT

/** Ten offsets: `[start, end)` of each field of a bet in a byte array. Reused for every bet. */
export type FieldSpans = Int32Array<ArrayBuffer>
export const makeFieldSpans = (): FieldSpans => new Int32Array(2 * FIELD_COUNT)

/** Marks the fields of the unquoted row in `[start, end)`. Returns false if there are not five. */
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
 * Splits a row with RFC 4180 quotes, without its line ending, into any number of fields. Returns
 * undefined if a quote is not closed, or text follows a closing quote.
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

/** Splits a canonical row without its LF. Its quotes are known to be closed. */
export const splitRow = (row: string): ReadonlyArray<string> =>
  row.includes('"') ? splitQuoted(row)! : row.split(",")

/** Returns the bytes of the fields without separators, and marks each in `spans`. */
export const joinFields = (fields: ReadonlyArray<string>, spans: FieldSpans): Uint8Array => {
  let at = 0
  for (const [index, field] of fields.entries()) {
    spans[2 * index] = at
    at += Buffer.byteLength(field)
    spans[2 * index + 1] = at
  }
  return Buffer.from(fields.join(""))
}
