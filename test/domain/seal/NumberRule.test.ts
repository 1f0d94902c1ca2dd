/**
 * Goal: a source and a rule have exactly one text each, and the round follows from the rule.
 * Method: examples of all kinds, and texts that are almost right.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { fixedNumber, type NumberSource } from "../../../src/domain/Draw.ts"
import {
  parseRule,
  parseSource,
  sealedSource,
  showRule,
  showSource
} from "../../../src/domain/seal/NumberRule.ts"
import { CHAIN } from "../../../src/domain/seal/Quicknet.ts"

const inRound = (round: number): NumberSource => ({ _tag: "drand", at: { round } })
const delayed = (delaySeconds: number): NumberSource => ({ _tag: "drand", at: { delaySeconds } })
const announced: NumberSource = { _tag: "announced" }

describe("a rule", () => {
  it.each([
    [`drand/${CHAIN}/1000`, inRound(1000)],
    [`drand/${CHAIN}/9007199254740991`, inRound(2 ** 53 - 1)],
    [`drand/${CHAIN}/+60`, delayed(60)],
    [`drand/${CHAIN}/+31536000`, delayed(31_536_000)],
    ["announced", announced],
    ["fixed/0", fixedNumber(0)],
    ["fixed/9999", fixedNumber(9999)]
  ])("%s is text and value", (text, source) => {
    expect(showRule(source)).toBe(text)
    expect(parseRule(text)).toEqual(Result.succeed(source))
  })

  it.each([
    [`drand/${CHAIN}/+0`, /^SECONDS: expected a whole number from 1 to 31536000 .*, got "0"$/],
    [`drand/${CHAIN}/+060`, /^SECONDS: .*, got "060"$/],
    [`drand/${CHAIN}/+31536001`, /^SECONDS: .*, got "31536001"$/],
    [`drand/${CHAIN}/0`, /^ROUND: expected a whole number from 1 to 2\^53-1 .*, got "0"$/],
    [`drand/${CHAIN}/01`, /^ROUND: .*, got "01"$/],
    [`drand/${CHAIN}/9007199254740992`, /^ROUND: .*, got "9007199254740992"$/],
    [`drand/${CHAIN}/`, /^ROUND: .*, got ""$/],
    [`drand/${CHAIN}`, /^expected drand\//],
    [`drand/${CHAIN.replace("5", "6")}/1000`, /^expected drand\/52db.*\/ROUND, announced or fixed/],
    [`drand/${CHAIN.toUpperCase()}/1000`, /^expected drand\//],
    ["fixed/10000", /^NUMBER: expected a whole number from 0 to 9999 .*, got "10000"$/],
    ["fixed/0042", /^NUMBER: .*, got "0042"$/],
    ["fixed/", /^NUMBER: .*, got ""$/],
    ["announced ", /^expected drand\//],
    ["", /^expected drand\//]
  ])("%s is refused", (text, problem) => {
    expect(parseRule(text)).toMatchObject({ failure: expect.stringMatching(problem) })
  })
})

describe("a source", () => {
  it("is what the rule gives once the draw is sealed", () => {
    expect(sealedSource(inRound(7), 0)).toEqual({ _tag: "drand", round: 7 })
    expect(sealedSource(delayed(60), 1_692_806_304)).toEqual({ _tag: "drand", round: 1000 })
    expect(sealedSource(delayed(60), 1_692_806_305)).toEqual({ _tag: "drand", round: 1001 })
    expect(sealedSource(announced, 5)).toEqual(announced)
    expect(sealedSource(fixedNumber(7574), 5)).toEqual(fixedNumber(7574))
  })

  it("has the text of its rule", () => {
    for (const text of [`drand/${CHAIN}/1000`, "announced", "fixed/7574"]) {
      expect(showSource(Result.getOrThrow(parseSource(text)))).toBe(text)
    }
  })

  it("has a round, no delay", () => {
    expect(Result.isFailure(parseSource(`drand/${CHAIN}/+60`))).toBe(true)
  })
})
