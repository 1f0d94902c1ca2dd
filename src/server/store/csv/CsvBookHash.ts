/**
 * Hashes finished books while `bets.csv` is opened. If a book has the SHA-256 that was recorded
 * when its agency finished, its rows are the ones that were checked then, and need no other check.
 */
import type { Agency } from "../../../domain/Agency.ts"
import { BetBatchBuilder } from "../../../domain/BetBatch.ts"
import * as Row from "../../../domain/BetRow.ts"
import { type BookDigest, MarkedHash } from "../../../domain/seal/MarkedDigest.ts"
import { dataView } from "../../../protocol/BytesCodec.ts"
import { CsvRowReader, LONG_BYTES, lineEndIn, MAX_ROW_BYTES, WORD_BYTES } from "./CsvRow.ts"

/** Bytes of canonical rows per hash update: a call costs as much as hashing several rows. */
const PIECE_BYTES = 4 * 1024
const FIRST_PIECE_BYTES = 1024

/** Computes the digest of a book whose rows are read one by one. */
export class BookHash {
  private readonly hash = new MarkedHash()
  /** Rows that were read in full. */
  private readonly checked = new BetBatchBuilder(0)
  /** Rows that were copied, and room for one more. */
  private copied = new Uint8Array(0)
  private view = dataView(this.copied)
  private length = 0

  add(row: CsvRowReader): void {
    this.flushCopied()
    row.addTo(this.checked)
    if (this.checked.byteLength >= PIECE_BYTES) this.flushChecked()
  }

  /**
   * Adds the canonical part of a row, which begins at `start`, without checking it. Returns the
   * offset after its CR LF. If the first LF is too far away or has no CR, adds nothing and returns
   * -1.
   */
  copy(source: DataView, start: number): number {
    this.flushChecked()
    if (this.length + MAX_ROW_BYTES > this.copied.length) this.makeRoom()
    const { view } = this
    const moved = this.length - start
    // A valid row is longer than this. A shorter one changes the hash, whatever is copied of it.
    view.setBigInt64(start + moved, source.getBigInt64(start))
    view.setBigInt64(start + moved + LONG_BYTES, source.getBigInt64(start + LONG_BYTES))
    const last = start + MAX_ROW_BYTES - WORD_BYTES
    for (let at = start + 2 * LONG_BYTES; at <= last; at += WORD_BYTES) {
      const word = source.getInt32(at, true)
      view.setInt32(at + moved, word, true)
      const more = lineEndIn(word)
      if (more === WORD_BYTES) continue
      const lineEnd = at + more
      if (source.getUint8(lineEnd - 1) !== Row.CR) return -1
      view.setUint8(lineEnd - 1 + moved, Row.LF)
      this.length = lineEnd + moved
      return lineEnd + 1
    }
    return -1
  }

  /** Call it once. */
  digest(): BookDigest {
    this.flushCopied()
    this.flushChecked()
    return this.hash.digest()
  }

  private makeRoom(): void {
    if (this.copied.length >= PIECE_BYTES) {
      this.flushCopied()
      return
    }
    const larger = new Uint8Array(Math.max(2 * this.copied.length, FIRST_PIECE_BYTES))
    larger.set(this.copied)
    this.copied = larger
    this.view = dataView(larger)
  }

  private flushCopied(): void {
    if (this.length === 0) return
    this.hash.update(this.copied.subarray(0, this.length))
    this.length = 0
  }

  private flushChecked(): void {
    if (this.checked.byteLength === 0) return
    this.hash.update(this.checked.bytes)
    this.checked.clear()
  }
}

/** What is known about the book of an agency; a hash if it is finished. */
type Books = Pick<ReadonlyMap<Agency, { readonly hash: BookHash | undefined }>, "get">

/** Reads rows; hashes those of finished books without checking them. */
export class FinishedReader extends CsvRowReader {
  private readonly books: Books
  private hashOf: Agency = 0
  private hash: BookHash | undefined
  private bytes: Uint8Array = new Uint8Array(0)
  private view = dataView(this.bytes)

  /** Whether the last row read is in its hash. */
  isHashed = false

  constructor(books: Books) {
    super()
    this.books = books
  }

  override read(bytes: Uint8Array, start: number, length: number): boolean | undefined {
    const end = this.copy(bytes, start, length)
    this.isHashed = end !== -1
    if (!this.isHashed) return super.read(bytes, start, length)
    this.end = end
    return true
  }

  private copy(bytes: Uint8Array, start: number, length: number): number {
    const at = this.readAgency(bytes, start, length)
    // Rows near the end may be cut.
    if (at === -1 || at + MAX_ROW_BYTES > length) return -1
    if (this.agency !== this.hashOf) {
      this.hashOf = this.agency
      this.hash = this.books.get(this.agency)?.hash
    }
    if (this.hash === undefined) return -1
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = dataView(bytes)
    }
    return this.hash.copy(this.view, at)
  }
}
