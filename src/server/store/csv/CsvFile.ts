/** An open `bets.csv` and the scans over its rows. */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type Descriptor, type Disk, DiskError } from "../embedded/Disk.ts"
import { CsvIndex } from "./CsvIndex.ts"
import type { CsvRowReader } from "./CsvRow.ts"

/** Bytes per read when scanning a whole file: a few milliseconds of work between two reads. */
export const SCAN_BYTES = 1024 * 1024

export interface CsvFile {
  readonly disk: Disk
  readonly file: Descriptor
  /** Indexes the rows in the first `length` bytes. */
  readonly index: CsvIndex
  /** The total length in bytes of the file's complete, durable rows. */
  length: number
}

/** A file that has not been read yet. The books of `hashed` agencies are hashed during the read. */
export const unread = (disk: Disk, file: Descriptor, hashed?: Iterable<Agency>): CsvFile => ({
  disk,
  file,
  index: new CsvIndex(hashed),
  length: 0
})

/** Handles the row between two offsets; returns false to stop. */
type Visit = (start: number, end: number) => boolean

/**
 * Reads the rows in `[from, until)`, `bufferBytes` at a time, until `visit` returns false. Returns
 * the offset after the last row. If that is before `until` and `visit` did not stop there, what
 * follows is not a row.
 */
export const scanRows = Effect.fnUntraced(function* (
  { disk, file }: CsvFile,
  [from, until]: readonly [number, number],
  bufferBytes: number,
  reader: CsvRowReader,
  visit: Visit
) {
  const buffer = new Uint8Array(bufferBytes)
  let base = from
  let filled = 0
  for (;;) {
    const wanted = Math.min(buffer.length - filled, until - base - filled)
    const into = buffer.subarray(filled, filled + wanted)
    const more = wanted > 0 ? yield* disk.read(file, into, base + filled) : 0
    filled += more
    const { at, isDone } = visitRows(buffer, filled, base, reader, visit)
    if (isDone || more === 0) return base + at
    buffer.copyWithin(0, at, filled)
    base += at
    filled -= at
  }
})

/** Visits the rows of a buffer whose first byte is at offset `base` of the file. */
const visitRows = (
  buffer: Uint8Array,
  length: number,
  base: number,
  reader: CsvRowReader,
  visit: Visit
) => {
  let at = 0
  while (at < length) {
    const isRow = reader.read(buffer, at, length)
    if (isRow === undefined) break
    if (!isRow) return { at, isDone: true }
    const shouldContinue = visit(base + at, base + reader.end)
    at = reader.end
    if (!shouldContinue) return { at, isDone: true }
  }
  return { at, isDone: false }
}

/** Returns the error for invalid content in the file or its state. */
export const unusable = (reason: string) => new DiskError({ operation: "read", reason })

/** Returns the error for a row that another program has changed since it was indexed. */
export const rowIsGone = (offset: number) =>
  unusable(`damaged at byte ${offset}: the bet that was there is no longer valid`)
