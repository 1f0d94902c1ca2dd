/** Splits canonical rows into column values. Imports no library, so that a worker starts fast. */
import { LF, QUOTE, splitRow, ZERO } from "../../../domain/BetRow.ts"

/** Bytes decoded into one string; larger strings only use more of the worker's memory. */
const PIECE_BYTES = 64 * 1024
// Rows are already validated. ignoreBOM keeps a BOM at the start of a name.
const text = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * A cursor over rows that exposes the current row as its own properties. Hundreds of thousands of
 * rows per second pass through it, and an object per row would be a large part of their cost.
 */
export class RowFields {
  firstName = ""
  lastName = ""
  document = ""
  birthdate = ""
  number = 0

  private readonly bytes: Uint8Array
  private nextPiece = 0
  private rows = ""
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Moves to the next row; returns false at the end. */
  next(): boolean {
    if (this.at === this.rows.length && !this.readPiece()) return false
    const { rows, at } = this
    const first = rows.indexOf(",", at)
    const second = rows.indexOf(",", first + 1)
    const third = rows.indexOf(",", second + 1)
    const fourth = rows.indexOf(",", third + 1)
    const end = rows.indexOf("\n", at)
    this.at = end + 1
    // Only names can be quoted, and the quote is then the first character.
    if (rows.charCodeAt(at) === QUOTE || rows.charCodeAt(first + 1) === QUOTE) {
      const fields = splitRow(rows.slice(at, end))
      this.firstName = fields[0]!
      this.lastName = fields[1]!
      this.document = fields[2]!
      this.birthdate = fields[3]!
      this.number = Number(fields[4])
      return true
    }
    this.firstName = rows.slice(at, first)
    this.lastName = rows.slice(first + 1, second)
    this.document = rows.slice(second + 1, third)
    this.birthdate = rows.slice(third + 1, fourth)
    // Not `Number`: the string it needs costs as much as a name.
    let number = 0
    for (let digit = fourth + 1; digit < end; digit++) {
      number = 10 * number + rows.charCodeAt(digit) - ZERO
    }
    this.number = number
    return true
  }

  private readPiece(): boolean {
    const { bytes, nextPiece } = this
    if (nextPiece === bytes.length) return false
    const limit = nextPiece + PIECE_BYTES
    // A row is much shorter than a piece.
    const end = limit < bytes.length ? bytes.lastIndexOf(LF, limit) + 1 : bytes.length
    this.rows = text.decode(bytes.subarray(nextPiece, end))
    this.nextPiece = end
    this.at = 0
    return true
  }
}
