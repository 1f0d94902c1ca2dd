/**
 * Encodes batches as PostgreSQL binary arrays, one per column, directly from the rows' bytes. An
 * object or a string per field would cost more than PostgreSQL takes to read the arrays.
 *
 * An array starts with five 32-bit integers: number of dimensions (1), has nulls (0), element type,
 * number of elements, index of the first (1). Then each element has its length and its bytes.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Result } from "effect"
import { MAX_NAME_BYTES } from "../../../domain/Bet.ts"
import type { BetBatch } from "../../../domain/BetBatch.ts"
import { digitsValue } from "../../../domain/BetCheck.ts"
import * as Row from "../../../domain/BetRow.ts"

const HEADER_BYTES = 5 * 4
const LENGTH_BYTES = 4
const DATE_BYTES = 4
const NUMBER_BYTES = 2
const ESTIMATED_TEXT_BYTES = 16
const BIRTHDATE_BYTES = "YYYY-MM-DD".length
/** The longest element: a name. */
const MAX_ELEMENT_BYTES = LENGTH_BYTES + MAX_NAME_BYTES

const { OID } = PgTypes

/** The client's default types, except that it sends our array types without encoding them. */
export const makeTypes = (): PgTypes.Registry => {
  const types = PgTypes.makeRegistry()
  for (const arrayType of [OID.textArray, OID.dateArray, OID.int2Array]) {
    types.register<Uint8Array>(arrayType, { encode: Result.succeed, decode: Result.succeed })
  }
  return types
}

/** An array whose buffer is used again for the next one. */
class Column {
  private readonly type: number
  private readonly element: number
  private readonly size: number
  private bytes = Buffer.alloc(0)
  private length = 0

  /** `size` is the element size in bytes, exact or estimated. */
  constructor(type: number, element: number, size: number) {
    this.type = type
    this.element = element
    this.size = size
  }

  start(count: number): void {
    this.length = 0
    this.reserve(HEADER_BYTES + count * (LENGTH_BYTES + this.size))
    for (const value of [1, 0, this.element, count, 1]) this.addInt32(value)
  }

  /** Adds the field at `start`, which a comma follows, and returns the position of the comma. */
  addText(source: Uint8Array, start: number): number {
    this.reserve(MAX_ELEMENT_BYTES)
    if (source[start] === Row.QUOTE) return this.addQuoted(source, start)
    // For a few bytes this loop over locals is several times faster than TypedArray.set.
    const { bytes } = this
    let length = this.length + LENGTH_BYTES
    let at = start
    for (let byte = source[at]!; byte !== Row.COMMA; byte = source[++at]!) bytes[length++] = byte
    this.addInt32(at - start)
    this.length = length
    return at
  }

  addDate(days: number): void {
    this.addInt32(DATE_BYTES)
    this.addInt32(days)
  }

  addNumber(number: number): void {
    this.addInt32(NUMBER_BYTES)
    this.bytes[this.length++] = number >>> 8
    this.bytes[this.length++] = number
  }

  /** Returns the array as a parameter, valid until the next `start`. */
  get parameter(): PgTypes.Parameter {
    return {
      [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId,
      oid: this.type,
      value: this.bytes.subarray(0, this.length)
    }
  }

  private addQuoted(source: Uint8Array, start: number): number {
    const { bytes } = this
    let length = this.length + LENGTH_BYTES
    let at = start + 1
    for (;;) {
      // A quote in the field is doubled.
      if (source[at] === Row.QUOTE && source[++at] !== Row.QUOTE) break
      bytes[length++] = source[at++]!
    }
    this.addInt32(length - this.length - LENGTH_BYTES)
    this.length = length
    return at
  }

  private reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(2 * this.length + size)
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  private addInt32(value: number): void {
    const { bytes, length } = this
    bytes[length] = value >>> 24
    bytes[length + 1] = value >>> 16
    bytes[length + 2] = value >>> 8
    bytes[length + 3] = value
    this.length = length + 4
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

/** The columns of a batch, in buffers that are used again for the next batch. */
export class Columns {
  private readonly firstNames = new Column(OID.textArray, OID.text, ESTIMATED_TEXT_BYTES)
  private readonly lastNames = new Column(OID.textArray, OID.text, ESTIMATED_TEXT_BYTES)
  private readonly documents = new Column(OID.textArray, OID.text, ESTIMATED_TEXT_BYTES)
  private readonly birthdates = new Column(OID.dateArray, OID.date, DATE_BYTES)
  private readonly numbers = new Column(OID.int2Array, OID.int2, NUMBER_BYTES)

  /** Encodes a batch; returns its columns as parameters for `unnest`, valid until the next one. */
  encode({ count, runs }: BetBatch) {
    const { birthdates, documents, firstNames, lastNames, numbers } = this
    for (const column of [firstNames, lastNames, documents, birthdates, numbers]) {
      column.start(count)
    }
    for (const run of runs) this.addRows(run)
    return {
      firstNames: firstNames.parameter,
      lastNames: lastNames.parameter,
      documents: documents.parameter,
      birthdates: birthdates.parameter,
      numbers: numbers.parameter
    }
  }

  /** Adds canonical rows, in one pass over their bytes. */
  private addRows(rows: Uint8Array): void {
    for (let at = 0; at < rows.length; ) {
      at = this.firstNames.addText(rows, at) + 1
      at = this.lastNames.addText(rows, at) + 1
      at = this.documents.addText(rows, at) + 1
      this.birthdates.addDate(daysOf(rows, at))
      at += BIRTHDATE_BYTES
      let number = 0
      for (let byte = rows[++at]!; byte !== Row.LF; byte = rows[++at]!) {
        number = number * 10 + byte - Row.ZERO
      }
      this.numbers.addNumber(number)
      at++
    }
  }
}
