/**
 * The rows of `bets.csv`: `agency,first,last,document,birthdate,number` and CR LF, as Python's
 * `csv.writer(quoting=QUOTE_MINIMAL)` writes them. Such a row is the agency and the canonical row
 * with another line end. Any other valid row is read too, also one that ends in LF alone.
 */
import { type Agency, fromDigits, MAX_AGENCY } from "../../../domain/Agency.ts"
import type { BetBatchBuilder } from "../../../domain/BetBatch.ts"
import {
  betProblem,
  decodeUtf8,
  digitsEnd,
  digitsValue,
  isDigit,
  ordinaryBetEnd
} from "../../../domain/BetCheck.ts"
import * as Row from "../../../domain/BetRow.ts"

const utf8 = new TextEncoder()
const ascii = new TextDecoder()

/** The longest row that can be a bet: two names of quotes only, doubled and quoted. */
export const MAX_ROW_BYTES = 512

/** A row is found from a mark that is less than twice as many bytes before it. */
export const MARK_BYTES = 4 * 1024

/** A place from which an agency's rows can be read. */
export interface Mark {
  /** The position in the agency's book of the row that begins there. */
  readonly position: number
  readonly offset: number
}

/** What is added to the file: the canonical rows of one agency. */
export interface Rows {
  readonly agency: Agency
  readonly runs: ReadonlyArray<Uint8Array>
  /** How many bytes the runs have. */
  readonly size: number
  readonly count: number
}

/** How many bytes they take in the file. */
export const sizeOf = ({ agency, count, size }: Rows): number =>
  size + count * `${agency},\r`.length

/**
 * Writes the rows of a batch as rows of the file to `into`, from `start` on. Gives the marks inside
 * of them, `MARK_BYTES` apart and counted from the first row.
 */
export const writeRows = ({ agency, runs }: Rows, into: Uint8Array, start: number) => {
  const prefix = utf8.encode(`${agency},`)
  const marks: Array<Mark> = []
  let position = 0
  let end = start
  let due = start + MARK_BYTES
  for (const run of runs) {
    for (let from = 0; from < run.length; from++) {
      if (end >= due) {
        marks.push({ position, offset: end - start })
        due = end + MARK_BYTES
      }
      position++
      for (let index = 0; index < prefix.length; index++) into[end++] = prefix[index]!
      for (; run[from] !== Row.LF; from++) into[end++] = run[from]!
      into[end++] = Row.CR
      into[end++] = Row.LF
    }
  }
  return marks
}

const MAX_AGENCY_DIGITS = 10

/** Where the row at `start` ends whose LF is at `lineEnd`. */
const rowEnd = (bytes: Uint8Array, start: number, lineEnd: number): number =>
  lineEnd > start && bytes[lineEnd - 1] === Row.CR ? lineEnd - 1 : lineEnd

/**
 * Reads rows one after the other. What `read` found of a row stays until the next. One object for a
 * whole file: nothing is made per row.
 */
export class CsvRowReader {
  private readonly spans = Row.makeFieldSpans()
  /** Where the fields lie: the file's bytes, or a copy of them without their quotes. */
  private source: Uint8Array = new Uint8Array(0)
  private isOrdinary = false

  agency: Agency = 0
  /** Where the next row begins. */
  end = 0

  /** Whether a row begins at `start`; undefined if the bytes end too early to say. */
  read(bytes: Uint8Array, start: number, length: number): boolean | undefined {
    if (this.readOrdinary(bytes, start, length)) return true
    this.isOrdinary = false
    const found = bytes.indexOf(Row.LF, start)
    const lineEnd = found >= length ? -1 : found
    if (lineEnd === -1) return length - start > MAX_ROW_BYTES ? false : undefined
    this.end = lineEnd + 1
    const row = bytes.subarray(start, rowEnd(bytes, start, lineEnd))
    return row.includes(Row.QUOTE) ? this.readQuoted(row) : this.readUnquoted(row)
  }

  /** Reads the row at `start` if it is valid and nothing about it is out of the ordinary. */
  private readOrdinary(bytes: Uint8Array, start: number, length: number): boolean {
    const at = this.readAgency(bytes, start, length)
    if (at === -1) return false
    const end = ordinaryBetEnd(bytes, at, length, Row.COMMA, this.spans)
    if (end === -1) return false
    const lineEnd = bytes[end] === Row.CR ? end + 1 : end
    if (lineEnd >= length || bytes[lineEnd] !== Row.LF) return false
    this.source = bytes
    this.end = lineEnd + 1
    this.isOrdinary = true
    return true
  }

  /** Reads the agency at `start` and its comma; gives where the bet begins, -1 if it is none. */
  private readAgency(bytes: Uint8Array, start: number, limit: number): number {
    const end = digitsEnd(bytes, start, limit)
    if (end === start || end - start > MAX_AGENCY_DIGITS || bytes[end] !== Row.COMMA) return -1
    this.agency = digitsValue(bytes, start, end)
    return this.agency >= 1 && this.agency <= MAX_AGENCY ? end + 1 : -1
  }

  private readUnquoted(row: Uint8Array): boolean {
    const at = this.readAgency(row, 0, row.length)
    this.source = row
    return (
      at !== -1 &&
      Row.markFields(row, at, row.length, Row.COMMA, this.spans) &&
      betProblem(row, this.spans) === undefined
    )
  }

  private readQuoted(row: Uint8Array): boolean {
    const text = decodeUtf8(row)
    const fields = text === undefined ? undefined : Row.splitQuoted(text)
    if (fields?.length !== 1 + Row.FIELD_COUNT) return false
    const agency = fromDigits(fields[0]!)
    if (agency === undefined) return false
    this.agency = agency
    this.source = Row.joinFields(fields.slice(1), this.spans)
    return betProblem(this.source, this.spans) === undefined
  }

  /** Adds the bet that was read to a batch. */
  addTo(builder: BetBatchBuilder): void {
    if (this.isOrdinary) builder.addOrdinary(this.source, this.spans)
    else builder.add(this.source, this.spans)
  }

  get number(): number {
    return digitsValue(this.source, this.spans[8]!, this.spans[9]!)
  }

  get document(): string {
    return ascii.decode(this.source.subarray(this.spans[4]!, this.spans[5]!))
  }
}

/**
 * Reads rows one after the other and looks for those that won, for a draw that is due: a row on
 * another number is not looked into, and only `end` is known of it.
 */
export class WinnerReader extends CsvRowReader {
  private readonly winningNumber: number

  /** Whether the row that was read won. */
  hasWon = false

  constructor(winningNumber: number) {
    super()
    this.winningNumber = winningNumber
  }

  override read(bytes: Uint8Array, start: number, length: number): boolean | undefined {
    this.hasWon = false
    const lineEnd = bytes.indexOf(Row.LF, start)
    if (lineEnd !== -1 && lineEnd < length && lineEnd - start <= MAX_ROW_BYTES) {
      const number = lastNumber(bytes, start, rowEnd(bytes, start, lineEnd))
      if (number !== undefined && number !== this.winningNumber) {
        this.end = lineEnd + 1
        return true
      }
    }
    const isRow = super.read(bytes, start, length)
    this.hasWon = isRow === true && this.number === this.winningNumber
    return isRow
  }
}

/** The number in the digits that end at `end` and follow a comma; undefined if there are none. */
const lastNumber = (bytes: Uint8Array, start: number, end: number): number | undefined => {
  let value = 0
  let unit = 1
  let at = end - 1
  for (; at > start && isDigit(bytes[at]!); at--) {
    value += unit * (bytes[at]! - Row.ZERO)
    unit *= 10
  }
  return unit > 1 && bytes[at] === Row.COMMA ? value : undefined
}
