/** Goal: the rules of a draw's name and agencies, and the description of agencies. */
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { DrawId, describeAgencies, ExpectedAgencies, nameAgencies } from "../../src/domain/Draw.ts"

describe("a draw", () => {
  it("has a name of 1 to 64 letters, digits, dots, dashes or underscores", () => {
    const isId = Schema.is(DrawId)
    expect(["a", "Navidad_2026-1.b", "x".repeat(64)].filter((id) => !isId(id))).toEqual([])
    expect(["", "x".repeat(65), "a b", "a/b", "ñ", "a\n"].filter((id) => isId(id))).toEqual([])
  })

  it("has at least one agency, in ascending order without duplicates", () => {
    const areAgencies = Schema.is(ExpectedAgencies)
    expect([[1], [1, 2, 2_147_483_647]].map((agencies) => areAgencies(agencies))).toEqual([
      true,
      true
    ])
    for (const none of [[], [2, 1], [1, 1], [0, 1], [1, 2_147_483_648], [1.5]]) {
      expect(areAgencies(none), none.join()).toBe(false)
    }
  })

  it("describes agencies as a list, as a range, or as ten and the number of the others", () => {
    const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)
    expect(describeAgencies([])).toBe("none")
    expect(describeAgencies(upTo(10))).toBe("1, 2, 3, 4, 5, 6, 7, 8, 9, 10")
    expect(describeAgencies(upTo(11))).toBe("1 to 11")
    expect(describeAgencies([...upTo(10), 12])).toBe("1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1 more")
    expect([nameAgencies([3]), nameAgencies([3, 5])]).toEqual(["agency 3", "agencies 3, 5"])
  })
})
