/**
 * Where in `bets.csv` an agency's bets are: an index in memory, with a mark for every few KiB of the
 * file in which the agency has bets. A mark takes 16 bytes; a bet that lies alone among those of
 * other agencies costs one.
 */
import type { Agency } from "../../../domain/Agency.ts"

/** A row is found from a mark that is less than twice as many bytes before it. */
export const MARK_BYTES = 4 * 1024

/** A place from which an agency's rows can be read. */
export interface Mark {
  /** The position in the agency's book of the row that begins there. */
  readonly position: number
  readonly offset: number
}

/** The marks of an agency, in order. */
export class AgencyMarks {
  bets = 0
  /** How many bytes of the file the agency's rows take. */
  bytes = 0
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

  /**
   * Adds rows of one agency that lie next to each other, behind all that were added before. `within`
   * marks some of them, counted from the first.
   */
  add(agency: Agency, offset: number, count: number, bytes: number, within = NONE): void {
    if (agency !== this.last) {
      const known = this.agencies.get(agency)
      this.last = agency
      this.lastMarks = known ?? new AgencyMarks()
      if (known === undefined) this.agencies.set(agency, this.lastMarks)
    }
    this.lastMarks.add(offset, count, bytes, within)
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
