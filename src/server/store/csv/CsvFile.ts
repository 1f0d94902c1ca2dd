/** An open `bets.csv`, and the ways to read all of its rows. */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type Descriptor, type Disk, DiskError } from "../embedded/Disk.ts"
import { CsvIndex } from "./CsvIndex.ts"
import { type CsvRowReader, WinnerReader } from "./CsvRow.ts"

/** Bytes read at once when a whole file is read: a few milliseconds of work between two reads. */
export const SCAN_BYTES = 1024 * 1024

export interface CsvFile {
  readonly disk: Disk
  readonly file: Descriptor
  /** Of the rows in `length`. */
  readonly index: CsvIndex
  /** How much of the file is whole rows, and durable. */
  length: number
}

/** A file of which nothing has been read yet; the books of `hashed` are hashed as they are read. */
export const unread = (disk: Disk, file: Descriptor, hashed?: Iterable<Agency>): CsvFile => ({
  disk,
  file,
  index: new CsvIndex(hashed),
  length: 0
})

/** What is done with each row between two offsets; false to stop. */
type Visit = (start: number, end: number) => boolean

/**
 * Reads the rows in `[from, until)`, `bufferBytes` at a time, as long as `visit` says to go on.
 * Gives the offset behind the last row; short of `until` there is something that is not a row.
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

/** Visits the rows of a buffer that begins at `base`; gives where it stopped, and if it is done. */
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
    const goOn = visit(base + at, base + reader.end)
    at = reader.end
    if (!goOn) return { at, isDone: true }
  }
  return { at, isDone: false }
}

/** The file, or its state, was read and is not what it must be. */
export const unusable = (reason: string) => new DiskError({ operation: "read", reason })

/** Another program has changed the file since its rows were indexed. */
export const rowIsGone = (offset: number) =>
  unusable(`damaged at byte ${offset}: what stands there was a bet and is none any more`)

/** The documents of the winning rows of every agency, found by reading the file once. */
export const scanWinners = Effect.fnUntraced(function* (csv: CsvFile, winningNumber: number) {
  // Bets may be added meanwhile.
  const { length } = csv
  const { total } = csv.index
  const winners = new Map<Agency, Array<string>>()
  let rows = 0
  const reader = new WinnerReader(winningNumber)
  const end = yield* scanRows(csv, [0, length], SCAN_BYTES, reader, () => {
    rows++
    if (!reader.hasWon) return true
    const documents = winners.get(reader.agency)
    if (documents === undefined) winners.set(reader.agency, [reader.document])
    else documents.push(reader.document)
    return true
  })
  // A draw without some of the bets would be worse than none.
  if (end !== length) return yield* rowIsGone(end)
  // Two rows without the line end between them can look like one on another number.
  if (rows !== total) {
    return yield* unusable(`damaged: it has ${rows} rows where there were ${total}`)
  }
  return new Map([...winners].sort(([one], [other]) => one - other))
})
