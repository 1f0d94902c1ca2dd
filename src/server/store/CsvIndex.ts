/**
 * Where in `bets.csv` an agency's bets are: a sparse index in memory, a mark every few KiB of an
 * agency's own bytes, so that it stays below half a percent of the book.
 */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { Descriptor, Disk } from "./Disk.ts"

/** Own bytes between two marks, where a run of the agency's rows begins. */
export const MARK_BYTES = 4 * 1024
/** Own bytes between two marks within a run, which is read without going astray. */
const MARK_BYTES_IN_RUN = 64 * 1024

/** A place where an agency's rows go on. */
export interface Mark {
  readonly position: number
  readonly offset: number
}

/** An agency's marks, in order. */
export class AgencyMarks {
  bets = 0
  private sinceMark = 0
  private readonly positions: Array<number> = []
  private readonly offsets: Array<number> = []

  /** Adds `count` rows of `bytes` bytes, which begin at `offset`. */
  add(offset: number, count: number, bytes: number, beginsRun: boolean): void {
    const apart = beginsRun ? MARK_BYTES : MARK_BYTES_IN_RUN
    if (this.positions.length === 0 || this.sinceMark >= apart) {
      this.positions.push(this.bets)
      this.offsets.push(offset)
      this.sinceMark = 0
    }
    this.bets += count
    this.sinceMark += bytes
  }

  get marks(): number {
    return this.positions.length
  }

  /** The mark with a number; undefined where there are not so many. */
  mark(index: number): Mark | undefined {
    const position = this.positions[index]
    return position === undefined ? undefined : { position, offset: this.offsets[index]! }
  }

  /** The number of the last mark that is not behind a position; -1 where nothing is held. */
  nearest(position: number): number {
    let low = 0
    let high = this.positions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.positions[middle]! <= position) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

/** The marks of every agency. */
export class CsvIndex {
  private readonly agencies = new Map<Agency, AgencyMarks>()
  private last: Agency | undefined
  private lastMarks: AgencyMarks | undefined

  /** Adds rows of one agency that lie next to each other, behind all that were added before. */
  add(agency: Agency, offset: number, count: number, bytes: number): void {
    const beginsRun = agency !== this.last
    if (beginsRun || this.lastMarks === undefined) {
      this.last = agency
      this.lastMarks = this.of(agency)
      if (this.lastMarks === undefined) {
        this.lastMarks = new AgencyMarks()
        this.agencies.set(agency, this.lastMarks)
      }
    }
    // A batch begins a run of its own: it is at least worth a mark as much as one between others.
    this.lastMarks.add(offset, count, bytes, beginsRun || count > 1)
  }

  of(agency: Agency): AgencyMarks | undefined {
    return this.agencies.get(agency)
  }

  bets(agency: Agency): number {
    return this.agencies.get(agency)?.bets ?? 0
  }

  /** The bets of all agencies. */
  get total(): number {
    let total = 0
    for (const { bets } of this.agencies.values()) total += bets
    return total
  }

  keys(): IterableIterator<Agency> {
    return this.agencies.keys()
  }
}

/** What reads rows one after the other, as `CsvRowReader` does. */
export interface RowReader {
  /** Whether a row begins at `start`; undefined where the bytes end too early to say. */
  readonly read: (bytes: Uint8Array, start: number, length: number) => boolean | undefined
  /** Where the next row begins. */
  readonly end: number
}

/**
 * Reads the rows in `[from, until)` of the file, as long as `visit` says to go on. Gives the
 * offset behind the last row; short of `until` there is something that is not a row.
 */
export const scanRows = Effect.fnUntraced(function* (
  disk: Disk,
  file: Descriptor,
  from: number,
  until: number,
  bufferBytes: number,
  reader: RowReader,
  visit: (start: number, end: number) => boolean
) {
  const buffer = new Uint8Array(bufferBytes)
  let base = from
  let held = 0
  for (;;) {
    const wanted = Math.min(buffer.length - held, until - base - held)
    const into = buffer.subarray(held, held + wanted)
    const more = wanted > 0 ? yield* disk.read(file, into, base + held) : 0
    held += more
    const { at, isDone } = visitRows(buffer, held, base, reader, visit)
    if (isDone || more === 0) return base + at
    buffer.copyWithin(0, at, held)
    base += at
    held -= at
  }
})

/** Visits the rows of a buffer that begins at `base`; gives where it ended, and if for good. */
const visitRows = (
  buffer: Uint8Array,
  length: number,
  base: number,
  reader: RowReader,
  visit: (start: number, end: number) => boolean
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
