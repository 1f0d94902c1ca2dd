import { createHash } from "node:crypto"
import type { BetBatch } from "../../src/domain/BetBatch.ts"
import { type BookDigest, MARK_BYTES } from "../../src/domain/seal/MarkedDigest.ts"

/** The digest of a book of these batches, which marks it as finished in a store. */
export const whole = (...batches: ReadonlyArray<BetBatch>): BookDigest => {
  const book = Buffer.concat(batches.map(({ bytes }) => bytes))
  const hash = createHash("sha256")
  const marks: Array<Buffer> = []
  let marked = 0
  for (let end = MARK_BYTES; end <= book.length; end += MARK_BYTES) {
    hash.update(book.subarray(marked, end))
    marks.push(hash.copy().digest())
    marked = end
  }
  hash.update(book.subarray(marked))
  const sha256 = hash.digest("hex")
  return { bytes: book.length, sha256, marks: new Uint8Array(Buffer.concat(marks)) }
}
