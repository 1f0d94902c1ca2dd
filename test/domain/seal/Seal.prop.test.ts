/**
 * Goal: any seal has one encoding. Method: random seals are encoded and decoded; random changes of
 * their text are refused, or are the text of another seal.
 */
import { Result } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { entriesOf, parseEntries } from "../../../src/domain/seal/Seal.ts"
import { propertyRuns } from "../../support/propertyRuns.ts"
import { randomSeal } from "../../support/randomSeal.ts"

describe("a seal", () => {
  it("is decoded as it was encoded", () => {
    fc.assert(
      fc.property(randomSeal, (seal) => {
        expect(parseEntries(entriesOf(seal).join(""))).toEqual(Result.succeed(seal))
      }),
      propertyRuns(300)
    )
  })

  it("with changed text is refused, or is another one", () => {
    const characters = fc.constantFrom(..." \n\r+-/019Aaf\u0000é", "\n\n", "")
    fc.assert(
      fc.property(randomSeal, fc.nat(), characters, fc.nat(1), (seal, at, put, taken) => {
        const text = entriesOf(seal).join("")
        const start = at % text.length
        const changed = text.slice(0, start) + put + text.slice(start + taken)
        const parsed = parseEntries(changed)
        if (Result.isFailure(parsed)) expect(parsed.failure).toMatch(/^(line \d+: )?.*expected /)
        else expect(entriesOf(parsed.success).join("")).toBe(changed)
      }),
      propertyRuns(1_000)
    )
  })
})
