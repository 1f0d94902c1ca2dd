/**
 * An open `bets.csv`: what is durable of it, its index, and how both grow. Opening it reads every
 * row once.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type Descriptor, type Disk, DiskError, writeAll } from "../embedded/Disk.ts"
import type { CsvBookHashes } from "./CsvBookHashes.ts"
import { type CsvIndex, RowMarks, scanRows } from "./CsvIndex.ts"
import * as CsvRow from "./CsvRow.ts"

/** Bytes read at once when a whole file is read: a few milliseconds of work between two reads. */
const SCAN_BYTES = 1024 * 1024

/** What a group adds to the file: the canonical rows of one agency. */
export interface Rows {
  readonly agency: Agency
  readonly runs: ReadonlyArray<Uint8Array>
  /** How many bytes the runs have. */
  readonly size: number
  readonly count: number
}

export interface CsvFile {
  readonly file: Descriptor
  /** How much of the file is whole rows, and durable. */
  length: number
  readonly index: CsvIndex
}

/**
 * Adds the rows in `[from, until)` to the index, and to the hashes of their books; gives the offset
 * of what is not a row.
 */
export const indexRows = (
  disk: Disk,
  { file, index, length: from }: CsvFile,
  until: number,
  hashes?: CsvBookHashes
) => {
  const reader = new CsvRow.CsvRowReader()
  return scanRows(disk, file, from, until, SCAN_BYTES, reader, (start, end) => {
    index.add(reader.agency, start, 1, end - start)
    hashes?.add(reader)
    return true
  })
}

/** The documents of the winning rows of every agency, found by reading the file once. */
export const scanWinners = Effect.fnUntraced(function* (
  disk: Disk,
  { file, index, length }: CsvFile,
  winningNumber: number
) {
  const winners = new Map<Agency, Array<string>>()
  const held = index.total
  let rows = 0
  const reader = new CsvRow.WinnerReader(winningNumber)
  const end = yield* scanRows(disk, file, 0, length, SCAN_BYTES, reader, () => {
    rows++
    const { winner } = reader
    if (winner === undefined) return true
    const documents = winners.get(winner.agency)
    if (documents === undefined) winners.set(winner.agency, [winner.document])
    else documents.push(winner.document)
    return true
  })
  // A draw without some of the bets would be worse than none.
  if (end !== length) {
    const reason = `damaged at byte ${end}: what stands there was a bet and is none any more`
    return yield* new DiskError({ operation: "read", code: undefined, reason })
  }
  // Two rows without the line end between them can look like one on another number.
  if (rows !== held) {
    const reason = `damaged: it has ${rows} rows where there were ${held}`
    return yield* new DiskError({ operation: "read", code: undefined, reason })
  }
  return new Map([...winners].sort(([one], [other]) => one - other))
})

/** Cuts what lies behind the durable rows. */
export const cutTail = (disk: Disk, { file, length }: CsvFile) => disk.truncate(file, length)

/** Where rows are put together for the file; used again by the next group. */
export interface RowBuffer {
  bytes: Uint8Array
}

/** The rows of a group as they go into the file, and the marks of each batch in them. */
interface WrittenRows {
  /** A view, good until the buffer is used again. */
  readonly bytes: Uint8Array
  readonly marks: ReadonlyArray<RowMarks>
}

const rowsOf = (batches: ReadonlyArray<Rows>, buffer: RowBuffer): WrittenRows => {
  const size = batches.reduce((sum, rows) => sum + CsvRow.sizeOf(rows), 0)
  if (buffer.bytes.length < size) buffer.bytes = new Uint8Array(size)
  let end = 0
  const marks = batches.map(({ agency, runs }) => {
    const first = end
    const within = new RowMarks()
    for (const run of runs) {
      end = CsvRow.writeCanonical(agency, run, buffer.bytes, end, within, first)
    }
    return within
  })
  return { bytes: buffer.bytes.subarray(0, end), marks }
}

/**
 * Writes rows behind the durable ones and syncs them. The index and the length grow only when all
 * of them are durable; after a failure the caller cuts the tail.
 */
export const appendRows = Effect.fnUntraced(function* (
  disk: Disk,
  csv: CsvFile,
  batches: ReadonlyArray<Rows>,
  buffer: RowBuffer,
  maxUnsyncedBytes: number
): Effect.fn.Return<void, DiskError> {
  const { bytes: all, marks } = rowsOf(batches, buffer)
  // A crash must not leave more behind than what is taken for a torn tail.
  for (let start = 0; start < all.length; start += maxUnsyncedBytes) {
    const part = all.subarray(start, start + maxUnsyncedBytes)
    yield* writeAll(disk, csv.file, part, csv.length + start)
    yield* disk.syncData(csv.file)
  }
  for (const [index, rows] of batches.entries()) {
    const size = CsvRow.sizeOf(rows)
    csv.index.add(rows.agency, csv.length, rows.count, size, marks[index])
    csv.length += size
  }
})
