/**
 * Where in `bets.csv` an agency's bets are: an index in memory with a mark for every few KiB of the
 * file in which the agency has bets. A batch that lies in one piece costs a few bytes for each
 * 4 KiB; a bet that lies alone among those of others costs its own mark, about 5 bytes.
 */
import { Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import type { Descriptor, Disk } from "../embedded/Disk.ts"

/** A row is found from a mark that is less than twice as many bytes before it. */
export const MARK_BYTES = 4 * 1024

/** A place where an agency's rows go on. */
export interface Mark {
  /** The position in the agency's book of the row that begins there. */
  readonly position: number
  readonly offset: number
}

/** Marks between two that can be jumped to. */
const MARKS_PER_STEP = 64

/** The marks of an agency, in order: each as its distance from the one before, in few bytes. */
export class AgencyMarks {
  bets = 0
  /** How many bytes of the file the rows are. */
  bytes = 0
  private last: Mark = { position: 0, offset: 0 }
  private count = 0
  private distances = new Uint8Array(32)
  private length = 0
  /** Every `MARKS_PER_STEP`th mark, and where in `distances` the next one begins. */
  private readonly steps: Array<Mark & { readonly next: number }> = []

  /** Adds `count` rows of `bytes` bytes from `offset` on; `within` are marks inside of them. */
  add(offset: number, count: number, bytes: number, within: RowMarks | undefined): void {
    if (this.count === 0 || offset - this.last.offset >= MARK_BYTES) this.mark(this.bets, offset)
    within?.forEach((row, at) => this.mark(this.bets + row, offset + at))
    this.bets += count
    this.bytes += bytes
  }

  private mark(position: number, offset: number): void {
    const isStep = this.count % MARKS_PER_STEP === 0
    if (!isStep) {
      this.write(position - this.last.position)
      this.write(offset - this.last.offset)
    }
    if (isStep) this.steps.push({ position, offset, next: this.length })
    this.last = { position, offset }
    this.count++
  }

  /** Seven bits a byte, the lowest first; the last byte has its highest bit set. */
  private write(distance: number): void {
    if (this.length + 8 > this.distances.length) {
      const larger = new Uint8Array(2 * this.distances.length)
      larger.set(this.distances)
      this.distances = larger
    }
    let rest = distance
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.distances[this.length++] = rest % 0x80
    this.distances[this.length++] = rest + 0x80
  }

  /** The marks from the last one on that is not behind a position; none if nothing is stored. */
  *from(position: number): Generator<Mark, void> {
    let low = 0
    let high = this.steps.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.steps[middle]!.position <= position) low = middle + 1
      else high = middle
    }
    let before: Mark | undefined
    for (const mark of this.marksFrom(low - 1)) {
      if (before !== undefined && mark.position > position) yield before
      before = mark
    }
    if (before !== undefined) yield before
  }

  private *marksFrom(step: number): Generator<Mark, void> {
    for (let index = step; index >= 0 && index < this.steps.length; index++) {
      const { next, offset, position } = this.steps[index]!
      const end = this.steps[index + 1]?.next ?? this.length
      let mark: Mark = { position, offset }
      yield mark
      for (let at = next; at < end; ) {
        const rows = this.read(at)
        const bytes = this.read(rows.end)
        mark = { position: mark.position + rows.value, offset: mark.offset + bytes.value }
        at = bytes.end
        yield mark
      }
    }
  }

  private read(start: number): { readonly value: number; readonly end: number } {
    let value = 0
    let unit = 1
    let at = start
    for (; this.distances[at]! < 0x80; at++) {
      value += this.distances[at]! * unit
      unit *= 0x80
    }
    return { value: value + (this.distances[at]! - 0x80) * unit, end: at + 1 }
  }
}

/** Marks inside rows that are written in one piece, `MARK_BYTES` apart. */
export class RowMarks {
  /** How many rows were written, and where the next mark is due. */
  rows = 0
  due = MARK_BYTES
  private readonly places: Array<number> = []

  /** Marks a row, which begins `at` bytes from the first. */
  mark(row: number, at: number): void {
    this.places.push(row, at)
    this.due = at + MARK_BYTES
  }

  forEach(visit: (row: number, at: number) => void): void {
    for (let index = 0; index < this.places.length; index += 2) {
      visit(this.places[index]!, this.places[index + 1]!)
    }
  }
}

/** The marks of every agency. */
export class CsvIndex {
  private readonly agencies = new Map<Agency, AgencyMarks>()
  private last: Agency | undefined
  private lastMarks: AgencyMarks | undefined

  /** Adds rows of one agency that lie next to each other, behind all that were added before. */
  add(agency: Agency, offset: number, count: number, bytes: number, within?: RowMarks): void {
    if (agency !== this.last || this.lastMarks === undefined) {
      this.last = agency
      this.lastMarks = this.of(agency)
      if (this.lastMarks === undefined) {
        this.lastMarks = new AgencyMarks()
        this.agencies.set(agency, this.lastMarks)
      }
    }
    this.lastMarks.add(offset, count, bytes, within)
  }

  of(agency: Agency): AgencyMarks | undefined {
    return this.agencies.get(agency)
  }

  bets(agency: Agency): number {
    return this.agencies.get(agency)?.bets ?? 0
  }

  /** How many bytes of the file are an agency's rows. */
  bytes(agency: Agency): number {
    return this.agencies.get(agency)?.bytes ?? 0
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
