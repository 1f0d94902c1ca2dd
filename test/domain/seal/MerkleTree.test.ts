/**
 * Goal: the tree is that of RFC 6962. Method: the roots of transparency-dev/merkle
 * (testonly/constants.go), and all proofs of small trees.
 */
import { describe, expect, it } from "vitest"
import { leafHash, MerkleTree, rootFromProof } from "../../../src/domain/seal/MerkleTree.ts"

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const LEAVES = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f"
]
const ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
]

describe("a tree", () => {
  const leaves = LEAVES.map((leaf) => leafHash(Buffer.from(leaf, "hex")))

  it.each(ROOTS.map((root, index) => ({ root, index })))("has root $root", ({ index, root }) => {
    const tree = new MerkleTree(leaves.slice(0, index + 1))
    expect(tree.size).toBe(index + 1)
    expect(hexOf(tree.root)).toBe(root)
  })

  it("hashes a text as its bytes", () => {
    expect(leafHash("Pérez\n")).toEqual(leafHash(Buffer.from("Pérez\n")))
  })
})

describe("a proof", () => {
  const rootOf = (proof: Parameters<typeof rootFromProof>[0]): string | undefined => {
    const root = rootFromProof(proof)
    return root && hexOf(root)
  }

  it("leads to the root from every leaf of every small tree, and from nowhere else", () => {
    const leaves = Array.from({ length: 40 }, (_, index) => leafHash(`${index}\n`))
    for (let size = 1; size <= leaves.length; size++) {
      const tree = new MerkleTree(leaves.slice(0, size))
      for (let index = 0; index < size; index++) {
        const proof = { leaf: leaves[index]!, index, size, hashes: tree.proofOf(index) }
        expect(rootOf(proof), `${index} of ${size}`).toBe(hexOf(tree.root))
        for (const other of [-1, index + 1, size]) {
          expect(rootOf({ ...proof, index: other })).not.toBe(hexOf(tree.root))
        }
      }
    }
  })

  it("works beyond 32 bits", () => {
    const leaf = leafHash("last\n")
    const size = 2 ** 52 + 1
    const hash = leafHash("the others\n")
    expect(rootFromProof({ leaf, index: size - 1, size, hashes: [hash] })).toBeDefined()
    expect(rootFromProof({ leaf, index: size - 1, size, hashes: [hash, hash] })).toBeUndefined()
    expect(rootFromProof({ leaf, index: 0, size, hashes: Array(53).fill(hash) })).toBeDefined()
    expect(rootFromProof({ leaf, index: 0, size, hashes: Array(52).fill(hash) })).toBeUndefined()
  })
})
