/** Goal: an agency's number has only digits and fits in every store. */
import { describe, expect, it } from "vitest"
import { fromDigits } from "../../src/domain/Agency.ts"

describe("an agency's number", () => {
  it("is 1 to 2147483647", () => {
    expect(["1", "0000000001", "2147483647"].map(fromDigits)).toEqual([1, 1, 2147483647])
    const none = ["", "0", "2147483648", "00000000001", "+1", "1.0", " 1", "1\n", "١"]
    expect(none.map(fromDigits)).toEqual(none.map(() => undefined))
  })
})
