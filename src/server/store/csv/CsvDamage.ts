/**
 * Checks a `bets.csv` while opening it. A file that is whole, or whose tail a crash can explain, is
 * opened, and only such a tail is cut. Any other damage is refused.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { CR, LF } from "../../../domain/BetRow.ts"
import { type Descriptor, type Disk, readBytes, replaceFile } from "../embedded/Disk.ts"
import { FinishedReader } from "./CsvBookHash.ts"
import { type CsvFile, SCAN_BYTES, scanRows, unread, unusable } from "./CsvFile.ts"
import { type MarkedBook, whereChanged } from "./CsvMarks.ts"
import { CsvRowReader, MAX_ROW_BYTES } from "./CsvRow.ts"
import type { FoundState } from "./CsvState.ts"

const RESTORE = "(restore it and its state file from the same backup)"

/** The draw of a `bets.csv` that Python left without a state file. */
export const PYTHONS_DRAW = "default"

export interface Found {
  readonly disk: Disk
  /** Canonical path. */
  readonly path: string
  readonly file: Descriptor
  readonly size: number
  readonly state: FoundState | undefined
  /** The draw that the file is expected to hold. */
  readonly drawId: string
  /** Offset to stop reading at. Later bytes are not synced yet. */
  readonly until: number
  /** Maximum bytes of an interrupted write at the end. */
  readonly tailLimitBytes: number
  /** A program that writes no state, such as Python, may be writing the last row. */
  readonly mayBeWritten?: boolean
}

/** Returns why the file does not match its state. */
const reasonAgainstFile = ({ drawId, size, state }: Found): string | undefined => {
  const draw = state?.draw ?? (size > 0 ? PYTHONS_DRAW : drawId)
  if (draw !== drawId) {
    return `it contains the draw ${draw}, not ${drawId}; a CSV store contains one draw`
  }
  const synced = state?.synced ?? 0
  if (size >= synced) return undefined
  return (
    `damaged: ${synced - size} bytes are missing at its end; it has ${size}, but its state file ` +
    `records ${synced} stored bytes ${RESTORE}`
  )
}

const isRowAt = (bytes: Uint8Array, at: number): boolean =>
  new CsvRowReader().read(bytes, at, bytes.length) === true

/** Names the usual mistakes in files from other programs. */
const describeRow = (bytes: Uint8Array, offset: number): string => {
  if (offset === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return "it begins with a byte order mark; remove its first 3 bytes (tail -c +4)"
  }
  if (offset === 0 && (bytes[0] === 0xff || bytes[0] === 0xfe)) {
    return "it looks like UTF-16; convert it to UTF-8 without a byte order mark"
  }
  const lineEnd = bytes.indexOf(LF)
  if (lineEnd > 1 && bytes[lineEnd - 1] === CR && bytes[lineEnd - 2] === CR) {
    return "its lines end in CR CR LF; remove one CR from each (sed -i 's/\\r\\r$/\\r/')"
  }
  if (lineEnd === 0 || (lineEnd === 1 && bytes[0] === CR)) return "there is an empty line"
  if (lineEnd === -1 && isRowAt(Buffer.concat([bytes, Buffer.of(LF)]), 0)) {
    return "its last row has no line ending"
  }
  return "the row there is not a valid bet"
}

const hasRowAfterLineEnd = (bytes: Uint8Array): boolean => {
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (isRowAt(bytes, at + 1)) return true
  }
  return false
}

/** Returns why a crash cannot have left the bytes after the rows, which begin with `rest`. */
const reasonAgainstTail = (
  { mayBeWritten, state, tailLimitBytes, until }: Found,
  rowsEnd: number,
  rest: Uint8Array
): string | undefined => {
  const torn = until - rowsEnd
  const where = `damaged at byte ${rowsEnd}`
  const what = describeRow(rest, rowsEnd)
  if (state === undefined) {
    const isUnfinishedRow = torn <= MAX_ROW_BYTES && !rest.includes(LF)
    return mayBeWritten && isUnfinishedRow ? undefined : `${where}, or not a store: ${what}`
  }
  const { synced } = state
  if (synced !== undefined && rowsEnd < synced) {
    return `${where}: ${what}, but ${synced} bytes were stored ${RESTORE}`
  }
  if (synced === undefined && hasRowAfterLineEnd(rest)) {
    return `${where}: ${what}, and bets follow it`
  }
  // The unsynced part may begin in the middle of a row.
  if (torn <= tailLimitBytes + MAX_ROW_BYTES) return undefined
  return (
    `${where}: the row there is not a valid bet, ` +
    "and is too far from the end to be an interrupted write"
  )
}

/**
 * Returns the finished books, after checking each against the count and the digest recorded when
 * its agency finished. A state of version 1 has no digest, so only the count is checked.
 */
const finishedBooks = Effect.fnUntraced(function* ({ index, length }: CsvFile, found: Found) {
  const { disk, path, state } = found
  const books = new Map<Agency, MarkedBook>()
  for (const [agency, recorded] of state?.finished ?? []) {
    const { bets, marksAt } = recorded
    const indexed = index.get(agency)!
    const book = { bets: indexed.bets, ...indexed.hash!.digest(), marksAt }
    indexed.hash = undefined
    const { bytes = book.bytes, sha256 = book.sha256 } = recorded
    if (bets !== book.bets || bytes !== book.bytes || sha256 !== book.sha256) {
      const reason =
        bets === book.bets
          ? `damaged: the ${bets} bets of agency ${agency} are not the ones it finished with`
          : `damaged at byte ${length}: agency ${agency} finished with ${bets} bets, ` +
            `but the file has ${book.bets}`
      const piece = yield* whereChanged(disk, path, recorded, book)
      const where = piece ? `; its book differs first in bytes ${piece.from} to ${piece.to}` : ""
      return yield* unusable(`${reason}${where} ${RESTORE}`)
    }
    books.set(agency, book)
  }
  return books
})

/** Reads the rows of a file. Checks those of finished books only if `isThorough`. */
const read = Effect.fnUntraced(function* (found: Found, isThorough: boolean) {
  const { disk, file, state, tailLimitBytes, until } = found
  const csv = unread(disk, file, state?.finished.keys())
  const { index } = csv
  const row = new FinishedReader(isThorough ? new Map() : index)
  csv.length = yield* scanRows(csv, [0, until], SCAN_BYTES, row, (start, end) => {
    const { hash } = index.add(row.agency, start, 1, end - start)
    if (!row.isHashed) hash?.add(row)
    return true
  })
  const torn = until - csv.length
  if (torn > 0) {
    const rest = yield* readBytes(disk, file, csv.length, Math.min(torn, tailLimitBytes))
    const reason = reasonAgainstTail(found, csv.length, rest)
    if (reason !== undefined) return yield* unusable(reason)
  }
  return { csv, torn, finished: yield* finishedBooks(csv, found) }
})

/**
 * Reads the rows of a file. Returns them, the length of the torn tail after them, and the finished
 * books. Fails if a crash cannot explain the tail: it must be in a file with a state, near the end
 * and after the synced part. A state of version 1 does not record that part, so the tail must not
 * contain a bet. A reader also accepts one unfinished row of a program that writes no state.
 *
 * A file that fails is read a second time with all checks, which find the first invalid row.
 */
export const readRows = Effect.fnUntraced(function* (found: Found) {
  const against = reasonAgainstFile(found)
  if (against !== undefined) return yield* unusable(against)
  const recorded = [...(found.state?.finished.values() ?? [])]
  // Version 1 recorded no digests, so every row is checked.
  if (recorded.some(({ sha256 }) => sha256 === undefined)) return yield* read(found, true)
  return yield* Effect.catch(read(found, false), () => read(found, true))
})

/**
 * Saves the tail before it is cut as `bets.csv.cut-OFFSET`, for an operator to inspect, if it has
 * more than one unfinished row. Returns that file's path.
 */
export const keepTail = Effect.fnUntraced(function* (
  { disk, file, length }: CsvFile,
  path: string,
  torn: number
) {
  const bytes = yield* readBytes(disk, file, length, torn)
  if (!bytes.includes(LF)) return undefined
  const kept = `${path}.cut-${length}`
  yield* replaceFile(disk, kept, bytes, file)
  return kept
})
