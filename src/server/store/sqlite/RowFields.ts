/**
 * The fields of the canonical rows of a batch, as values for the columns of a database. Pure and
 * free of libraries, for a store's worker too.
 */
import { LF, QUOTE, splitRow, ZERO } from "../../../domain/BetRow.ts"

/** How many bytes become one string at a time: larger ones only fill the worker's memory. */
const PIECE_BYTES = 64 * 1024
// Rows were checked on their way in; ignoreBOM keeps a BOM that a name begins with.
const text = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * Reads row after row into its own properties: hundreds of thousands a second go through here, and
 * an object for each would be a good part of what a row costs.
 */
export class RowFields {
  firstName = ""
  lastName = ""
  document = ""
  birthdate = ""
  number = 0

  private readonly bytes: Uint8Array
  /** The first byte that is not yet in `rows`. */
  private nextPiece = 0
  private rows = ""
  /** The start of the next row in `rows`. */
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Reads the next row; false if there is none. */
  next(): boolean {
    if (this.at === this.rows.length && !this.readPiece()) return false
    const { rows, at } = this
    const first = rows.indexOf(",", at)
    const second = rows.indexOf(",", first + 1)
    const third = rows.indexOf(",", second + 1)
    const fourth = rows.indexOf(",", third + 1)
    const end = rows.indexOf("\n", at)
    this.at = end + 1
    // Only names are ever quoted, from their first character on.
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
    // A number has four digits at most: a string of them for `Number` would cost as much as a name.
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
    // A row is far shorter than a piece.
    const end = limit < bytes.length ? bytes.lastIndexOf(LF, limit) + 1 : bytes.length
    this.rows = text.decode(bytes.subarray(nextPiece, end))
    this.nextPiece = end
    this.at = 0
    return true
  }
}
