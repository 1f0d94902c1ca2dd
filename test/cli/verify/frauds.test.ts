/**
 * Goal: every fraud of the design is named, with its place and cause, and nothing else is; what
 * files cannot show is said. Method: draws that the operator's own key signs, honest except for one
 * fraud, or several, verified from real files.
 */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { isBook, type SealedBook } from "../../../src/domain/seal/Seal.ts"
import { type DrawResult, signResult } from "../../../src/protocol/notes/DrawResult.ts"
import { type Receipt, signReceipt } from "../../../src/protocol/notes/Receipt.ts"
import { proveEntry } from "../../../src/protocol/notes/TlogProof.ts"
import { operatorKey, ROUNDS, vector, vectorBytes } from "../../support/SealVectors.ts"
import * as Sealed from "../../support/sealed/SealedDraw.ts"
import { type FilesGiven, verifyFiles } from "../../support/sealed/verifyFiles.ts"

const { ROUND_TIME, rowOf } = Sealed
const [, ROUND, NEXT_ROUND] = ROUNDS
const NUMBER = ROUND.numbers.default

/** Two pieces and a rest, and a book of another agency. */
const ROWS = Sealed.rowsOf(4500)
const OTHER_ROWS = Sealed.rowsOf(3, 9000)
const BOOK = Sealed.bookOf(3, ROWS)
const OTHER_BOOK = Sealed.bookOf(5, OTHER_ROWS)
const BOOKS = [BOOK, OTHER_BOOK] as const
const HONEST = Sealed.signed(Sealed.sealOf(BOOKS), ROUND_TIME - 20)

const beacon = vectorBytes("round-1000.json")

const receiptOf = (book: SealedBook, more: Partial<Receipt> = {}): string => {
  const { agency, bets, sha256 } = book
  const source = { _tag: "drand", at: { round: 1000 } } as const
  return signReceipt({ draw: "default", agency, bets, sha256, source, ...more }, operatorKey)
}

const resultOf = (more: Partial<DrawResult> = {}): string =>
  signResult(
    {
      draw: "default",
      number: NUMBER,
      root: HONEST.root,
      beacon: { round: 1000, signature: ROUND.signature },
      winners: [
        { agency: 3, count: 0 },
        { agency: 5, count: 0 }
      ],
      ...more
    },
    operatorKey
  )

const honest: FilesGiven = {
  seal: HONEST.file,
  witness: true,
  beacons: { beacon },
  results: { result: resultOf() },
  receipts: { "receipt-3": receiptOf(BOOK), "receipt-5": receiptOf(OTHER_BOOK) },
  books: { 3: ROWS.join(""), 5: OTHER_ROWS.join("") }
}

/** The failed lines of a draw that is honest except for `more`. */
const failed = (more: Partial<FilesGiven>) =>
  Effect.map(verifyFiles({ ...honest, ...more }), (found) => {
    expect(found.report.fits).toBe(found.failed.length === 0)
    return found.failed
  })

/** What a given book of agency 3 is found to be, without the line with the digests. */
const forgeries = (rows: ReadonlyArray<string>, more: Partial<FilesGiven> = {}) =>
  Effect.map(failed({ books: { 3: rows.join("") }, ...more }), ([first, ...others]) => {
    expect(first).toMatch(/^forged: book 3: book-3 is not the sealed book: /)
    return others
  })

const without = (rows: ReadonlyArray<string>, index: number) => rows.toSpliced(index, 1)
const numbered = (rows: ReadonlyArray<string>, index: number, number = NUMBER) =>
  rows.with(index, rowOf(index, number))
const quoted = (row: string) => JSON.stringify(row.trimEnd())

it.effect("an honest draw fits, and nothing about it is open", () =>
  Effect.gen(function* () {
    const { lines, report } = yield* verifyFiles(honest)
    expect(report.fits).toBe(true)
    expect(lines.at(-1)).toBe("verdict: everything that was given fits")
  })
)

describe("a book", () => {
  it.effect("with a winner put in after the draw", () =>
    Effect.gen(function* () {
      const row = rowOf(77, NUMBER)
      expect(yield* forgeries(ROWS.toSpliced(2500, 0, row))).toEqual([
        `forged: book 3: bet 2501 of book-3, in the sealed bytes 65536 to 131072: ` +
          `a winner was put in: ${quoted(row)} was not sealed`
      ])
    })
  )

  it.effect("with several winners put in, next to each other, far apart and at the end", () =>
    Effect.gen(function* () {
      const row = rowOf(77, NUMBER)
      const forged = ROWS.toSpliced(4500, 0, row).toSpliced(2500, 0, row, row).toSpliced(0, 0, row)
      const found = yield* forgeries(forged)
      expect(found).toHaveLength(4)
      for (const [index, bet] of [1, 2502, 2503].entries()) {
        expect(found[index]).toContain(`bet ${bet} of book-3`)
        expect(found[index]).toContain("a winner was put in")
      }
      expect(found[3]).toBe(
        `forged: book 3: book-3 goes on after the end of the sealed book, at bet 4504: ` +
          `${row.length + 1} bytes with 1 winner, the first is ${quoted(row)}`
      )
    })
  )

  it.effect("with a number changed", () =>
    Effect.gen(function* () {
      expect(yield* forgeries(numbered(ROWS, 2600))).toEqual([
        `forged: book 3: bet 2601 of book-3, in the sealed bytes 65536 to 131072: a number was ` +
          `changed: ${quoted(rowOf(2600, NUMBER))} was sealed with 2600`
      ])
    })
  )

  it.effect("with one forged bet in each piece, all named", () =>
    Effect.gen(function* () {
      const forged = numbered(numbered(ROWS, 7), 4499).toSpliced(2600, 0, rowOf(1, NUMBER))
      const found = yield* forgeries(forged)
      expect(found.map((line) => /bet (\d+) .*: a (winner|number)/.exec(line)?.slice(1))).toEqual([
        ["8", "number"],
        ["2601", "winner"],
        ["4501", "number"]
      ])
    })
  )

  it.effect("with a winner taken out: the piece, and with the own copy the bet", () =>
    Effect.gen(function* () {
      const rows = numbered(ROWS, 2600)
      const book = Sealed.bookOf(3, rows)
      const seal = Sealed.signed(Sealed.sealOf([book, OTHER_BOOK]), ROUND_TIME - 20).file
      const more = { seal, receipts: {}, results: {} }
      const [piece, ...others] = yield* forgeries(without(rows, 2600), more)
      expect(piece).toContain(
        "book-3 differs from the sealed bytes 65536 to 131072: neither winners "
      )
      expect(others).toEqual([])
      const own = { 3: rows.join("").replaceAll("\n", "\r\n") }
      const found = yield* forgeries(without(rows, 2600), { ...more, own })
      expect(found.at(-1)).toBe(
        `forged: own copy 3: bet 2601 is the first that differs: ` +
          `own-3 has ${quoted(rows[2600]!)}, book-3 has ${quoted(rows[2601]!)}`
      )
    })
  )

  it.effect("with a row replaced by another winner: the piece, and with the own copy the bet", () =>
    Effect.gen(function* () {
      const forged = ROWS.with(2600, rowOf(1_234_567, NUMBER))
      const [piece] = yield* forgeries(forged)
      expect(piece).toContain(
        "book-3 differs from the sealed bytes 65536 to 131072: neither winners "
      )
      const own = { 3: `no bet\n${ROWS.join("")}` }
      const found = yield* forgeries(forged, { own })
      expect(found.at(-1)).toContain("own copy 3: bet 2601 is the first that differs")
      const { lines } = yield* verifyFiles({ ...honest, own })
      expect(lines).toContain("proven: own copy 3: own-3 is the sealed book: 4500 bets")
      const bad = lines.find((line) => line.startsWith("note: own copy 3: "))
      expect(bad).toContain("own-3: left out 1 bad line, as --rejects does; the first is own-3:1: ")
    })
  )

  it.effect("that was cut short, or is empty", () =>
    Effect.gen(function* () {
      for (const rows of [ROWS.slice(0, -1), []]) {
        const [found, ...others] = yield* forgeries(rows)
        expect(found).toMatch(/book-3 differs from the sealed bytes (0|65536|131072) to /)
        expect(others).toEqual([])
      }
    })
  )

  it.effect("with a row that is no bet", () =>
    Effect.gen(function* () {
      const forged = ROWS.with(2600, "Ana,Pérez,2600,1999-13-17,2600\n")
      const [bad, piece] = yield* forgeries(forged)
      expect(bad).toContain("row 2601 of book-3 is not a bet: birthdate: expected a real date")
      expect(piece).toContain("bytes 65536 to 131072")
      const cut = ROWS.join("").slice(0, -1)
      const [, unended] = yield* failed({ books: { 3: cut } })
      expect(unended).toContain("row 4500 of book-3 is not a bet: expected a row that ends in LF")
      const long = yield* failed({ books: { 3: "x".repeat(100_000) } })
      expect(long[1]).toContain("row 1 of book-3 is not a bet: expected at most")
    })
  )

  it.effect("with a winner put in, and cut short behind it", () =>
    Effect.gen(function* () {
      const forged = ROWS.toSpliced(100, 0, rowOf(1, NUMBER)).slice(0, 4400)
      const [winner, end, ...others] = yield* forgeries(forged)
      expect(winner).toContain("bet 101 of book-3, in the sealed bytes 0 to 65536: a winner was")
      expect(end).toContain("bytes 131072 to 141780: it is too short")
      expect(others).toEqual([])
    })
  )

  it.effect("with twelve winners put in into a piece; one more is named by the piece", () =>
    Effect.gen(function* () {
      const winners = (count: number) =>
        Array.from({ length: count }, (_, index) => rowOf(index, NUMBER))
      expect(yield* forgeries(ROWS.toSpliced(100, 0, ...winners(12)))).toHaveLength(12)
      const [piece, ...others] = yield* forgeries(ROWS.toSpliced(100, 0, ...winners(13)))
      expect(piece).toContain("bytes 0 to 65536: it has 13 winners, too many to find")
      expect(others).toEqual([])
    })
  )

  it.effect("with too many winners in a piece is named by the piece", () =>
    Effect.gen(function* () {
      const forged = ROWS.map((row, index) => (index < 13 ? rowOf(index, NUMBER) : row))
      const [piece, ...others] = yield* forgeries(forged)
      expect(piece).toContain("book-3 differs from the sealed bytes 0 to 65536: it has 13 winners")
      expect(others).toEqual([])
    })
  )

  it.effect("of an agency that is not in the draw, or excluded, does not fit", () =>
    Effect.gen(function* () {
      const seal = Sealed.signed(Sealed.sealOf([BOOK, { agency: 4 }])).file
      const books = { 3: ROWS.join(""), 4: "", 9: "" }
      expect(yield* failed({ seal, receipts: {}, results: {}, witness: false, books })).toEqual([
        "wrong: book 4: book-4: agency 4 is excluded from draw default",
        "wrong: book 9: book-9: agency 9 does not take part in draw default"
      ])
    })
  )
})

describe("a seal", () => {
  const sealed = (agencies: ReadonlyArray<SealedBook | { readonly agency: number }>) =>
    Sealed.signed(Sealed.sealOf(agencies), ROUND_TIME - 20)

  it.effect("that leaves a book out", () =>
    Effect.gen(function* () {
      const seal = sealed([OTHER_BOOK])
      const more = { seal: seal.file, results: {}, books: {} }
      expect(yield* failed(more)).toEqual([
        "forged: receipt: the operator signed receipt-3 for a finished book of agency 3; " +
          "the seal leaves this agency out"
      ])
    })
  )

  it.effect("that excludes an agency with a receipt", () =>
    Effect.gen(function* () {
      const seal = sealed([{ agency: 3 }, OTHER_BOOK])
      expect(yield* failed({ seal: seal.file, results: {}, books: {} })).toEqual([
        "forged: receipt: the operator signed receipt-3 for a finished book of agency 3; " +
          "the seal says that it is excluded"
      ])
    })
  )

  it.effect("with another book than that of the receipt", () =>
    Effect.gen(function* () {
      const other = Sealed.bookOf(3, numbered(ROWS, 2600))
      const seal = sealed([other, OTHER_BOOK])
      const [found, ...others] = yield* failed({ seal: seal.file, results: {}, books: {} })
      expect(found).toBe(
        `forged: receipt: the operator signed receipt-3 for a finished book of agency 3: ` +
          `4500 bets, SHA-256 ${BOOK.sha256}; the seal has another: ` +
          `4500 bets, SHA-256 ${other.sha256}`
      )
      expect(others).toEqual([])
    })
  )

  it.effect("fits when the receipt of a discarded book lies next to the right one", () =>
    Effect.gen(function* () {
      const discarded = receiptOf(Sealed.bookOf(3, ROWS.slice(1)))
      const receipts = { ...honest.receipts, "receipt-3-0": discarded }
      const { failed, lines } = yield* verifyFiles({ ...honest, receipts })
      expect(failed).toEqual([])
      expect(lines).toContain("note: receipt: receipt-3-0 is of a discarded book of agency 3")
    })
  )

  it.effect("with another round than the promised one", () =>
    Effect.gen(function* () {
      const at = { delaySeconds: 63 }
      const later = receiptOf(BOOK, { source: { _tag: "drand", at } })
      const [found, ...others] = yield* failed({ receipts: { later } })
      expect(found).toMatch(/^forged: receipt: later promises .*\/\+63, thus .*\/1001; the seal /)
      expect(others).toEqual([])
    })
  )

  it.effect("that has a second one: both files prove it", () =>
    Effect.gen(function* () {
      const other = sealed([Sealed.bookOf(3, numbered(ROWS, 2600)), OTHER_BOOK])
      const prefix =
        `forged: two seals: lottery.example signed two seals of draw default: seal has root ` +
        `${Buffer.from(HONEST.root).toString("base64")}, `
      const root = Buffer.from(other.root).toString("base64")
      expect(yield* failed({ otherSeals: { other: other.file } })).toEqual([
        `${prefix}other has root ${root}; the two files prove it`
      ])
      // The signature proves it, even if the entries have been taken away.
      expect(yield* failed({ otherSeals: { other: `x\n\n${other.note}` } })).toHaveLength(1)
      const { entries, note, tree } = other
      const proof = proveEntry({ tree, index: 0, entry: entries[0]!, note })
      expect(yield* failed({ proofs: { proof } })).toEqual([
        `${prefix}proof has root ${root}; the two files prove it`
      ])
      const result = resultOf({ root: other.root })
      const [found] = yield* failed({ results: { result } })
      expect(found).toContain("forged: two seals: result is signed for another seal")
    })
  )

  it.effect("that was signed too late, as the witness says", () =>
    Effect.gen(function* () {
      for (const late of [0, 1, 600]) {
        const seal = Sealed.signed(Sealed.sealOf(BOOKS), ROUND_TIME + late).file
        const [found, ...others] = yield* failed({ seal })
        expect(found).toMatch(/^forged: order: auditor.example\/w1 signed the seal at .* too late/)
        expect(others).toEqual([])
      }
      const seal = Sealed.signed(Sealed.sealOf(BOOKS), ROUND_TIME - 1).file
      expect(yield* failed({ seal })).toEqual([])
    })
  )

  it.effect("that by its own time is too late, or is damaged, ends with one line", () =>
    Effect.gen(function* () {
      const late = Sealed.signed(Sealed.sealOf(BOOKS, { sealedAt: ROUND_TIME })).file
      const changed = HONEST.file.replace("book 5 3 ", "book 5 4 ")
      const bytes = Buffer.concat([Buffer.from(HONEST.file), Buffer.of(0xff)])
      const unsigned = HONEST.file.replace("default\n", "other\n")
      for (const seal of [late, changed, bytes, unsigned, "", "x"]) {
        const { lines } = yield* verifyFiles({ ...honest, seal })
        expect(lines).toHaveLength(2)
        const verdict = [late, changed].includes(String(seal)) ? "forged" : "wrong"
        expect(lines[0]).toMatch(new RegExp(`^${verdict}: seal: seal: `))
        expect(lines[1]).toBe(`verdict: it does not fit (1 ${verdict})`)
      }
    })
  )

  it.effect("whose marks or count of bets are not those of its own book", () =>
    Effect.gen(function* () {
      const marks = BOOK.marks.slice()
      marks[40]!++
      const falseMarks = sealed([{ ...BOOK, marks }, OTHER_BOOK]).file
      const more = { results: {}, receipts: {} }
      expect(yield* failed({ ...more, seal: falseMarks })).toEqual([
        "forged: book 3: book-3: the sealed mark of bytes 65536 to 131072 is not that book's"
      ])
      const falseCount = sealed([{ ...BOOK, bets: 4501 }, OTHER_BOOK]).file
      expect(yield* failed({ ...more, seal: falseCount })).toEqual([
        "forged: book 3: book-3 has 4500 bets, the seal says 4501"
      ])
    })
  )
})

describe("the number", () => {
  it.effect("of the result is not the beacon's", () =>
    Effect.gen(function* () {
      const results = { result: resultOf({ number: 1234 }) }
      const text = "forged: result: result says 1234; the number is 6286"
      expect(yield* failed({ results })).toEqual([text])
      // The result has the genuine round, which is enough.
      expect(yield* failed({ results, beacons: {} })).toEqual([text])
    })
  )

  it.effect("comes from another round", () =>
    Effect.gen(function* () {
      const other = { round: 1001, signature: NEXT_ROUND.signature }
      const results = { result: resultOf({ number: NEXT_ROUND.numbers.default, beacon: other }) }
      const round = "is of round 1001; the seal takes round 1000 and no other"
      expect(yield* failed({ results })).toEqual([
        `forged: result: result: ${round}`,
        `forged: result: result says ${NEXT_ROUND.numbers.default}; the number is ${NUMBER}`
      ])
      const beacons = { other: JSON.stringify(other) }
      expect(yield* failed({ beacons })).toEqual([`wrong: beacon: other: ${round}`])
    })
  )

  it.effect("comes from a beacon that is not genuine", () =>
    Effect.gen(function* () {
      const flipped = ROUND.signature.replace(/9$/, "8")
      const signatures = [flipped, NEXT_ROUND.signature, `c0${"0".repeat(94)}`]
      for (const signature of signatures) {
        const beacons = { beacon: JSON.stringify({ round: 1000, signature }) }
        expect(yield* failed({ beacons })).toEqual([
          "wrong: beacon: beacon: its signature is not drand's of round 1000"
        ])
        const results = { result: resultOf({ beacon: { round: 1000, signature } }) }
        expect(yield* failed({ results })).toEqual([
          "forged: result: result: its signature is not drand's of round 1000"
        ])
      }
      for (const text of ["{}", "", `{"round":1000,"signature":"b446"}`]) {
        const [found] = yield* failed({ beacons: { beacon: text } })
        expect(found).toMatch(/^wrong: beacon: beacon: /)
      }
    })
  )

  it.effect("is told twice, and differently", () =>
    Effect.gen(function* () {
      const seal = Sealed.signed(Sealed.sealOf(BOOKS, { source: { _tag: "announced" } }))
      const say = (number: number) =>
        resultOf({ root: seal.root, number, beacon: undefined, winners: [{ agency: 3, count: 0 }] })
      const more = { seal: seal.file, witness: false, receipts: {}, beacons: {} }
      const results = { one: say(6286), same: say(6286), other: say(6287) }
      expect(yield* failed({ ...more, results })).toEqual([
        "forged: two results: the operator signed two numbers for this seal: one has 6286, " +
          "other has 6287; the two files prove it"
      ])
    })
  )

  it.effect("of a result without winners of a book, or with those of none", () =>
    Effect.gen(function* () {
      const winners = [3, 5, 6].map((agency) => ({ agency, count: 0 }))
      expect(yield* failed({ results: { result: resultOf({ winners }) } })).toEqual([
        "forged: result: result has winners of agency 6: no sealed book"
      ])
      expect(yield* failed({ results: { result: resultOf({ winners: [] }) } })).toEqual([
        "forged: result: result leaves out the winners of agencies 3, 5"
      ])
      const count = [{ agency: 3, count: 2 }]
      expect(yield* failed({ results: { result: resultOf({ winners: count }) } })).toEqual([
        "forged: book 3: 0 winners with 6286; result says 2"
      ])
    })
  )
})

describe("files of another draw or another key", () => {
  it.effect("do not fit, and the rest is checked", () =>
    Effect.gen(function* () {
      const other = vector("excluded.result")
      expect(yield* failed({ results: { other } })).toEqual([
        "wrong: result: other: is of draw other, expected default"
      ])
      const [seal] = yield* failed({ otherSeals: { other: vector("excluded.seal") } })
      expect(seal).toContain("wrong: other seal: other: is a seal of lottery.example/other")
      const receipts = { ...honest.receipts, other: receiptOf(BOOK, { draw: "other" }) }
      expect(yield* failed({ receipts })).toEqual([
        "wrong: receipt: other: is a receipt of draw other, expected default"
      ])
      const changed = receiptOf(BOOK).replace(" 4500 ", " 4501 ")
      const [receipt] = yield* failed({ receipts: { ...honest.receipts, changed } })
      expect(receipt).toMatch(/^wrong: receipt: changed: expected a signature by lottery.example/)
      const [proof] = yield* failed({ proofs: { sumdb: vector("sumdb.tlog-proof") } })
      expect(proof).toMatch(/^wrong: proof: sumdb: expected a signature by lottery.example/)
    })
  )
})

describe("what cannot be shown", () => {
  it.effect("a draw that is signed again and backdated, where nobody kept anything, fits", () =>
    Effect.gen(function* () {
      const rows = numbered(ROWS, 2600)
      const book = Sealed.bookOf(3, rows)
      const seal = Sealed.signed(Sealed.sealOf([book, OTHER_BOOK]))
      const books = { 3: rows.join(""), 5: OTHER_ROWS.join("") }
      const { lines, report } = yield* verifyFiles({ seal: seal.file, beacons: { beacon }, books })
      expect(report.fits).toBe(true)
      expect(lines).toContain(
        "not proven: order: that the seal came before the number " +
          "(no witness and no agency's receipt or proof given)"
      )
      expect(lines).toContain(
        "not proven: receipt: that the seal has what agencies 3, 5 sent (no receipt given)"
      )
      // One agency that kept its receipt is enough.
      const receipts = { "receipt-3": receiptOf(BOOK) }
      const given = { seal: seal.file, beacons: { beacon }, books, receipts }
      expect((yield* verifyFiles(given)).failed).toHaveLength(1)
    })
  )

  it.effect("a number that was fixed before the seal", () =>
    Effect.gen(function* () {
      const source = { _tag: "fixed", number: 7574 } as const
      const seal = Sealed.signed(Sealed.sealOf(BOOKS, { source }), ROUND_TIME + 5)
      const { lines, report } = yield* verifyFiles({ seal: seal.file, witness: true })
      expect(report.fits).toBe(true)
      expect(lines).toContain(
        "not proven: order: that the seal came before the number (7574 was fixed from the start)"
      )
    })
  )

  it.effect("a number that was announced, and a witness that did not sign", () =>
    Effect.gen(function* () {
      const seal = Sealed.signed(Sealed.sealOf(BOOKS, { source: { _tag: "announced" } }))
      const { lines, report } = yield* verifyFiles({ seal: seal.file, witness: true })
      expect(report.fits).toBe(true)
      for (const line of [
        "not proven: order: that auditor.example/w1 saw the seal (its signature is not there)",
        "not proven: order: that the seal came before the number " +
          "(no file says when the number was announced)",
        "not proven: number: the winning number (no valid beacon or result given)",
        "not proven: result: what the operator announced (no result of this seal given)",
        "not proven: books: the bets and winners of agencies 3, 5 (no book given)"
      ]) {
        expect(lines).toContain(line)
      }
    })
  )
})

it.effect("a folder of evidence counts as its receipts, proofs and results", () =>
  Effect.gen(function* () {
    const { entries, note, tree } = HONEST
    const proof = (index: number) => proveEntry({ tree, index, entry: entries[index]!, note })
    const evidence = {
      "agency-3.receipt": receiptOf(Sealed.bookOf(3, ROWS.slice(1))),
      "agency-3-2.receipt": receiptOf(BOOK),
      "agency-3.seal-head.tlog-proof": proof(0),
      "agency-3.book.tlog-proof": proof(entries.findIndex((entry) => entry.startsWith("book 3 "))),
      "agency-3.result": resultOf({ winners: [{ agency: 3, count: 1 }] }),
      "agency-3.txt": "not evidence"
    }
    const { failed, lines } = yield* verifyFiles({ ...honest, receipts: {}, evidence })
    expect(failed).toEqual(["forged: book 3: 0 winners with 6286; kept/agency-3.result says 1"])
    const kept = lines.filter((line) => line.includes("kept/"))
    expect(kept).toHaveLength(6)
    expect(BOOKS.every(isBook)).toBe(true)
  })
)
