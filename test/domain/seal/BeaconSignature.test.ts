/**
 * Goal: only quicknet's own signature of a round is genuine. Method: real rounds, and every way of
 * changing one.
 */
import { describe, expect, it } from "vitest"
import { isSignedByQuicknet } from "../../../src/domain/seal/BeaconSignature.ts"
import { ROUNDS } from "../../support/SealVectors.ts"

const [, { round, signature }, next] = ROUNDS

describe("a beacon", () => {
  it.each(ROUNDS)("of round $round is genuine", ({ round, signature }) => {
    expect(isSignedByQuicknet({ round, signature })).toBe(true)
  })

  it.each([
    ["of another round", { round: next.round, signature }],
    ["of round 0", { round: 0, signature }],
    ["of part of a round", { round: 1000.5, signature }],
    ["that is the identity", { round, signature: `c0${"0".repeat(94)}` }],
    // The point (0, 2) lies on the curve and has order 3.
    ["of another subgroup", { round, signature: `80${"0".repeat(94)}` }],
    ["of the opposite point", { round, signature: `94${signature.slice(2)}` }],
    ["that is no point", { round, signature: "f".repeat(96) }],
    ["of 47 bytes", { round, signature: signature.slice(2) }],
    ["of 49 bytes", { round, signature: `${signature}00` }],
    ["in upper case", { round, signature: signature.toUpperCase() }],
    ["of no bytes", { round, signature: "" }]
  ])("%s is not", (_, beacon) => {
    expect(isSignedByQuicknet(beacon)).toBe(false)
  })

  it("with a flipped bit is not", () => {
    const bytes = Buffer.from(signature, "hex")
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(isSignedByQuicknet({ round, signature: flipped.toString("hex") }), `bit ${bit}`).toBe(
        false
      )
    }
  })
})
