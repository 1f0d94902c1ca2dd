/**
 * Goal: a book's digest does not depend on how its bytes come. Method: random books in random
 * pieces, some of which are copied on the way, against hashes of whole prefixes.
 */
import { createHash } from "node:crypto"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { MARK_BYTES, MarkedHash, marksOf } from "../../../src/domain/seal/MarkedDigest.ts"
import { propertyRuns } from "../../support/propertyRuns.ts"

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

// Enough for the marks to outgrow their first room.
const bytes = Buffer.alloc(20 * MARK_BYTES, "Ana,Pérez,30904465,1999-03-17,7574\n")

const nearMark = fc
  .tuple(fc.integer({ min: 1, max: 18 }), fc.integer({ min: -2, max: 2 }))
  .map(([marks, offset]) => marks * MARK_BYTES + offset)
const place = fc.oneof(fc.nat(bytes.length), nearMark)

describe("the digest", () => {
  it("is the same for any pieces of a book", () => {
    fc.assert(
      fc.property(place, fc.array(place), fc.nat(20), (length, cuts, copyAt) => {
        const book = bytes.subarray(0, length)
        const ends = [...cuts.filter((cut) => cut < length), length].sort((a, b) => a - b)
        let hash = new MarkedHash()
        let start = 0
        for (const [index, end] of ends.entries()) {
          if (index === copyAt) hash = hash.copy()
          hash.update(book.subarray(start, end))
          start = end
        }
        const digest = hash.digest()
        expect(digest.bytes).toBe(length)
        expect(digest.sha256).toBe(sha256(book))
        const marks = Math.floor(length / MARK_BYTES)
        expect(marksOf(digest)).toEqual(
          Array.from({ length: marks }, (_, k) => sha256(book.subarray(0, (k + 1) * MARK_BYTES)))
        )
      }),
      propertyRuns(100)
    )
  })
})
