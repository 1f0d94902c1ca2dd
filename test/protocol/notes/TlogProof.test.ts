/**
 * Goal: a proof is that of c2sp.org/tlog-proof, and counts only if it leads to the signed root.
 * Method: a proof of sum.golang.org (from transparency-dev/incubator), and each rule broken once.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { leafHash, rootFromProof } from "../../../src/domain/seal/MerkleTree.ts"
import { parseCheckpoint } from "../../../src/protocol/notes/Checkpoint.ts"
import { treeOf } from "../../../src/protocol/notes/SealFile.ts"
import { open, parseKey, sign } from "../../../src/protocol/notes/SignedNote.ts"
import {
  openProof,
  parseProof,
  proveEntry,
  showProof,
  type TlogProof
} from "../../../src/protocol/notes/TlogProof.ts"
import { operator, operatorKey, vector } from "../../support/SealVectors.ts"

describe("the proof of sum.golang.org", () => {
  const text = vector("sumdb.tlog-proof")
  const module = "github.com/transparency-dev/tessera v1.0.0"
  const leaf = leafHash(
    `${module} h1:4OT1V9xJLa5NnYlFWWlCdZkCm18/o12rdd+bCTje7XE=\n` +
      `${module}/go.mod h1:TLvfjlkbmsmKVEJUtzO2eb9Q2IBnK3EJ0dI4G0oxEOU=\n`
  )

  it("leads to the signed root", () => {
    const proof = Result.getOrThrow(parseProof(text))
    expect(proof).toMatchObject({ entry: undefined, index: 43_930_254 })
    expect(showProof(proof)).toBe(text)
    const key = parseKey("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
    const note = Result.getOrThrow(open(proof.note, [Result.getOrThrow(key)]))
    const { origin, root, size } = Result.getOrThrow(parseCheckpoint(note.text))
    expect({ origin, size }).toEqual({ origin: "go.sum database tree", size: 58_253_265 })
    const rootOf = (hashes: ReadonlyArray<Uint8Array>) =>
      rootFromProof({ leaf, index: proof.index, size, hashes })
    expect(Buffer.from(rootOf(proof.hashes) ?? [])).toEqual(Buffer.from(root))
    expect(rootOf(proof.hashes.slice(1))).toBeUndefined()
    expect(rootOf([...proof.hashes, leaf])).toBeUndefined()
  })
})

describe("a proof", () => {
  const text = vector("agency-7.tlog-proof")
  const proof = Result.getOrThrow(parseProof(text))
  const changed = (change: Partial<TlogProof>): string => showProof({ ...proof, ...change })
  const [one, two] = proof.hashes as [Uint8Array, Uint8Array]
  const signed = (checkpoint: string) => changed({ note: sign(checkpoint, operatorKey) })
  const root = "PYyu6aDHUKAXD+E6cGLkBMJ/2hkRqwRWl2pJlfCetIU="

  it("of a tree of one has no hashes", () => {
    const entry = "lottery-seal/v1 default 0 0 1 announced\n"
    const tree = treeOf(entry)
    const rootText = Buffer.from(tree.root).toString("base64")
    const note = sign(`lottery.example/default\n1\n${rootText}\n`, operatorKey)
    const text = proveEntry({ tree, index: 0, entry, note })
    expect(text).toMatch(/^c2sp\.org\/tlog-proof@v1\nextra \S+\nindex 0\n\nlottery\.example/)
    expect(openProof(text, "default", operator)).toMatchObject({ success: { entry, index: 0 } })
  })

  it.each([
    [
      "another version",
      text.replace("@v1", "@v2"),
      /^line 1: expected "c2sp\.org\/tlog-proof@v1", go/
    ],
    [
      "no empty line",
      "c2sp.org/tlog-proof@v1\nindex 0\n",
      "expected an empty line before the note"
    ],
    ["no index", text.replace("index 5\n", ""), /^line 3: expected "index INDEX", got "AVNg/],
    ["a leading zero", text.replace("index 5", "index 05"), /^line 3: INDEX: .*, got "05"$/],
    ["extra after the index", extraLast(), /^line 3: expected the base64 of 32 bytes, got "extra/],
    [
      "extra that is no base64",
      text.replace("extra Y", "extra !"),
      /^line 2: expected extra and UTF-8/
    ],
    [
      "extra that is empty",
      text.replace(/extra .*/, "extra "),
      /^line 2: expected extra and UTF-8/
    ],
    [
      "extra that is no UTF-8",
      text.replace(/extra .*/, "extra /w=="),
      /^line 2: expected extra and/
    ],
    ["a short hash", text.replace(/\nAVNg.*\n/, "\nAVNg\n"), /^line 4: expected the base64 of 32/],
    [
      "a hash with spare bits",
      text.replace("ikQ=\n", "ikR=\n"),
      /^line 4: expected the base64 of 32/
    ],
    ["CRLF", text.replaceAll("\n", "\r\n"), "expected an empty line before the note"],
    ["no extra", changed({ entry: undefined }), "expected the entry in extra"],
    [
      "another entry",
      changed({ entry: proof.entry?.replace("5000", "5001") }),
      /^expected the root PY/
    ],
    ["a hash too few", changed({ hashes: [one] }), "expected the hashes for entry 5 of 6, got 1"],
    ["no hashes", changed({ hashes: [] }), "expected the hashes for entry 5 of 6, got 0"],
    [
      "a hash too many",
      changed({ hashes: [one, two, two] }),
      /^expected the hashes for entry 5 of 6,/
    ],
    [
      "hashes exchanged",
      changed({ hashes: [two, one] }),
      /^expected the root PYyu.*, the proof leads/
    ],
    ["another index", changed({ index: 4 }), /^expected the root PYyu.*, the proof leads to /],
    ["an index beyond", changed({ index: 6 }), "expected the hashes for entry 6 of 6, got 2"],
    [
      "a changed checkpoint",
      text.replace("\n6\n", "\n7\n"),
      /^expected a signature by lottery\.example/
    ],
    [
      "another draw",
      signed(`lottery.example/other\n6\n${root}\n`),
      /^checkpoint: ORIGIN: expected lotte/
    ],
    [
      "another name",
      signed(`other/default\n6\n${root}\n`),
      /^checkpoint: ORIGIN: expected lottery\.exa/
    ],
    [
      "no root",
      signed("lottery.example/default\n6\n"),
      /^checkpoint: expected a checkpoint of 3 lines/
    ],
    [
      "another size",
      signed(`lottery.example/default\n5\n${root}\n`),
      /^expected the hashes for entry 5/
    ]
  ])("with %s is refused", (_, refused, problem) => {
    expect(refused).not.toBe(text)
    expect(openProof(refused, "default", operator)).toMatchObject({
      failure: expect.stringMatching(problem)
    })
  })

  it("of another draw is refused", () => {
    expect(openProof(text, "demo", operator)).toMatchObject({
      failure: "checkpoint: ORIGIN: expected lottery.example/demo, got lottery.example/default"
    })
  })

  function extraLast(): string {
    return text.replace(/(extra .*\n)(index 5\n)/, "$2$1")
  }
})
