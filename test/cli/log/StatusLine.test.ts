/** Goal: a user sees the status line below whole log lines. Method: a small terminal emulator. */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import {
  CurrentStatusLine,
  keepDrawn,
  StatusLine,
  whileDrawn
} from "../../../src/cli/log/StatusLine.ts"

/** The escape sequences of a status line: erase to the end, stop wrapping, and move up. */
const ERASE = "\u001b[J"
const WRAP = /^\u001b\[\?7([hl])$/
const UP = /^\u001b\[(\d+)A$/

/** Keeps the rows of a terminal, which wraps lines, also when it becomes narrower. */
const makeScreen = (columns = 80) => {
  let rows = [""]
  const writes: Array<string> = []
  let [at, column] = [0, 0]
  let isWrapping = true
  const put = (character: string) => {
    if (column === columns) [at, column] = isWrapping ? [at + 1, 0] : [at, column - 1]
    const row = rows[at] ?? ""
    rows[at] = row.slice(0, column).padEnd(column) + character + row.slice(column + 1)
    column++
  }
  const write = (text: string) => {
    writes.push(text)
    for (const [token] of text.matchAll(/\u001b\[\??\d*[AJhl]|./gs)) {
      const up = UP.exec(token)?.[1]
      const wrap = WRAP.exec(token)?.[1]
      if (up !== undefined) at -= Number(up)
      else if (wrap !== undefined) isWrapping = wrap === "h"
      else if (token === "\r") column = 0
      else if (token === "\n") [at, column] = [at + 1, 0]
      else if (token === ERASE) rows = [...rows.slice(0, at), (rows[at] ?? "").slice(0, column)]
      else put(token)
      rows[at] ??= ""
    }
  }
  let told = columns
  /** Tells the process how wide the terminal is. */
  const tell = () => {
    told = columns
  }
  /** Makes the terminal narrower; the cursor stays at the end. */
  const narrow = (to: number) => {
    columns = to
    rows = rows.flatMap((row) => row.match(new RegExp(`.{1,${to}}`, "g")) ?? [""])
    at = rows.length - 1
    column = rows[at]!.length
  }
  const status = new StatusLine({ isTerminal: true, columns: () => told, write })
  return { status, lines: () => rows, writes, narrow, tell }
}

describe("a status line", () => {
  it("is redrawn, with whole log lines above it", () => {
    const { lines, status } = makeScreen()
    status.writeAbove("first\n")
    status.show("half of it is done")
    status.writeAbove("second\n")
    status.show("all")
    status.writeAbove("third line, longer\n")
    expect(lines()).toEqual(["first", "second", "third line, longer", "all"])
    status.clear()
    expect(lines()).toEqual(["first", "second", "third line, longer", ""])
    status.writeAbove("fourth\n")
    expect(lines().slice(3)).toEqual(["fourth", ""])
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

  it("leaves room for ^C in its row, at every width", () => {
    const { lines, narrow, status, tell } = makeScreen(20)
    status.show("x".repeat(50))
    expect(lines()).toEqual(["x".repeat(17)])
    narrow(10)
    tell()
    status.show("y".repeat(50))
    expect(lines()).toEqual(["y".repeat(7)])
    narrow(2)
    tell()
    status.show("z")
    expect(lines()).toEqual([""])
  })

  it.each<[string, (status: StatusLine) => void, ReadonlyArray<string>]>([
    ["shown", (status) => status.show("all"), ["all"]],
    ["logged", (status) => status.writeAbove("next\n"), ["next", "hal"]],
    ["cleared", (status) => status.clear(), [""]]
  ])(
    "leaves nothing in a narrower terminal that wrapped it, even if that is told late: %s",
    (_what, change, left) => {
      const { lines, narrow, status, tell } = makeScreen(20)
      status.writeAbove("first\n")
      status.show("half of it is do")
      narrow(6)
      expect(lines()).toEqual(["first", "half o", "f it i", "s do"])
      status.show("half of it is done")
      tell()
      change(status)
      expect(lines()).toEqual(["first", ...left])
    }
  )

  it.effect("does not exist if standard error is not a terminal, which has no width", () =>
    Effect.gen(function* () {
      const writes: Array<string> = []
      let asked = 0
      const columns = () => ++asked
      const write = (text: string) => void writes.push(text)
      const status = new StatusLine({ isTerminal: false, columns, write })
      const show = Effect.gen(function* () {
        yield* TestClock.adjust("1 second")
        status.show("x")
        status.writeAbove("log\n")
        status.clear()
      })
      yield* Effect.provideService(whileDrawn("y", show), CurrentStatusLine, status)
      expect({ asked, writes }).toEqual({ asked: 0, writes: ["log\n"] })
    })
  )

  it.effect("is redrawn ten times per second until the scope closes", () =>
    Effect.gen(function* () {
      const { lines, status, writes } = makeScreen()
      yield* Effect.gen(function* () {
        let drawn = 0
        yield* keepDrawn(() => Effect.sync(() => `drawn ${++drawn}`))
        yield* TestClock.adjust("1 second")
        expect(lines()).toEqual(["drawn 11"])
      }).pipe(Effect.scoped, Effect.provideService(CurrentStatusLine, status))
      expect(lines()).toEqual([""])
      yield* TestClock.adjust("1 second")
      expect(writes).toHaveLength(12)
    })
  )
})
