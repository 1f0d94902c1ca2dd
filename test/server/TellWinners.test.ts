/** Goal: whoever asks for an agency's winners again is told the bytes that were made already. */
import { it } from "@effect/vitest"
import { Result } from "effect"
import { describe, expect } from "vitest"
import { madeOnce } from "../../src/server/TellWinners.ts"

describe("the answer to an agency", () => {
  it("is made once, and another agency's is another one", () => {
    let made = 0
    const answerOf = madeOnce(() => Result.succeed(Uint8Array.of(++made)))
    const [one, other] = [["10"], ["10"]]
    expect([one, other, one, other].map((documents) => answerOf(documents))).toEqual(
      [1, 2, 1, 2].map((count) => Result.succeed(Uint8Array.of(count)))
    )
  })
})
