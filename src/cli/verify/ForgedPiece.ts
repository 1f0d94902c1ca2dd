/**
 * Explains why a piece of a book differs from the sealed one. A mark is the digest of all sealed
 * bytes up to the end of its piece, so an edit that leads to the mark is a proof.
 */
import type { Hash } from "node:crypto"
import { LF } from "../../domain/BetRow.ts"
import { endsIn, winningEnd } from "./BookScan.ts"

/** More winning rows of a piece are not tried: 2 to this power are the sets of rows put in. */
export const MAX_TRIED_ROWS = 12

/** With more winning rows it takes too long to try rows put in and a changed number together. */
const MAX_COMBINED_ROWS = 3

const NUMBERS = 10_000

export interface Piece {
  /** The digest of the sealed rows before `bytes`. It is not changed. */
  readonly before: Hash
  /** The given book from the beginning of a row, with what may be needed after the piece. */
  readonly bytes: Buffer
  /** The bytes of the sealed book from that row to the end of the piece. */
  readonly length: number
  /** The SHA-256 of the sealed book up to the end of the piece, in hex. */
  readonly expected: string
  /** How many more bytes the given book has than the sealed one, from `bytes` on. */
  readonly surplus: number
}

/** Where a row begins and ends in `bytes`, with its LF. */
interface Span {
  readonly start: number
  readonly end: number
}

/** What makes `bytes` the sealed piece. */
export type Edit =
  | ({ readonly _tag: "put in" } & Span)
  | ({ readonly _tag: "number changed"; readonly sealed: number } & Span)

export interface Explained {
  readonly edits: ReadonlyArray<Edit>
  /** The digest of the sealed rows that end in this piece, before `used`. */
  readonly after: Hash
  /** The given bytes of those rows. */
  readonly used: number
  /** The sealed bytes of those rows. */
  readonly sealed: number
  /** The last row was changed, which only the next piece shows in full. */
  readonly isCut?: boolean
}

/** Winning rows, in order. */
const winningRows = (bytes: Buffer, number: number): ReadonlyArray<Span> => {
  const end = winningEnd(number)
  return Array.from(endsIn(bytes, end), (at) => ({
    start: at === 0 ? 0 : bytes.lastIndexOf(LF, at - 1) + 1,
    end: at + end.length
  }))
}

/** A part of the sealed piece: the digest before `at`, and how many sealed bytes remain. */
interface Place {
  readonly hash: Hash
  readonly at: number
  readonly left: number
}

/** Whether the unchanged bytes from a place lead to the mark; ends at the last whole row. */
const unchanged = (piece: Piece, { at, hash, left }: Place, edits: ReadonlyArray<Edit>) => {
  const end = at + left
  if (end > piece.bytes.length) return undefined
  // Not before `at`, where the given book may not be the sealed one.
  const rows = left === 0 ? at : Math.max(at, piece.bytes.lastIndexOf(LF, end - 1) + 1)
  const after = hash.copy().update(piece.bytes.subarray(at, rows))
  const whole = after.copy().update(piece.bytes.subarray(rows, end))
  if (whole.digest("hex") !== piece.expected) return undefined
  return { edits, after, used: rows, sealed: piece.length - (end - rows) } satisfies Explained
}

/** Tries to take out each set of winning rows, from the one at `index` on, of `most` bytes. */
const withoutRows = (
  piece: Piece,
  rows: ReadonlyArray<Span>,
  place: Place,
  most: number,
  edits: ReadonlyArray<Edit> = [],
  index = 0
): Explained | undefined => {
  const row = rows[index]
  if (row === undefined || row.start >= place.at + place.left) {
    return unchanged(piece, place, edits)
  }
  const kept = withoutRows(piece, rows, place, most, edits, index + 1)
  const rest = most - (row.end - row.start)
  if (kept !== undefined || rest < 0) return kept
  const before = row.start - place.at
  const next = {
    hash: place.hash.copy().update(piece.bytes.subarray(place.at, row.start)),
    at: row.end,
    left: place.left - before
  }
  return withoutRows(piece, rows, next, rest, [...edits, { _tag: "put in", ...row }], index + 1)
}

/** Tries every other number in one winning row. */
const withNumber = (piece: Piece, number: number, row: Span): Explained | undefined => {
  const { before, bytes, expected, length } = piece
  const start = row.end - winningEnd(number).length + 1
  const left = length - start
  if (left <= 0) return undefined
  const hash = before.copy().update(bytes.subarray(0, start))
  for (let sealed = 0; sealed < NUMBERS; sealed++) {
    if (sealed === number) continue
    const digits = Buffer.from(`${sealed}\n`)
    const edit: Edit = { _tag: "number changed", sealed, ...row }
    if (digits.length > left) {
      const whole = hash.copy().update(digits.subarray(0, left))
      if (whole.digest("hex") !== expected) continue
      // The number goes on in the next piece, which is explained together with this row.
      const after = before.copy().update(bytes.subarray(0, row.start))
      return { edits: [], after, used: row.start, sealed: row.start, isCut: true }
    }
    const place = { hash: hash.copy().update(digits), at: row.end, left: left - digits.length }
    const explained = unchanged(piece, place, [edit])
    if (explained !== undefined) return explained
  }
  return undefined
}

/** Tries every number in one of the rows, and at the same time to take out some of the others. */
const withBoth = (
  piece: Piece,
  number: number,
  rows: ReadonlyArray<Span>
): Explained | undefined => {
  if (rows.length > MAX_COMBINED_ROWS) return undefined
  for (let set = 1; set < 2 ** rows.length - 1; set++) {
    const taken = rows.filter((_, index) => set & (1 << index))
    const bytes = withoutSpans(piece.bytes, taken)
    for (const row of rows.filter((one) => !taken.includes(one))) {
      const moved = taken
        .filter(({ start }) => start < row.start)
        .reduce((sum, { end, start }) => sum + end - start, 0)
      const place = { start: row.start - moved, end: row.end - moved }
      const explained = withNumber({ ...piece, bytes }, number, place)
      if (explained === undefined) continue
      const putIn = taken.map((one): Edit => ({ _tag: "put in", ...one }))
      const changed = explained.edits.map((edit): Edit => ({ ...edit, ...row }))
      const edits = [...putIn, ...changed].sort((one, other) => one.start - other.start)
      return { ...explained, edits, used: placeWith(taken, explained.used) }
    }
  }
  return undefined
}

const withoutSpans = (bytes: Buffer, spans: ReadonlyArray<Span>): Buffer => {
  const starts = [0, ...spans.map(({ end }) => end)]
  return Buffer.concat(starts.map((start, index) => bytes.subarray(start, spans[index]?.start)))
}

/** Where a place in bytes without the spans lies in the bytes with them. */
const placeWith = (spans: ReadonlyArray<Span>, at: number): number =>
  spans.reduce((place, { end, start }) => (start <= place ? place + end - start : place), at)

/** Returns how the piece becomes the sealed one; undefined if no tried edit leads to its mark. */
export const explain = (piece: Piece, number: number | undefined): Explained | undefined => {
  const place = { hash: piece.before, at: 0, left: piece.length }
  const same = unchanged(piece, place, [])
  if (same !== undefined || number === undefined) return same
  const rows = winningRows(piece.bytes, number)
  const changeable = rows.filter(({ start }) => start < piece.length)
  if (changeable.length > MAX_TRIED_ROWS) return undefined
  const removable = rows.slice(0, MAX_TRIED_ROWS)
  // Next to equal bets, a changed number looks like a row put in until the book ends too early.
  const without = withoutRows(piece, removable, place, piece.surplus)
  if (without !== undefined) return without
  for (const row of changeable) {
    const changed = withNumber(piece, number, row)
    if (changed !== undefined) return changed
  }
  return (
    withoutRows(piece, removable, place, Number.POSITIVE_INFINITY) ??
    withBoth(piece, number, changeable)
  )
}
