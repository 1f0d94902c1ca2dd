/**
 * The SHA-256 of agencies' books, taken while the rows of all of them are read as they lie in
 * `bets.csv`.
 */
import { createHash, type Hash } from "node:crypto"
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatchBuilder } from "../../../domain/BetBatch.ts"
import type { CsvRowReader } from "./CsvRow.ts"

/** Canonical rows of an agency that are hashed at once: to begin costs as much as some rows. */
const PIECE_BYTES = 4 * 1024

interface Book {
  readonly hash: Hash
  readonly rows: BetBatchBuilder
}

const flush = ({ hash, rows }: Book): void => {
  hash.update(rows.bytes)
  rows.clear()
}

export class CsvBookHashes {
  private readonly books: ReadonlyMap<Agency, Book>
  private lastAgency: Agency | undefined
  private last: Book | undefined

  /** Only of these agencies. */
  constructor(agencies: Iterable<Agency>) {
    const make = (): Book => ({ hash: createHash("sha256"), rows: new BetBatchBuilder(1024) })
    this.books = new Map(Array.from(agencies, (agency) => [agency, make()]))
  }

  /** Adds the row that was just read. */
  add(row: CsvRowReader): void {
    if (row.agency !== this.lastAgency) {
      this.lastAgency = row.agency
      this.last = this.books.get(row.agency)
    }
    if (this.last === undefined) return
    row.addTo(this.last.rows)
    if (this.last.rows.byteLength >= PIECE_BYTES) flush(this.last)
  }

  /** The SHA-256 of an agency's rows, as 64 hex digits; there is only one. */
  digest(agency: Agency): string {
    const book = this.books.get(agency)!
    flush(book)
    return book.hash.digest("hex")
  }
}
