/** The digest of a book: its SHA-256, and the marks, which show where a forged book differs. */
import { createHash, type Hash } from "node:crypto"

/** Bytes of a book from one mark to the next. */
export const MARK_BYTES = 65_536

const HASH_BYTES = 32

/** Room for the marks of the first megabyte; it doubles as needed. */
const FIRST_MARKS = 16

/** Shared by all books below `MARK_BYTES`: 10,000 small books would take 9 MB more. */
const NO_MARKS = new Uint8Array(0)

/** What names a book, and is stored once it is finished. */
export interface BookDigest {
  readonly bytes: number
  /** The SHA-256 of all canonical rows, as 64 lowercase hex digits. */
  readonly sha256: string
  /** The SHA-256 of the first `MARK_BYTES` × k bytes for each whole k: 32 bytes each. */
  readonly marks: Uint8Array
}

/** The length in bytes of the marks of a book, given the length of the book in bytes. */
export const marksLength = (bytes: number): number => Math.floor(bytes / MARK_BYTES) * HASH_BYTES

/** The marks of a digest as hex digits, in order. */
export const marksOf = ({ marks }: Pick<BookDigest, "marks">): ReadonlyArray<string> => {
  const digits = 2 * HASH_BYTES
  const text = Buffer.from(marks).toString("hex")
  return Array.from({ length: text.length / digits }, (_, index) =>
    text.slice(index * digits, (index + 1) * digits)
  )
}

/** A range of bytes of a book; `to` is the first byte after it. */
export interface ByteRange {
  readonly from: number
  readonly to: number
}

/** Returns the first piece from one mark to the next in which two books differ. */
export const firstDifference = (one: BookDigest, other: BookDigest): ByteRange | undefined => {
  if (one.sha256 === other.sha256) return undefined
  const others = marksOf(other)
  const marks = marksOf(one)
  const differs = marks.findIndex((mark, index) => mark !== others[index])
  const from = MARK_BYTES * (differs === -1 ? marks.length : differs)
  return { from, to: Math.min(from + MARK_BYTES, Math.max(one.bytes, other.bytes)) }
}

const copied = (marks: Uint8Array<ArrayBuffer>) => (marks.length === 0 ? NO_MARKS : marks.slice())

/** A running digest of a book, which does not depend on how its bytes are split into updates. */
export class MarkedHash {
  private readonly hash: Hash
  private bytes = 0
  /** The marks so far, and free space after them. */
  private marks = NO_MARKS

  constructor(from: Hash = createHash("sha256")) {
    this.hash = from
  }

  update(bytes: Uint8Array): void {
    let start = 0
    let end = MARK_BYTES - (this.bytes % MARK_BYTES)
    for (; end <= bytes.length; end += MARK_BYTES) {
      this.hash.update(bytes.subarray(start, end))
      this.bytes += end - start
      this.mark()
      start = end
    }
    // The usual update lies between two marks, and needs no view.
    this.hash.update(start === 0 ? bytes : bytes.subarray(start))
    this.bytes += bytes.length - start
  }

  copy(): MarkedHash {
    const copy = new MarkedHash(this.hash.copy())
    copy.bytes = this.bytes
    copy.marks = copied(this.marks)
    return copy
  }

  /** The digest so far; more can be added afterwards. */
  digest(): BookDigest {
    return {
      bytes: this.bytes,
      sha256: this.hash.copy().digest("hex"),
      marks: copied(this.marks.subarray(0, marksLength(this.bytes)))
    }
  }

  private mark(): void {
    const at = (this.bytes / MARK_BYTES - 1) * HASH_BYTES
    if (at === this.marks.length) {
      const larger = new Uint8Array(Math.max(FIRST_MARKS * HASH_BYTES, 2 * at))
      larger.set(this.marks)
      this.marks = larger
    }
    this.marks.set(this.hash.copy().digest(), at)
  }
}
