/** The SHA-256 of agencies' books, taken while all rows of `bets.csv` are read in their order. */
import { createHash } from "node:crypto"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatchBuilder } from "../../../domain/BetBatch.ts"
import type { CsvRowReader } from "./CsvRow.ts"

/** Canonical rows of an agency that are hashed at once: to begin costs as much as some rows. */
const PIECE_BYTES = 4 * 1024

/** A hash, and the rows that it does not cover yet. */
class BookHash {
  readonly rows = new BetBatchBuilder(1024)
  private readonly hash = createHash("sha256")

  flush() {
    this.hash.update(this.rows.bytes)
    this.rows.clear()
    return this.hash
  }
}

export class CsvBookHashes {
  private readonly books: ReadonlyMap<Agency, BookHash>
  private lastAgency: Agency | undefined
  private last: BookHash | undefined

  /** Only the books of these agencies are hashed. */
  constructor(agencies: Iterable<Agency>) {
    this.books = new Map(Array.from(agencies, (agency) => [agency, new BookHash()]))
  }

  /** Adds the row that was just read. */
  add(row: CsvRowReader): void {
    if (row.agency !== this.lastAgency) {
      this.lastAgency = row.agency
      this.last = this.books.get(row.agency)
    }
    if (this.last === undefined) return
    row.addTo(this.last.rows)
    if (this.last.rows.byteLength >= PIECE_BYTES) this.last.flush()
  }

  /** The SHA-256 of an agency's rows, as 64 hex digits. Can be asked for once. */
  digest(agency: Agency): string {
    return this.books.get(agency)!.flush().digest("hex")
  }
}
