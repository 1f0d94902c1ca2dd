/**
 * What is found in a `bets.csv` that is opened: whole, with the end that a crash can have left, or
 * damaged by something else. Only the first two are opened, and only what a crash left is cut.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { CR, LF } from "../../../domain/BetRow.ts"
import { type Descriptor, type Disk, readBytes, replaceFile } from "../embedded/Disk.ts"
import { type CsvFile, SCAN_BYTES, scanRows, unread, unusable } from "./CsvFile.ts"
import { CsvRowReader, MAX_ROW_BYTES } from "./CsvRow.ts"
import type { FinishedBook, FoundState } from "./CsvState.ts"

/** The cure for bets that are missing or changed. */
const RESTORE = "(restore it and its state file from the same moment)"

/** The draw of a `bets.csv` that Python left without a state file. */
const PYTHONS_DRAW = "default"

/** What is found of a store at one moment, and how it is read. */
export interface Found {
  readonly disk: Disk
  readonly file: Descriptor
  /** How many bytes the file has. */
  readonly size: number
  readonly state: FoundState | undefined
  /** The draw that it should be of. */
  readonly drawId: string
  /** Where to stop reading; what lies behind is not there yet. */
  readonly until: number
  /** How many bytes at the end a write that was cut short can have left. */
  readonly tailLimitBytes: number
  /** A program that writes without a state, as Python does, may be at the last row. */
  readonly mayBeWritten?: boolean
}

/** Why the file is not the one that the state speaks of. */
const reasonAgainstFile = ({ drawId, size, state }: Found): string | undefined => {
  const draw = state?.draw ?? (size > 0 ? PYTHONS_DRAW : drawId)
  if (draw !== drawId) {
    return `it holds the draw ${draw}, not ${drawId}; a CSV store holds one draw`
  }
  const synced = state?.synced ?? 0
  if (size >= synced) return undefined
  return (
    `damaged: ${synced - size} bytes are missing at its end; it has ${size}, and its state file ` +
    `says that ${synced} were stored ${RESTORE}`
  )
}

/** Whether a row begins at an offset. */
const isRowAt = (bytes: Uint8Array, at: number): boolean =>
  new CsvRowReader().read(bytes, at, bytes.length) === true

/** A file that others write may begin, or end its lines, in a way that has a name. */
const describeRow = (bytes: Uint8Array, offset: number): string => {
  if (offset === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return "it begins with a byte order mark; remove its first 3 bytes (tail -c +4)"
  }
  if (offset === 0 && (bytes[0] === 0xff || bytes[0] === 0xfe)) {
    return "it begins as UTF-16; convert it to UTF-8 without a byte order mark"
  }
  const lineEnd = bytes.indexOf(LF)
  if (lineEnd > 1 && bytes[lineEnd - 1] === CR && bytes[lineEnd - 2] === CR) {
    return "its lines end in CR CR LF; remove one CR of each (sed -i 's/\\r\\r$/\\r/')"
  }
  if (lineEnd === 0 || (lineEnd === 1 && bytes[0] === CR)) return "there is an empty line"
  if (lineEnd === -1 && isRowAt(Buffer.concat([bytes, Buffer.of(LF)]), 0)) {
    return "its last row has no line end"
  }
  return "what stands there is not a bet"
}

/** Whether a row begins behind any line end of the bytes. */
const hasRows = (bytes: Uint8Array): boolean => {
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (isRowAt(bytes, at + 1)) return true
  }
  return false
}

/** Why what lies behind the rows, and begins with `rest`, is not what a crash left. */
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
    return `${where}: ${what}, and ${synced} bytes were stored ${RESTORE}`
  }
  if (synced === undefined && hasRows(rest)) return `${where}: ${what}, and bets follow it`
  // What was not synced may begin in the middle of a row.
  if (torn <= tailLimitBytes + MAX_ROW_BYTES) return undefined
  return (
    `${where}: what stands there is not a bet, ` +
    "and too far from the end for a write that was cut short"
  )
}

/**
 * Gives the books that are finished, each of which must be there as it was when its agency
 * finished: they were hashed as they were read. Of a store of the first version only their bets are
 * counted: it knows no SHA-256.
 */
const finishedBooks = Effect.fnUntraced(function* (
  { index, length }: CsvFile,
  state: FoundState | undefined
) {
  const books = new Map<Agency, FinishedBook>()
  for (const [agency, { bets, sha256: finished }] of state?.finished ?? []) {
    const marks = index.get(agency)!
    if (marks.bets !== bets) {
      const reason =
        `damaged at byte ${length}: agency ${agency} has finished with ${bets} bets, ` +
        `but ${marks.bets} are there ${RESTORE}`
      return yield* unusable(reason)
    }
    const sha256 = marks.hash!.digest()
    marks.hash = undefined
    if (finished !== undefined && finished !== sha256) {
      const reason =
        `damaged: the ${bets} bets of agency ${agency} are not those that it finished with ` +
        RESTORE
      return yield* unusable(reason)
    }
    books.set(agency, { bets, sha256 })
  }
  return books
})

/**
 * Reads the rows of a file; gives them, how many bytes behind them are not rows, and the finished
 * books. Fails unless a crash can have left these bytes: near the end, in a file that is known for
 * a store, and never in what was stored. A store of the first version does not know what was: there
 * no bet may follow.
 */
export const readRows = Effect.fnUntraced(function* (found: Found) {
  const { disk, file, state, tailLimitBytes, until } = found
  const against = reasonAgainstFile(found)
  if (against !== undefined) return yield* unusable(against)
  const csv = unread(disk, file, state?.finished.keys())
  const row = new CsvRowReader()
  csv.length = yield* scanRows(csv, [0, until], SCAN_BYTES, row, (start, end) => {
    csv.index.add(row.agency, start, 1, end - start).hash?.add(row)
    return true
  })
  const torn = until - csv.length
  if (torn > 0) {
    const rest = yield* readBytes(disk, file, csv.length, Math.min(torn, tailLimitBytes))
    const reason = reasonAgainstTail(found, csv.length, rest)
    if (reason !== undefined) return yield* unusable(reason)
  }
  return { csv, torn, finished: yield* finishedBooks(csv, state) }
})

/**
 * Saves what is about to be cut as `bets.csv.cut-OFFSET` if it is more than one unfinished row, for
 * an operator to look at. Gives that file's name.
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
