/**
 * Goal: any seal is opened as it was made, each of its entries can be proven, and no bit of it can
 * change. Method: random seals that the operator signs, and a random bit of each.
 */
import { Result } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decodeUtf8 } from "../../../src/domain/BetCheck.ts"
import { entriesOf } from "../../../src/domain/seal/Seal.ts"
import { openSealFile } from "../../../src/protocol/notes/SealFile.ts"
import { openProof, proveEntry } from "../../../src/protocol/notes/TlogProof.ts"
import { propertyRuns } from "../../support/propertyRuns.ts"
import { randomSeal } from "../../support/randomSeal.ts"
import { operator, sealFile } from "../../support/SealVectors.ts"

describe("a seal", () => {
  it("is opened as it was made, with a proof of each entry", () => {
    fc.assert(
      fc.property(randomSeal, fc.nat(), (seal, at) => {
        const file = sealFile(seal)
        const opened = Result.getOrThrow(openSealFile(file, operator))
        expect(opened.seal).toEqual(seal)
        const entries = entriesOf(seal)
        const index = at % entries.length
        const entry = entries[index]!
        const note = file.slice(file.indexOf("\n\n") + 2)
        const proof = proveEntry({ tree: opened.tree, index, entry, note })
        expect(openProof(proof, seal.draw, operator)).toMatchObject({ success: { index, entry } })
      }),
      propertyRuns(200)
    )
  })

  it("with a flipped bit is refused", () => {
    fc.assert(
      fc.property(randomSeal, fc.nat(), (seal, at) => {
        const bytes = Buffer.from(sealFile(seal))
        const bit = at % (8 * bytes.length)
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        const text = decodeUtf8(bytes)
        expect(text !== undefined && Result.isSuccess(openSealFile(text, operator))).toBe(false)
      }),
      propertyRuns(500)
    )
  })
})
