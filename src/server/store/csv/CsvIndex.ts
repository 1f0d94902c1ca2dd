/**
 * Where in `bets.csv` an agency's bets are: an index in memory, with a mark for every few KiB of
 * the file in which the agency has bets. A mark takes 12 bytes. A bet that lies alone among those
 * of other agencies has its own mark.
 */
import { createHash } from "node:crypto"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatchBuilder } from "../../../domain/BetBatch.ts"
import { type CsvRowReader, MARK_BYTES, type Mark } from "./CsvRow.ts"

/** Canonical rows that are hashed at once: to begin costs as much as some rows. */
const PIECE_BYTES = 4 * 1024

/** The SHA-256 of a book whose rows are read one by one. */
class BookHash {
  private readonly hash = createHash("sha256")
  private readonly rows = new BetBatchBuilder(1024)

  /** Adds the row that was just read. */
  add(row: CsvRowReader): void {
    row.addTo(this.rows)
    if (this.rows.byteLength < PIECE_BYTES) return
    this.hash.update(this.rows.bytes)
    this.rows.clear()
  }

  /** Gives 64 hex digits; once. */
  digest(): string {
    return this.hash.update(this.rows.bytes).digest("hex")
  }
}

/** Marks of an agency that have room at first, and how much more room there is each time. */
const FIRST_MARKS = 2
const GROWTH = 1.25
/** Offsets are halved into 32 bits each. */
const HALF = 2 ** 32

/** The marks of an agency, in order. */
export class AgencyMarks {
  bets = 0
  /** How many bytes of the file the agency's rows take. */
  bytes = 0
  /** Of the rows, if the book is to be checked. */
  hash: BookHash | undefined
  /**
   * Three numbers a mark: its position, and the upper and the lower half of its offset. Of a
   * million bets that all have their own mark they take 13 MB, arrays of numbers 21 MB.
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

  /** A mark by its number, from 0 on. */
  at(index: number): Mark | undefined {
    if (index >= this.count) return undefined
    const [position, upper, lower] = this.numbers.subarray(3 * index)
    return { position: position!, offset: upper! * HALF + lower! }
  }

  /** The number of the last mark that is not behind a position; 0 if there is none. */
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

/** The marks of every agency. */
export class CsvIndex extends Map<Agency, AgencyMarks> {
  private last: Agency | undefined
  private lastMarks = new AgencyMarks()

  /** Rows that are read can be hashed too, of these agencies. */
  constructor(hashed: Iterable<Agency> = []) {
    super()
    for (const agency of hashed) this.ofNew(agency).hash = new BookHash()
  }

  /**
   * Adds rows of one agency that lie next to each other, behind all that were added before.
   * `within` marks some of them, counted from the first. Gives the agency's marks.
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

  /** The bets of all agencies. */
  get total(): number {
    return [...this.values()].reduce((total, { bets }) => total + bets, 0)
  }
}
