/**
 * Where in `bets.csv` an agency's bets are: an index in memory, with a mark for every few KiB of
 * the file in which the agency has bets. A mark takes 16 bytes. A bet that lies alone among those
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

/** The marks of an agency, in order. */
export class AgencyMarks {
  bets = 0
  /** How many bytes of the file the agency's rows take. */
  bytes = 0
  /** Of the rows, if the book is to be checked. */
  hash: BookHash | undefined
  private readonly positions: Array<number> = []
  private readonly offsets: Array<number> = []
  private lastOffset = Number.NEGATIVE_INFINITY

  add(offset: number, count: number, bytes: number, within: ReadonlyArray<Mark>): void {
    if (offset - this.lastOffset >= MARK_BYTES) this.mark(this.bets, offset)
    for (const mark of within) this.mark(this.bets + mark.position, offset + mark.offset)
    this.bets += count
    this.bytes += bytes
  }

  private mark(position: number, offset: number): void {
    this.positions.push(position)
    this.offsets.push(offset)
    this.lastOffset = offset
  }

  /** The marks from the last one on that is not behind a position; none if nothing is stored. */
  *from(position: number): Generator<Mark, void> {
    let low = 0
    let high = this.positions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.positions[middle]! <= position) low = middle + 1
      else high = middle
    }
    for (let index = Math.max(low - 1, 0); index < this.positions.length; index++) {
      yield { position: this.positions[index]!, offset: this.offsets[index]! }
    }
  }
}

const NONE: ReadonlyArray<Mark> = []

/** The marks of every agency. */
export class CsvIndex {
  private readonly agencies = new Map<Agency, AgencyMarks>()
  private last: Agency | undefined
  private lastMarks = new AgencyMarks()

  /** Rows that are read can be hashed too, of these agencies. */
  constructor(hashed: Iterable<Agency> = []) {
    for (const agency of hashed) this.ofNew(agency).hash = new BookHash()
  }

  /**
   * Adds rows of one agency that lie next to each other, behind all that were added before.
   * `within` marks some of them, counted from the first. Gives the agency's marks.
   */
  add(agency: Agency, offset: number, count: number, bytes: number, within = NONE): AgencyMarks {
    if (agency !== this.last) {
      this.last = agency
      this.lastMarks = this.agencies.get(agency) ?? this.ofNew(agency)
    }
    this.lastMarks.add(offset, count, bytes, within)
    return this.lastMarks
  }

  private ofNew(agency: Agency): AgencyMarks {
    const marks = new AgencyMarks()
    this.agencies.set(agency, marks)
    return marks
  }

  of(agency: Agency): AgencyMarks | undefined {
    return this.agencies.get(agency)
  }

  bets(agency: Agency): number {
    return this.agencies.get(agency)?.bets ?? 0
  }

  /** The bets of all agencies. */
  get total(): number {
    return [...this.agencies.values()].reduce((total, { bets }) => total + bets, 0)
  }

  keys(): IterableIterator<Agency> {
    return this.agencies.keys()
  }
}
