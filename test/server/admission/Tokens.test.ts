/** Goal: a token file is parsed or refused with its line number, and no token is shown. */
import { it } from "@effect/vitest"
import { Result } from "effect"
import { describe, expect } from "vitest"
import { parseTokens, type Tokens } from "../../../src/server/admission/Tokens.ts"

const read = (text: string): Tokens => Result.getOrThrow(parseTokens(text))

describe("a token", () => {
  it("belongs to the agency on its line", () => {
    const tokens = read("# the north\n1 uno\n\n  2\tdos#2  \r\n0003 tres\n2147483647 último")
    expect(tokens.isOf(1, "uno")).toBe(true)
    expect(tokens.isOf(2, "dos#2")).toBe(true)
    expect(tokens.isOf(3, "tres")).toBe(true)
    expect(tokens.isOf(2_147_483_647, "último")).toBe(true)
  })

  it("is the only one that its agency accepts, and belongs to no other agency", () => {
    const tokens = read("1 uno\n2 dos\n")
    for (const token of ["", "dos", "un", "unoo", "UNO", " uno", "uno\n", "1 uno", "\0uno"]) {
      expect(tokens.isOf(1, token), JSON.stringify(token)).toBe(false)
    }
    expect(tokens.isOf(2, "uno")).toBe(false)
  })

  it("is never right for an agency that has none", () => {
    for (const tokens of [read("1 uno\n"), read(""), read("# nobody\n")]) {
      for (const token of ["", "uno", "\0".repeat(32)]) {
        expect(tokens.isOf(2, token)).toBe(false)
      }
    }
  })

  it("may be shared by agencies and may begin with #", () => {
    const tokens = read("1 #one\n2 #one\n")
    expect(tokens.isOf(1, "#one") && tokens.isOf(2, "#one")).toBe(true)
  })
})

describe("a token file is refused, by line number and without showing a token, if", () => {
  const LINE = "expected an agency number, whitespace and a token"
  const cases: ReadonlyArray<readonly [what: string, text: string, reason: string]> = [
    ["a token is missing", "1 uno\n2\n", `line 2: ${LINE}`],
    ["a number is missing", "hunter2\n", `line 1: ${LINE}`],
    ["the order is wrong", "hunter2 1\n", `line 1: ${LINE}`],
    ["something follows the token", "# a\n\n1 hunter2 b\n", `line 3: ${LINE}`],
    ["an agency is 0", "0 hunter2\n", `line 1: ${LINE}`],
    ["an agency is too large", "2147483648 hunter2\n", `line 1: ${LINE}`],
    ["an agency is negative", "-1 hunter2\n", `line 1: ${LINE}`],
    ["an agency appears twice", "1 uno\r\n01 hunter2\r\n", "line 2: agency 1 already has a token"],
    [
      "a token does not fit in a Hello",
      `1 hunter2${"ñ".repeat(253)}\n`,
      "line 1: expected a token of at most 512 bytes"
    ]
  ]
  it.each(cases)("%s", (_what, text, reason) => {
    expect(parseTokens(text)).toEqual(Result.fail(reason))
  })

  it("but not if the token just fits", () => {
    expect(read(`1 ${"ñ".repeat(256)}`).isOf(1, "ñ".repeat(256))).toBe(true)
  })
})
