/**
 * An in-memory index of `bets.csv`: each agency has one mark per few KiB of the file in which it
 * has bets. A mark takes 12 bytes. A bet far from the agency's other bets has its own mark.
 */
import type { Agency } from "../../../domain/Agency.ts"
import { BookHash } from "./CsvBookHash.ts"
import { MARK_BYTES, type Mark } from "./CsvRow.ts"

const FIRST_MARKS = 2
const GROWTH = 1.25
/** Each offset is stored as two halves of 32 bits. */
const HALF = 2 ** 32

/** The marks of an agency, in file order. */
export class AgencyMarks {
  bets = 0
  /** Bytes of the agency's rows in the file. */
  bytes = 0
  /** Present while the book still has to be checked. */
  hash: BookHash | undefined
  /**
   * Three numbers per mark: its position, and the upper and lower half of its offset. For a million
   * bets with a mark each, this takes 13 MB, and plain arrays of numbers 21 MB.
   */
  private numbers = new Uint32Array(3 * FIRST_MARKS)
  private count = 0
  private lastOffset = Number.NEGATIVE_INFINITY

  add(offset: number, count: number, bytes: number, within: ReadonlyArray<Mark>): void {
    if (offset - this.lastOffset >= MARK_BYTES) this.mark(this.bets, offset)
    for (const mark of within) this.mark(this.bets + mark.position, offset + mark.offset)
    this.bets += count
    this.bytes += bytes
  }

  private mark(position: number, offset: number): void {
    const at = 3 * this.count++
    if (at === this.numbers.length) {
      const grown = new Uint32Array(3 * Math.ceil(this.count * GROWTH))
      grown.set(this.numbers)
      this.numbers = grown
    }
    this.numbers[at] = position
    this.numbers[at + 1] = offset / HALF
    this.numbers[at + 2] = offset % HALF
    this.lastOffset = offset
  }

  at(index: number): Mark | undefined {
    if (index >= this.count) return undefined
    const [position, upper, lower] = this.numbers.subarray(3 * index)
    return { position: position!, offset: upper! * HALF + lower! }
  }

  /** Returns the index of the last mark at or before a position; 0 if there is none. */
  before(position: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.numbers[3 * middle]! <= position) low = middle + 1
      else high = middle
    }
    return Math.max(low - 1, 0)
  }
}

const NONE: ReadonlyArray<Mark> = []

export class CsvIndex extends Map<Agency, AgencyMarks> {
  private last: Agency | undefined
  private lastMarks = new AgencyMarks()

  /** Rows of the `hashed` agencies can be hashed while they are read. */
  constructor(hashed: Iterable<Agency> = []) {
    super()
    for (const agency of hashed) this.ofNew(agency).hash = new BookHash()
  }

  /**
   * Adds adjacent rows of one agency, after all rows added before. `within` has marks inside them,
   * relative to the first row. Returns the agency's marks.
   */
  add(agency: Agency, offset: number, count: number, bytes: number, within = NONE): AgencyMarks {
    if (agency !== this.last) {
      this.last = agency
      this.lastMarks = this.get(agency) ?? this.ofNew(agency)
    }
    this.lastMarks.add(offset, count, bytes, within)
    return this.lastMarks
  }

  private ofNew(agency: Agency): AgencyMarks {
    const marks = new AgencyMarks()
    this.set(agency, marks)
    return marks
  }

  bets(agency: Agency): number {
    return this.get(agency)?.bets ?? 0
  }

  get totalBets(): number {
    return [...this.values()].reduce((total, { bets }) => total + bets, 0)
  }
}
