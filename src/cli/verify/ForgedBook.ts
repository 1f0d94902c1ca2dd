/**
 * Names what was forged in a book that is not the sealed one (docs/sealed-draw.md, step 6). It
 * compares mark by mark, explains each piece that differs, and goes on after it as if it were
 * sealed.
 */
import { createHash, type Hash } from "node:crypto"
import { Effect } from "effect"
import { LF, MAX_ROW_BYTES } from "../../domain/BetRow.ts"
import { MARK_BYTES, marksOf } from "../../domain/seal/MarkedDigest.ts"
import type { SealedBook } from "../../domain/seal/Seal.ts"
import { counted } from "../log/ProgressText.ts"
import type { BookBytes } from "./BookBytes.ts"
import * as BookBytesFile from "./BookBytes.ts"
import { endsIn, type Scanned, winningEnd } from "./BookScan.ts"
import { type Check, forged } from "./Check.ts"
import { type Edit, explain, MAX_TRIED_ROWS } from "./ForgedPiece.ts"

/** What may follow a piece and belong to it: rows put in move it, and the last row goes on. */
const FOLLOWING_BYTES = (MAX_TRIED_ROWS + 1) * MAX_ROW_BYTES

const text = new TextDecoder()

/** Shows a row of a given book, which can be anything, shortened. */
export const showRow = (row: Uint8Array): string =>
  JSON.stringify(text.decode(row.subarray(0, MAX_ROW_BYTES)).replace(/\n$/, ""))

const countRows = (bytes: Uint8Array): number => {
  let rows = 0
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) rows++
  return rows
}

export const showBytes = (from: number, to: number): string => `bytes ${from} to ${to}`

/** Where the comparison is: at the same row of the given book and of the sealed one. */
interface Position {
  readonly hash: Hash
  readonly given: number
  readonly sealed: number
  /** Rows of the given book before it. */
  readonly rows: number
}

interface Named {
  readonly about: string
  readonly file: string
  readonly sealed: SealedBook
  readonly number: number | undefined
  readonly bad: Scanned["bad"]
}

/** Where each piece ends in the sealed book, and the digest up to there. */
function* piecesOf(
  sealed: SealedBook
): Generator<{ readonly end: number; readonly sha256: string }> {
  for (const [index, sha256] of marksOf(sealed).entries()) {
    yield { end: MARK_BYTES * (index + 1), sha256 }
  }
  yield { end: sealed.bytes, sha256: sealed.sha256 }
}

const pieceTo = (end: number) => ({
  from: Math.floor((Math.max(end, 1) - 1) / MARK_BYTES) * MARK_BYTES,
  to: end
})

const editCheck = (named: Named, edit: Edit, bytes: Buffer, rows: number, end: number): Check => {
  const bet = rows + countRows(bytes.subarray(0, edit.start)) + 1
  const row = showRow(bytes.subarray(edit.start, edit.end))
  const { agency } = named.sealed
  const piece = pieceTo(end)
  const where = `bet ${bet} of ${named.file}, in the sealed ${showBytes(piece.from, piece.to)}`
  const what =
    edit._tag === "put in"
      ? `a winner was put in: ${row} was not sealed`
      : `a number was changed: ${row} was sealed with ${edit.sealed}`
  return forged(named.about, `${where}: ${what}`, { agency, piece, bet, cause: edit._tag })
}

/** Why no edit of a piece was found. */
const whyUnexplained = ({ bad, number }: Named, piece: Buffer): string => {
  if (bad !== undefined) return "not every row is a bet, so the forged bets cannot be found"
  if (number === undefined) return "without the number, the forged bets cannot be found"
  const winners = Array.from(endsIn(piece, winningEnd(number))).length
  return winners > MAX_TRIED_ROWS
    ? `it has ${winners} winners, too many to find out which were forged`
    : "neither winners put in nor one changed number explains it: a bet was taken out or replaced"
}

const unexplained = (named: Named, end: number, bytes: Buffer, length: number): Check => {
  const { about, file, sealed } = named
  const piece = pieceTo(end)
  const details = { agency: sealed.agency, piece }
  const where = `${file} differs from the sealed ${showBytes(piece.from, piece.to)}`
  if (bytes.length < length) {
    const text = `${where}: it is too short; bets were taken out or changed`
    return forged(about, text, { ...details, cause: "cut short" })
  }
  const why = whyUnexplained(named, bytes.subarray(0, length))
  const rest = end < sealed.bytes ? "; what follows cannot be checked" : ""
  const hint = "; give the agency's own copy with --own to see the first bet that differs"
  return forged(about, `${where}: ${why}${rest}${hint}`, { ...details, cause: "differs" })
}

/** Rows after the last sealed one. */
const addedCheck = Effect.fnUntraced(function* (
  { about, file, number, sealed }: Named,
  book: BookBytes,
  { given, rows }: Position
) {
  const bytes = book.size - given
  if (bytes <= 0) return []
  const first = yield* book.read(given, MAX_ROW_BYTES)
  const row = showRow(first.subarray(0, first.indexOf(LF) + 1 || first.length))
  let winners = 0
  // A row is cut at the end of a part only if it is read again with the next part.
  for (let at = given; number !== undefined && at < book.size; ) {
    const part = yield* book.read(at, MARK_BYTES)
    const whole = part.lastIndexOf(LF) + 1 || part.length
    for (const _ of endsIn(part.subarray(0, whole), winningEnd(number))) winners++
    at += whole
  }
  const bet = rows + 1
  const added = `${counted(bytes, "byte")} with ${counted(winners, "winner")}`
  const text =
    `${file} goes on after the end of the sealed book, at bet ${bet}: ${added}, ` +
    `the first is ${row}`
  return [forged(about, text, { agency: sealed.agency, bet, cause: "added at the end" })]
})

/** Names every difference that the marks and the number show. */
export const locate = Effect.fn("ForgedBook.locate")(function* (named: Named) {
  const { number, sealed } = named
  const book = yield* BookBytesFile.open(named.file)
  const checks: Array<Check> = []
  let position: Position = { hash: createHash("sha256"), given: 0, sealed: 0, rows: 0 }
  /** The end of the first piece that differs, if the row at its end is not explained yet. */
  let cutAt: number | undefined
  for (const { end, sha256 } of piecesOf(sealed)) {
    const length = end - position.sealed
    const bytes = yield* book.read(position.given, length + FOLLOWING_BYTES)
    const surplus = book.size - position.given - (sealed.bytes - position.sealed)
    const piece = { before: position.hash, bytes, length, expected: sha256, surplus }
    const explained = explain(piece, number)
    if (explained === undefined) {
      checks.push(unexplained(named, cutAt ?? end, bytes, length))
      return checks
    }
    for (const edit of explained.edits) {
      checks.push(editCheck(named, edit, bytes, position.rows, cutAt ?? end))
      cutAt = undefined
    }
    if (explained.isCut) cutAt = end
    position = {
      hash: explained.after,
      given: position.given + explained.used,
      sealed: position.sealed + explained.sealed,
      rows: position.rows + countRows(bytes.subarray(0, explained.used))
    }
  }
  checks.push(...(yield* addedCheck(named, book, position)))
  return checks
}, Effect.scoped)
