/**
 * Goal: the entries of a seal have one encoding, and the line of whatever is written otherwise is
 * named. Method: the published entries, and each rule of the format broken once.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { leafHash } from "../../../src/domain/seal/MerkleTree.ts"
import { CHAIN } from "../../../src/domain/seal/Quicknet.ts"
import {
  bookEntry,
  entriesOf,
  isBook,
  parseBookEntry,
  parseEntries,
  parseFirstEntry
} from "../../../src/domain/seal/Seal.ts"
import { vector } from "../../support/SealVectors.ts"

const published = (file: string): string => {
  const text = vector(file)
  return text.slice(0, text.indexOf("\n\n") + 1)
}
const entries = published("default.seal")
const [FIRST = "", BOOK_1 = "", BOOK_2 = "", MARK_1 = "", MARK_2 = "", BOOK_7 = ""] =
  entries.split(/(?<=\n)/)
const NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const failureOf = (text: string): string | undefined =>
  Result.match(parseEntries(text), { onFailure: (problem) => problem, onSuccess: () => undefined })

describe("entries", () => {
  it.each(["default.seal", "excluded.seal"])("of %s are decoded and encoded again", (file) => {
    const seal = Result.getOrThrow(parseEntries(published(file)))
    expect(entriesOf(seal).join("")).toBe(published(file))
  })

  it("have the published leaf hashes", () => {
    const seal = Result.getOrThrow(parseEntries(entries))
    expect(entriesOf(seal).map((entry) => Buffer.from(leafHash(entry)).toString("hex"))).toEqual([
      "20af0ece984889db33688d6a646a8e09de566ca097e399d783ddae4b4f17c629",
      "56c0b42a680621308fc37dfe80bc8d61b4226241a7c490d8baa3708537b6cbb4",
      "4d8caeea918227bd2da8d247543cc244d4ea38edfdd4201339fcd38732138cc3",
      "89f19d6c6833078e30c0941c654bdb5e0a480f051a3a0bab554f0402a3818a62",
      "0153603a00886d253089810fb1c866402e5673c136bb8f4ac1287034426a8a44",
      "cff715a634ce619654936edfa9cd599521a7f81d59ad3d6dd777288dcadb37c1"
    ])
  })

  it("say what the seal says", () => {
    const seal = Result.getOrThrow(parseEntries(entries))
    expect(seal).toMatchObject({
      draw: "default",
      sealedAt: 1_692_806_304,
      source: { _tag: "drand", round: 1000 }
    })
    expect(seal.agencies.map((of) => [of.agency, isBook(of) && of.bets])).toEqual([
      [1, 1],
      [2, 0],
      [7, 5_000]
    ])
    const excluded = Result.getOrThrow(parseEntries(published("excluded.seal")))
    expect(excluded.agencies.map(isBook)).toEqual([true, false, true])
  })

  const first = (fields: string) => `lottery-seal/v1 ${fields}\n`
  const agency1 = (fields: string) => `${first("a 1 0 1 announced")}${fields}\n`
  const salt = "0".repeat(32)

  it.each([
    ["nothing", "", "expected LF after the last line"],
    ["no LF at the end", entries.slice(0, -1), "expected LF after the last line"],
    ["an empty line", `${entries}\n`, 'line 7: expected a mark, book or excluded entry, got ""'],
    ["CRLF", entries.replaceAll("\n", "\r\n"), /^line 1: SOURCE: ROUND: .*, got "1000\\r"$/],
    ["another version", entries.replace("/v1", "/v2"), /^line 1: expected "lottery-seal\/v1 DRAW/],
    ["an unknown chain", entries.replace(CHAIN, NOTHING), /^line 1: SOURCE: expected drand\//],
    ["no draw", first(" 0 0 1 announced"), /^line 1: DRAW: expected 1 to 64 .*, got ""$/],
    ["a long draw", first(`${"a".repeat(65)} 0 0 1 announced`), /^line 1: DRAW: /],
    ["a draw with a slash", first("a/b 0 0 1 announced"), /^line 1: DRAW: .*, got "a\/b"$/],
    ["a field less", first("a 0 0 1"), /^line 1: expected "lottery-seal\/v1 DRAW AGENCIES BETS/],
    ["a field more", first("a 0 0 1 announced x"), /^line 1: expected "lottery-seal\/v1 DRAW/],
    ["two spaces", entries.replace("book 7 ", "book 7  "), /^line 6: expected "book AGENCY BETS/],
    ["a space more", entries.replace(/\n$/, " \n"), /^line 6: expected "book AGENCY BETS/],
    ["a time too large", first("a 0 0 9007199254740992 announced"), /^line 1: SEALED-AT: /],
    ["a leading zero", entries.replace("book 2 0", "book 2 00"), /^line 3: BETS: .*, got "00"$/],
    ["a sign", entries.replace("book 2 0", "book 2 -0"), /^line 3: BETS: .*, got "-0"$/],
    ["an upper-case hash", entries.replace("864e37a3", "864E37A3"), /^line 2: SHA256: expected 64/],
    ["a short hash", agency1(`book 1 0 0 ${NOTHING.slice(1)} ${salt}`), /^line 2: SHA256: /],
    ["an upper-case salt", agency1(`book 1 0 0 ${NOTHING} ${"A".repeat(32)}`), /^line 2: SALT: /],
    ["agency 0", agency1(`book 0 0 0 ${NOTHING} ${salt}`), /^line 2: AGENCY: .* from 1 to 2147483/],
    ["an agency too large", agency1("excluded 2147483648"), /^line 2: AGENCY: /],
    [
      "a book missing",
      entries.replace(BOOK_2, ""),
      "line 1: AGENCIES: expected 2, the agencies that follow, got 3"
    ],
    [
      "a book twice",
      entries.replace(BOOK_2, BOOK_2 + BOOK_2),
      /^line 4: expected an agency after 2/
    ],
    [
      "a book of another agency twice",
      entries.replace(BOOK_2, BOOK_1),
      "line 3: expected an agency after 1, got 1"
    ],
    [
      "books exchanged",
      entries.replace(BOOK_1 + BOOK_2, BOOK_2 + BOOK_1),
      "line 3: expected an agency after 2, got 1"
    ],
    [
      "an agency excluded too",
      `${entries}excluded 7\n`,
      /^line 7: expected an agency after 7, got 7/
    ],
    [
      "another sum of bets",
      entries.replace(" 5001 ", " 5000 "),
      /^line 1: BETS: expected 5001, the/
    ],
    ["another sum of agencies", entries.replace(" 3 ", " 4 "), /^line 1: AGENCIES: expected 3, /],
    [
      "the first mark missing",
      entries.replace(MARK_1, ""),
      /^line 4: expected the mark at 65536 by/
    ],
    [
      "the last mark missing",
      entries.replace(MARK_2, ""),
      /^line 5: expected 2 marks before a book/
    ],
    [
      "all marks missing",
      entries.replace(MARK_1 + MARK_2, ""),
      /^line 4: expected 2 marks before a/
    ],
    [
      "a mark twice",
      entries.replace(MARK_2, MARK_1),
      /^line 5: expected the mark at 131072 bytes, g/
    ],
    [
      "marks exchanged",
      entries.replace(MARK_1 + MARK_2, MARK_2 + MARK_1),
      "line 4: expected the mark at 65536 bytes, got 131072"
    ],
    [
      "a mark too many",
      entries.replace(MARK_2, MARK_2 + MARK_2.replace("131072", "196608")),
      "line 7: expected 2 marks before a book of 158335 bytes, got 3"
    ],
    [
      "a mark of another agency",
      entries.replace(MARK_2, MARK_2.replace("mark 7", "mark 8")),
      "line 5: expected a mark or the book of agency 7, got a mark of 8"
    ],
    [
      "marks of an earlier agency",
      entries.replace(MARK_1, MARK_1.replace("mark 7", "mark 2")),
      "line 4: expected an agency after 2, got 2"
    ],
    [
      "marks without a book",
      entries.replace(BOOK_7, ""),
      "line 6: expected the book of agency 7 after its marks"
    ],
    [
      "marks before another book",
      entries.replace(BOOK_7, BOOK_7.replace("book 7", "book 8")),
      "line 6: expected the book of agency 7 after its marks"
    ],
    [
      "marks of an excluded agency",
      entries.replace(BOOK_7, "excluded 7\n"),
      "line 6: expected the book of agency 7 after its marks"
    ],
    ["an unknown entry", `${entries}note 8\n`, /^line 7: expected a mark, book or excluded entry/],
    ["the first entry twice", FIRST + entries, /^line 2: expected a mark, book or excluded entry/],
    ["more bets than a number holds", tooManyBets(), /^line 1: BETS: expected 9007199254740992, /]
  ])("with %s are refused", (_, text, problem) => {
    expect(text).not.toBe(entries)
    expect(failureOf(text)).toMatch(problem)
  })

  function tooManyBets(): string {
    const most = 2 ** 53 - 1
    const book = (agency: number, bets: number) => `book ${agency} ${bets} 0 ${NOTHING} ${salt}\n`
    return `${first(`a 2 ${most} 1 announced`)}${book(1, most)}${book(2, 1)}`
  }
})

describe("one entry", () => {
  it("of a book is decoded without its marks, and encoded again", () => {
    const book = Result.getOrThrow(parseBookEntry(BOOK_7))
    expect(book).toEqual({
      agency: 7,
      bets: 5_000,
      bytes: 158_335,
      sha256: "3e9f1c9d5c5d9507d365a4bf954de005b635e7623563946127da8dafb2fd0837",
      salt: "07".repeat(16)
    })
    expect(bookEntry(book)).toBe(BOOK_7)
  })

  it("that is first is decoded", () => {
    expect(parseFirstEntry(FIRST)).toEqual(
      Result.succeed({
        draw: "default",
        agencies: 3,
        bets: 5_001,
        sealedAt: 1_692_806_304,
        source: { _tag: "drand", round: 1000 }
      })
    )
  })

  it.each([
    ["no LF", BOOK_7.slice(0, -1), "expected LF after the last line"],
    ["another line", BOOK_7 + BOOK_7, "expected one line, got 2"],
    ["another kind", MARK_1, /^expected "book AGENCY BETS BYTES SHA256 SALT", got "mark 7/],
    ["nothing", "\n", /^expected "book AGENCY BETS BYTES SHA256 SALT", got ""$/]
  ])("with %s is refused", (_, entry, problem) => {
    expect(parseBookEntry(entry)).toMatchObject({ failure: expect.stringMatching(problem) })
    expect(Result.isFailure(parseFirstEntry(entry))).toBe(true)
  })
})
