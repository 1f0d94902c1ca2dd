/**
 * The bets of a batch as PostgreSQL's binary arrays, one a column, made of the rows' bytes without
 * an object or a string for each field: to make these and to have them collected costs more than
 * PostgreSQL's own part of reading them.
 *
 * An array is, in 32-bit integers: its dimensions (1), whether there are nulls (0), the type of its
 * elements, how many there are, the index of the first (1); then each element's length and bytes.
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
/** Reserved for a name or a document at first. */
const TEXT_BYTES = 16

const { OID } = PgTypes

/** The client's types, except that these arrays are sent as they are made here. */
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

  /** `size` is how many bytes an element takes, or about how many. */
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
    // Over a few bytes, with locals, a loop is several times as fast as TypedArray.set.
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

/** The days from 0000-03-01 to a date. From March on, a year ends with its leap day. */
const dayNumber = (year: number, month: number, day: number): number => {
  const years = month > 2 ? year : year - 1
  const months = (month + 9) % 12
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400)
  return 365 * years + leapDays + Math.floor((153 * months + 2) / 5) + day - 1
}

/** From when PostgreSQL counts the days of a date. */
const FIRST_DAY = dayNumber(2000, 1, 1)

/** The days of `YYYY-MM-DD` since PostgreSQL's first; `Date.UTC` takes ten times as long. */
const daysOf = (source: Uint8Array, start: number): number => {
  const year = digitsValue(source, start, start + 4)
  const month = digitsValue(source, start + 5, start + 7)
  const day = digitsValue(source, start + 8, start + 10)
  return dayNumber(year, month, day) - FIRST_DAY
}

/** Each column of a batch, as a parameter for `unnest`. */
export const columnsOf = ({ bytes, count }: BetBatch) => {
  const firstNames = new Column(OID.textArray, OID.text, count, TEXT_BYTES)
  const lastNames = new Column(OID.textArray, OID.text, count, TEXT_BYTES)
  const documents = new Column(OID.textArray, OID.text, count, TEXT_BYTES)
  const birthdates = new Column(OID.dateArray, OID.date, count, DATE_BYTES)
  const numbers = new Column(OID.int2Array, OID.int2, count, NUMBER_BYTES)
  const spans = Row.makeFieldSpans()
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(Row.LF, start)
    Row.markFields(bytes, start, end, Row.COMMA, spans)
    // Only names are ever quoted, from their first byte on.
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

// Rows were checked on their way in; ignoreBOM keeps a BOM that a name begins with.
const text = new TextDecoder("utf-8", { ignoreBOM: true })

/** The bytes of a quoted row's fields, which `spans` marks. */
const unquoted = (row: Uint8Array, spans: Row.FieldSpans): Uint8Array =>
  Row.joinFields(Row.splitRow(text.decode(row)), spans)
