/**
 * Goal: a proof of any tree leads to its root, with exactly as many hashes as it has. Method:
 * random sizes and positions.
 */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { leafHash, MerkleTree, rootFromProof } from "../../../src/domain/seal/MerkleTree.ts"
import { propertyRuns } from "../../support/propertyRuns.ts"

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const leaves = Array.from({ length: 2_000 }, (_, index) => leafHash(`${index}\n`))

const Place = fc
  .integer({ min: 1, max: leaves.length })
  .chain((size) => fc.record({ size: fc.constant(size), index: fc.nat(size - 1) }))

describe("a proof", () => {
  it("leads to the root, and with a hash more or less nowhere", () => {
    fc.assert(
      fc.property(Place, fc.nat(), ({ index, size }, at) => {
        const tree = new MerkleTree(leaves.slice(0, size))
        const hashes = tree.proofOf(index)
        const rootOf = (hashes: ReadonlyArray<Uint8Array>) => {
          const root = rootFromProof({ leaf: leaves[index]!, index, size, hashes })
          return root && hexOf(root)
        }
        expect(rootOf(hashes)).toBe(hexOf(tree.root))
        const more = at % (hashes.length + 1)
        expect(rootOf(hashes.toSpliced(more, 0, leaves[0]!))).toBeUndefined()
        if (hashes.length > 0) {
          const less = at % hashes.length
          expect(rootOf(hashes.toSpliced(less, 1))).toBeUndefined()
          expect(rootOf(hashes.with(less, tree.root))).not.toBe(hexOf(tree.root))
        }
      }),
      propertyRuns(100)
    )
  })
})
