/** Goal: a bet that a dialect cannot represent is refused before anything is sent. */
import { describe, expect, it } from "vitest"
import * as BinaryConversation from "../../../src/client/conversation/BinaryConversation.ts"
import * as JsonConversation from "../../../src/client/conversation/JsonConversation.ts"
import * as NativeConversation from "../../../src/client/conversation/NativeConversation.ts"
import { joinFields, makeFieldSpans } from "../../../src/domain/BetRow.ts"

const DIALECTS = {
  binary: BinaryConversation.make(1, 8192),
  json: JsonConversation.make(1),
  native: NativeConversation.make(1, "default")
}

const problemOf = (dialect: keyof typeof DIALECTS, firstName: string, lastName: string) => {
  const spans = makeFieldSpans()
  const bytes = joinFields([firstName, lastName, "1", "1999-03-17", "1"], spans)
  return DIALECTS[dialect].check(bytes, spans)
}

describe("a name", () => {
  it.each([
    ["binary", ";", ","],
    ["json", ",", ";"]
  ] as const)(
    "in the %s dialect cannot contain %s, but can contain %s",
    (dialect, separator, other) => {
      const message = `a name cannot contain "${separator}" in the ${dialect} dialect`
      const odd = `A${separator}`
      expect(problemOf(dialect, odd, "B")).toEqual({ field: "first name", message })
      expect(problemOf(dialect, "A", odd)).toEqual({ field: "last name", message })
      expect(problemOf(dialect, `A${other}`, `B${other}`)).toBeUndefined()
    }
  )

  it("in the native dialect can contain both", () => {
    expect(problemOf("native", "A;,", "B,;")).toBeUndefined()
  })
})
