/**
 * Goal: a round is published when drand says, and gives the number that the format says. Method:
 * real rounds of quicknet, and times on both sides of a round.
 */
import { describe, expect, it } from "vitest"
import {
  randomnessOf,
  roundAtOrAfter,
  timeOfRound,
  winningNumberOf
} from "../../../src/domain/seal/Quicknet.ts"
import { ROUNDS } from "../../support/SealVectors.ts"

describe("the number", () => {
  it.each(ROUNDS)("of round $round is the published one", ({ numbers, randomness, signature }) => {
    expect(randomnessOf(signature)).toBe(randomness)
    expect(winningNumberOf("default", randomness)).toBe(numbers.default)
    expect(winningNumberOf("demo", randomness)).toBe(numbers.demo)
  })
})

describe("a round", () => {
  it("is published every three seconds from the genesis on", () => {
    expect(timeOfRound(1)).toBe(1_692_803_367)
    expect(timeOfRound(1000)).toBe(1_692_806_364)
  })

  it.each([
    [1, 0],
    [1, 1_692_803_367],
    [2, 1_692_803_368],
    [2, 1_692_803_370],
    [3, 1_692_803_371],
    [1000, 1_692_806_362],
    [1000, 1_692_806_364],
    [1001, 1_692_806_365]
  ])("%i is the first at or after %i", (round, seconds) => {
    expect(roundAtOrAfter(seconds)).toBe(round)
  })
})
