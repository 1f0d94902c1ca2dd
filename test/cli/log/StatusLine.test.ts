/** Goal: a user sees the status line below whole log lines. Method: a small terminal emulator. */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { CurrentStatusLine, keepDrawn, StatusLine } from "../../../src/cli/log/StatusLine.ts"

/** Keeps the visible text: the lines above, and the one under the cursor. */
const makeScreen = (columns = 80, isTerminal = true) => {
  const lines = [""]
  const writes: Array<string> = []
  let column = 0
  const put = (character: string) => {
    const line = lines.at(-1)!
    lines[lines.length - 1] =
      line.slice(0, column).padEnd(column) + character + line.slice(column + 1)
    column++
    if (column > columns) throw new Error("the line was wrapped")
  }
  const write = (text: string) => {
    writes.push(text)
    for (const [token] of text.matchAll(/\u001b\[2?K|./gs)) {
      if (token === "\r") column = 0
      else if (token === "\n") {
        lines.push("")
        column = 0
      } else if (token === "\u001b[2K") lines[lines.length - 1] = ""
      else if (token === "\u001b[K") lines[lines.length - 1] = lines.at(-1)!.slice(0, column)
      else put(token)
    }
  }
  const size = { columns }
  const status = new StatusLine({ isTerminal, columns: () => size.columns, write })
  return { status, lines, writes, size }
}

describe("a status line", () => {
  it("is redrawn, with whole log lines above it", () => {
    const { lines, status } = makeScreen()
    status.writeAbove("first\n")
    status.show("half of it is done")
    status.writeAbove("second\n")
    status.show("all")
    status.writeAbove("third line, longer\n")
    expect(lines).toEqual(["first", "second", "third line, longer", "all"])
    status.clear()
    expect(lines).toEqual(["first", "second", "third line, longer", ""])
    status.writeAbove("fourth\n")
    expect(lines.slice(3)).toEqual(["fourth", ""])
  })

  it("is written together with a log line, so that nothing comes between", () => {
    const { status, writes } = makeScreen()
    status.show("x")
    status.writeAbove("log\n")
    expect(writes).toHaveLength(2)
    status.show("x")
    status.clear()
    status.clear()
    expect(writes).toHaveLength(3)
  })

  it("never fills the last column, even if the width changes", () => {
    const { lines, size, status } = makeScreen(20)
    status.show("x".repeat(50))
    expect(lines).toEqual(["x".repeat(19)])
    size.columns = 10
    status.show("y".repeat(50))
    expect(lines).toEqual(["y".repeat(9)])
    size.columns = 0
    status.show("z")
    expect(lines).toEqual([""])
  })

  it("does not exist if standard error is not a terminal", () => {
    const { status, writes } = makeScreen(80, false)
    status.show("x")
    status.writeAbove("log\n")
    status.clear()
    expect(writes).toEqual(["log\n"])
  })

  it.effect("is redrawn ten times per second until the scope closes", () =>
    Effect.gen(function* () {
      const { lines, status, writes } = makeScreen()
      yield* Effect.gen(function* () {
        let drawn = 0
        yield* keepDrawn(() => Effect.sync(() => `drawn ${++drawn}`))
        yield* TestClock.adjust("1 second")
        expect(lines).toEqual(["drawn 11"])
      }).pipe(Effect.scoped, Effect.provideService(CurrentStatusLine, status))
      expect(lines).toEqual([""])
      yield* TestClock.adjust("1 second")
      expect(writes).toHaveLength(12)
    })
  )
})
