/**
 * Goal: a round is read from drand's JSON, and from nothing else. Method: examples of each rule.
 */
import { Result } from "effect"
import { describe, expect, it } from "vitest"
import { parseBeacon } from "../../../src/protocol/notes/BeaconFile.ts"
import { ROUNDS } from "../../support/SealVectors.ts"

const [, { randomness, round, signature }] = ROUNDS
const beacon = { round, signature }

describe("a beacon", () => {
  it.each([
    ["version 2", { round, signature }],
    ["version 1", { round, randomness, signature }],
    ["unknown keys", { round, signature, previous_signature: "", x: { y: [1] } }]
  ])("of %s is read", (_, json) => {
    expect(parseBeacon(JSON.stringify(json))).toEqual(Result.succeed(beacon))
    expect(parseBeacon(` ${JSON.stringify(json, null, 2)}\n`)).toEqual(Result.succeed(beacon))
  })

  it.each([
    ["no JSON", "hello", /^expected a drand round in JSON, such as .*: /],
    ["no text", "", /^expected a drand round in JSON, such as .*: /],
    ["no object", "[]", /^expected a drand round in JSON, such as .*: /],
    ["no round", { signature }, /round/],
    ["no signature", { round }, /signature/],
    ["round 0", { round: 0, signature }, /round/],
    ["part of a round", { round: 1.5, signature }, /round/],
    [
      "a round as text",
      { round: "1000", signature },
      /^expected .*: Expected number at \["round"\]$/
    ],
    ["a round too large", { round: 2 ** 53, signature }, /round/],
    ["47 bytes", { round, signature: signature.slice(2) }, /expected a signature of 96 digits/],
    ["upper case", { round, signature: signature.toUpperCase() }, /expected a signature of 96/],
    [
      "other randomness",
      { round, signature, randomness: signature.slice(32) },
      /^expected randomness/
    ],
    [
      "upper randomness",
      { round, signature, randomness: randomness.toUpperCase() },
      /^expected rand/
    ],
    ["randomness null", { round, signature, randomness: null }, /randomness/],
    ["too much text", `${JSON.stringify(beacon)}${" ".repeat(10_000)}`, /at most 10000 characters$/]
  ])("with %s is refused", (_, json, problem) => {
    const text = typeof json === "string" ? json : JSON.stringify(json)
    expect(parseBeacon(text)).toMatchObject({ failure: expect.stringMatching(problem) })
  })

  it("is refused in one line", () => {
    for (const text of ["{}", "{", '{"round":"x"}']) {
      expect(parseBeacon(text)).toMatchObject({ failure: expect.not.stringContaining("\n") })
    }
  })
})
