/**
 * Encodes a batch as PostgreSQL binary arrays, one per column, directly from the rows' bytes. An
 * object or a string per field would cost more than PostgreSQL takes to read the arrays.
 *
 * An array starts with five 32-bit integers: number of dimensions (1), has nulls (0), element type,
 * number of elements, index of the first (1). Then each element has its length and its bytes.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Result } from "effect"
import type { BetBatch } from "../../../domain/BetBatch.ts"
import { digitsValue } from "../../../domain/BetCheck.ts"
import * as Row from "../../../domain/BetRow.ts"

const HEADER_BYTES = 5 * 4
const LENGTH_BYTES = 4
const DATE_BYTES = 4
const NUMBER_BYTES = 2
const ESTIMATED_TEXT_BYTES = 16

const { OID } = PgTypes

/** The client's default types, except that it sends our array types without encoding them. */
export const makeTypes = (): PgTypes.Registry => {
  const types = PgTypes.makeRegistry()
  for (const arrayType of [OID.textArray, OID.dateArray, OID.int2Array]) {
    types.register<Uint8Array>(arrayType, { encode: Result.succeed, decode: Result.succeed })
  }
  return types
}

class Column {
  private readonly type: number
  private bytes: Buffer
  private length = HEADER_BYTES

  /** `size` is the element size in bytes, exact or estimated. */
  constructor(type: number, element: number, count: number, size: number) {
    this.type = type
    this.bytes = Buffer.allocUnsafeSlow(HEADER_BYTES + count * (LENGTH_BYTES + size))
    this.bytes.writeInt32BE(1, 0)
    this.bytes.writeInt32BE(0, 4)
    this.bytes.writeInt32BE(element, 8)
    this.bytes.writeInt32BE(count, 12)
    this.bytes.writeInt32BE(1, 16)
  }

  addText(source: Uint8Array, start: number, end: number): void {
    this.reserve(LENGTH_BYTES + end - start)
    this.addInteger(end - start, LENGTH_BYTES)
    // For a few bytes this loop over locals is several times faster than TypedArray.set.
    const { bytes } = this
    let { length } = this
    for (let at = start; at < end; at++) bytes[length++] = source[at]!
    this.length = length
  }

  addElement(value: number, size: number): void {
    this.addInteger(size, LENGTH_BYTES)
    this.addInteger(value, size)
  }

  private reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(2 * this.bytes.length + size)
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  private addInteger(value: number, size: number): void {
    const { bytes, length } = this
    for (let byte = 0; byte < size; byte++) {
      bytes[length + byte] = value >>> (8 * (size - 1 - byte))
    }
    this.length = length + size
  }

  build(): PgTypes.Parameter {
    return {
      [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId,
      oid: this.type,
      value: this.bytes.subarray(0, this.length)
    }
  }
}

/** Days from 0000-03-01 to a date; years start in March so that the leap day comes last. */
const dayNumber = (year: number, month: number, day: number): number => {
  const years = month > 2 ? year : year - 1
  const months = (month + 9) % 12
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400)
  return 365 * years + leapDays + Math.floor((153 * months + 2) / 5) + day - 1
}

const POSTGRES_DAY_ZERO = dayNumber(2000, 1, 1)

/** Converts `YYYY-MM-DD` to PostgreSQL's days; `Date.UTC` takes ten times as long. */
const daysOf = (source: Uint8Array, start: number): number => {
  const year = digitsValue(source, start, start + 4)
  const month = digitsValue(source, start + 5, start + 7)
  const day = digitsValue(source, start + 8, start + 10)
  return dayNumber(year, month, day) - POSTGRES_DAY_ZERO
}

/** Returns each column of a batch as a parameter for `unnest`. */
export const columnsOf = ({ bytes, count }: BetBatch) => {
  const firstNames = new Column(OID.textArray, OID.text, count, ESTIMATED_TEXT_BYTES)
  const lastNames = new Column(OID.textArray, OID.text, count, ESTIMATED_TEXT_BYTES)
  const documents = new Column(OID.textArray, OID.text, count, ESTIMATED_TEXT_BYTES)
  const birthdates = new Column(OID.dateArray, OID.date, count, DATE_BYTES)
  const numbers = new Column(OID.int2Array, OID.int2, count, NUMBER_BYTES)
  const spans = Row.makeFieldSpans()
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(Row.LF, start)
    Row.markFields(bytes, start, end, Row.COMMA, spans)
    // Only names can be quoted, and the quote is then the first byte.
    const isQuoted = bytes[start] === Row.QUOTE || bytes[spans[2]!] === Row.QUOTE
    const row = isQuoted ? unquoted(bytes.subarray(start, end), spans) : bytes
    firstNames.addText(row, spans[0]!, spans[1]!)
    lastNames.addText(row, spans[2]!, spans[3]!)
    documents.addText(row, spans[4]!, spans[5]!)
    birthdates.addElement(daysOf(row, spans[6]!), DATE_BYTES)
    numbers.addElement(digitsValue(row, spans[8]!, spans[9]!), NUMBER_BYTES)
    start = end + 1
  }
  return {
    firstNames: firstNames.build(),
    lastNames: lastNames.build(),
    documents: documents.build(),
    birthdates: birthdates.build(),
    numbers: numbers.build()
  }
}

// Rows are already validated. ignoreBOM keeps a BOM at the start of a name.
const text = new TextDecoder("utf-8", { ignoreBOM: true })

/** Returns the unquoted bytes of a row's fields; `spans` marks the fields. */
const unquoted = (row: Uint8Array, spans: Row.FieldSpans): Uint8Array =>
  Row.joinFields(Row.splitRow(text.decode(row)), spans)
