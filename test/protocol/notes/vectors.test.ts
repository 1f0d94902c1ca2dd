/**
 * Goal: every published file of a sealed draw is read, and made again byte for byte. Method: the
 * files in `vectors/`, and the seeds and salts that they were made from.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { decodeUtf8 } from "../../../src/domain/BetCheck.ts"
import { MarkedHash } from "../../../src/domain/seal/MarkedDigest.ts"
import { bookEntry, entriesOf, isBook, type SealedBook } from "../../../src/domain/seal/Seal.ts"
import { parseBeacon } from "../../../src/protocol/notes/BeaconFile.ts"
import { showCheckpoint } from "../../../src/protocol/notes/Checkpoint.ts"
import { openResult, signResult } from "../../../src/protocol/notes/DrawResult.ts"
import { openReceipt, type Receipt, signReceipt } from "../../../src/protocol/notes/Receipt.ts"
import {
  openSealFile,
  showSealFile,
  signSeal,
  splitSealFile,
  treeOf
} from "../../../src/protocol/notes/SealFile.ts"
import { showKey } from "../../../src/protocol/notes/SignedNote.ts"
import {
  openProof,
  parseProof,
  proveEntry,
  showProof
} from "../../../src/protocol/notes/TlogProof.ts"
import {
  book7,
  cosign,
  operator,
  operatorKey,
  ROUNDS,
  vector,
  vectorBytes,
  witness
} from "../../support/SealVectors.ts"

const sealedBook = (agency: number, bets: number, book: Uint8Array): SealedBook => {
  const hash = new MarkedHash()
  hash.update(book)
  return { agency, bets, ...hash.digest(), salt: `0${agency}`.repeat(16) }
}

const book1 = sealedBook(1, 1, vectorBytes("book-1"))
const draw = "default"
const sealedAt = 1_692_806_304
const source = { _tag: "drand", round: 1000 } as const
const entries = entriesOf({
  draw,
  sealedAt,
  source,
  agencies: [book1, sealedBook(2, 0, vectorBytes("book-2")), sealedBook(7, 5_000, book7)]
})
const tree = treeOf(entries.join(""))
const note = signSeal({ draw, tree }, operatorKey)
const COSIGNED = 1_692_806_309
const cosigned = `${note}${cosign(note.slice(0, note.indexOf("\n\n") + 1), COSIGNED)}`

describe("the keys", () => {
  it("are written as they were read", () => {
    expect(`${showKey(operator)}\n${showKey(witness)}\n`).toBe(vector("keys"))
    expect(operatorKey.verifier).toEqual(operator)
  })
})

describe("a seal", () => {
  it("is made byte for byte", () => {
    const file = showSealFile({ entries: entries.join(""), note: cosigned })
    expect(Buffer.from(file)).toEqual(vectorBytes("default.seal"))
    expect(splitSealFile(file)).toEqual(
      Result.succeed({ entries: entries.join(""), note: cosigned })
    )
  })

  it("is opened, with the witness's time", () => {
    const file = decodeUtf8(vectorBytes("default.seal")) ?? ""
    const opened = Result.getOrThrow(openSealFile(file, operator, [witness]))
    expect(opened.note.signatures).toEqual([{ key: operator }, { key: witness, time: COSIGNED }])
    expect(opened.seal).toMatchObject({ draw, sealedAt, source })
    expect(opened.checkpoint.origin).toBe("lottery.example/default")
    expect(opened.tree.size).toBe(6)
    expect(showCheckpoint(opened.checkpoint)).toBe(opened.note.text)
    // Without the witness's key its line counts for nothing.
    const other = Result.getOrThrow(openSealFile(file, operator))
    expect(other.note.signatures).toEqual([{ key: operator }])
  })

  it("without an agency is made byte for byte", () => {
    const agencies = [book1, { agency: 3 }, sealedBook(4, 0, new Uint8Array())]
    const seal = {
      draw: "other",
      sealedAt: 1_700_000_000,
      source: { _tag: "announced" } as const,
      agencies
    }
    const entries = entriesOf(seal).join("")
    const note = signSeal({ draw: "other", tree: treeOf(entries) }, operatorKey)
    expect(showSealFile({ entries, note })).toBe(vector("excluded.seal"))
    const opened = Result.getOrThrow(openSealFile(vector("excluded.seal"), operator))
    expect(opened.seal.agencies.map((of) => [of.agency, isBook(of)])).toEqual([
      [1, true],
      [3, false],
      [4, true]
    ])
  })
})

describe("a receipt", () => {
  const receipt = {
    draw,
    agency: 7,
    bets: 5_000,
    sha256: "3e9f1c9d5c5d9507d365a4bf954de005b635e7623563946127da8dafb2fd0837"
  }

  it.each<[string, Receipt]>([
    ["receipt-7", { ...receipt, source: { _tag: "drand", at: { round: 1000 } } }],
    ["receipt-7-later", { ...receipt, source: { _tag: "drand", at: { delaySeconds: 60 } } }]
  ])("%s is made and read", (file, receipt) => {
    expect(signReceipt(receipt, operatorKey)).toBe(vector(file))
    expect(openReceipt(vector(file), operator)).toEqual(Result.succeed(receipt))
  })
})

describe("a result", () => {
  const beacon = { round: 1000, signature: ROUNDS[1].signature }

  it.each([
    [
      "default",
      6286,
      beacon,
      [
        [1, 0],
        [2, 0],
        [7, 1]
      ]
    ],
    [
      "excluded",
      7574,
      undefined,
      [
        [1, 1],
        [4, 0]
      ]
    ]
  ] as const)("of %s.seal is made and read", (name, number, beacon, counts) => {
    const { seal, tree } = Result.getOrThrow(openSealFile(vector(`${name}.seal`), operator))
    const winners = counts.map(([agency, count]) => ({ agency, count }))
    const result = { draw: seal.draw, number, root: tree.root, beacon, winners }
    expect(signResult(result, operatorKey)).toBe(vector(`${name}.result`))
    expect(openResult(vector(`${name}.result`), operator)).toEqual(Result.succeed(result))
  })
})

describe("a proof", () => {
  const proof = vector("agency-7.tlog-proof")

  it("is made byte for byte, and opened", () => {
    expect(proveEntry({ tree, index: 5, entry: entries[5]!, note: cosigned })).toBe(proof)
    expect(showProof(Result.getOrThrow(parseProof(proof)))).toBe(proof)
    const opened = Result.getOrThrow(openProof(proof, draw, operator))
    expect(opened).toMatchObject({ index: 5, entry: bookEntry(sealedBook(7, 5_000, book7)) })
    expect(Buffer.from(opened.checkpoint.root)).toEqual(Buffer.from(tree.root))
  })

  it("of every entry is opened", () => {
    for (const [index, entry] of entries.entries()) {
      const opened = openProof(proveEntry({ tree, index, entry, note }), draw, operator)
      expect(opened).toMatchObject({ success: { index, entry } })
    }
  })
})

describe("a beacon", () => {
  it("is read from drand's JSON", () => {
    const { round, signature } = ROUNDS[1]
    expect(parseBeacon(vector("round-1000.json"))).toEqual(Result.succeed({ round, signature }))
  })
})
