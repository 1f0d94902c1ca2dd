/**
 * The rows of `bets.csv`: `agency,first,last,document,birthdate,number` and CR LF, as Python's
 * `csv.writer(quoting=QUOTE_MINIMAL)` writes them. Such a row is the agency and the canonical row
 * with another line end; whatever else is a valid row is read too. Pure functions over bytes.
 */
import { type Agency, fromDigits, MAX_AGENCY } from "../../domain/Agency.ts"
import type { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { decodeUtf8, digitsValue, fieldsAreValid } from "../../domain/BetCheck.ts"
import * as Row from "../../domain/BetRow.ts"

const utf8 = new TextEncoder()
const ascii = new TextDecoder()

/** The longest row that can be a bet: two names of quotes only, doubled and quoted. */
export const MAX_ROW_BYTES = 512

/** Canonical rows as rows of the file. */
export const fromCanonical = (agency: Agency, rows: Uint8Array, count: number): Uint8Array => {
  const prefix = utf8.encode(`${agency},`)
  const bytes = new Uint8Array(rows.length + count * (prefix.length + 1))
  let at = 0
  let start = 0
  while (start < rows.length) {
    const end = rows.indexOf(Row.LF, start)
    bytes.set(prefix, at)
    at += prefix.length
    bytes.set(rows.subarray(start, end), at)
    at += end - start
    bytes[at++] = Row.CR
    bytes[at++] = Row.LF
    start = end + 1
  }
  return bytes
}

const MAX_AGENCY_DIGITS = 10
const ZERO = 0x30
const NINE = 0x39

/**
 * Reads rows one after the other. `read` marks the row that begins at an offset; what it found
 * stays until the next. One object for a whole file, for nothing is made per row.
 */
export class CsvRowReader {
  private readonly spans = Row.makeFieldSpans()
  /** Where the fields lie: the file's bytes, or a copy of them without their quotes. */
  private source: Uint8Array = new Uint8Array(0)

  agency: Agency = 0
  /** Where the next row begins. */
  end = 0

  /**
   * Whether `[start, length)` of the bytes begins with a row. False where it does not, undefined
   * where the bytes end too early to say.
   */
  read(bytes: Uint8Array, start: number, length: number): boolean | undefined {
    const found = bytes.indexOf(Row.LF, start)
    const lineEnd = found >= length ? -1 : found
    if (lineEnd === -1) return length - start > MAX_ROW_BYTES ? false : undefined
    if (bytes[lineEnd - 1] !== Row.CR || lineEnd === start) return false
    this.end = lineEnd + 1
    return this.mark(bytes, start, lineEnd - 1)
  }

  private mark(bytes: Uint8Array, start: number, end: number): boolean {
    // Not `indexOf`, which would look through the whole buffer for the quote of another row.
    for (let at = start; at < end; at++) {
      if (bytes[at] === Row.QUOTE) return this.markQuoted(bytes.subarray(start, end))
    }
    let at = start
    while (at < end && bytes[at]! >= ZERO && bytes[at]! <= NINE) at++
    if (at === start || at - start > MAX_AGENCY_DIGITS || bytes[at] !== Row.COMMA) return false
    this.agency = digitsValue(bytes, start, at)
    this.source = bytes
    return (
      this.agency >= 1 &&
      this.agency <= MAX_AGENCY &&
      Row.markFields(bytes, at + 1, end, Row.COMMA, this.spans) &&
      fieldsAreValid(bytes, this.spans)
    )
  }

  private markQuoted(row: Uint8Array): boolean {
    const text = decodeUtf8(row)
    const fields = text === undefined ? undefined : Row.splitQuoted(text)
    if (fields?.length !== 1 + Row.FIELD_COUNT) return false
    const agency = fromDigits(fields[0]!)
    if (agency === undefined) return false
    this.agency = agency
    this.source = Row.joinFields(fields.slice(1), this.spans)
    return fieldsAreValid(this.source, this.spans)
  }

  /** Adds the bet that was read to a batch. */
  addTo(builder: BetBatchBuilder): void {
    builder.add(this.source, this.spans)
  }

  get number(): number {
    return digitsValue(this.source, this.spans[8]!, this.spans[9]!)
  }

  get document(): string {
    return ascii.decode(this.source.subarray(this.spans[4]!, this.spans[5]!))
  }
}
