/** Goal: the digest of a book has its hash and its marks. Method: the published books. */
import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { MARK_BYTES, MarkedHash, marksOf } from "../../../src/domain/seal/MarkedDigest.ts"
import { book7, vectorBytes } from "../../support/SealVectors.ts"

const digestOf = (book: Uint8Array) => {
  const hash = new MarkedHash()
  hash.update(book)
  return hash.digest()
}

describe("the digest", () => {
  it("of book 1 has no marks", () => {
    const digest = digestOf(vectorBytes("book-1"))
    expect(digest.bytes).toBe(36)
    expect(digest.sha256).toBe("864e37a3097c330dd03452c460101922812939b897dc6a36dc6e4536d808bc32")
    expect(marksOf(digest)).toEqual([])
  })

  it("of an empty book is that of no bytes", () => {
    expect(new MarkedHash().digest()).toEqual({
      bytes: 0,
      sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      marks: new Uint8Array()
    })
    expect(digestOf(vectorBytes("book-2"))).toEqual(new MarkedHash().digest())
  })

  it("of book 7 has two marks", () => {
    const digest = digestOf(book7)
    expect(digest.bytes).toBe(158_335)
    expect(digest.sha256).toBe("3e9f1c9d5c5d9507d365a4bf954de005b635e7623563946127da8dafb2fd0837")
    expect(marksOf(digest)).toEqual([
      "b1c7f78538731ab5d2a4ce352e5c1d111cbc889d774a6026a355eb3e0f5bab21",
      "fbe20d9763a5df6b46eaac90a88f5c3f260e25be6994a01aed913ba0c9b12427"
    ])
  })

  it("of a book that ends at a mark has it", () => {
    const book = book7.subarray(0, MARK_BYTES)
    expect(marksOf(digestOf(book))).toEqual([createHash("sha256").update(book).digest("hex")])
    expect(marksOf(digestOf(book.subarray(1)))).toEqual([])
  })

  it("can be taken at any time, and of a copy that goes on by itself", () => {
    const hash = new MarkedHash()
    hash.update(book7.subarray(0, 100_000))
    const copy = hash.copy()
    copy.update(book7.subarray(0, 100_000))
    expect(hash.digest()).toEqual(digestOf(book7.subarray(0, 100_000)))
    hash.update(book7.subarray(100_000))
    expect(hash.digest()).toEqual(digestOf(book7))
    const twice = Buffer.concat([book7.subarray(0, 100_000), book7.subarray(0, 100_000)])
    expect(copy.digest()).toEqual(digestOf(twice))
  })
})
