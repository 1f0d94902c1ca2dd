/** Goal: a screen shows the newest lines, and leaves the terminal as it was. */
import { expect, it } from "vitest"
import { Screen } from "../../../src/cli/log/Screen.ts"

const makeScreen = () => {
  const writes: Array<string> = []
  const size = { columns: 20, rows: 3 }
  const screen = new Screen({
    columns: () => size.columns,
    rows: () => size.rows,
    write: (text) => void writes.push(text)
  })
  return { screen, writes, size }
}

const ENTER = "\u001b[?1049h\u001b[?25l"
const LEAVE = "\u001b[?25h\u001b[?1049l"
const drawn = (...lines: ReadonlyArray<string>) => {
  const text = lines.map((line) => `\u001b[K${line}`).join("\r\n")
  return `\u001b[?7l\u001b[H${text}${lines.length < 3 ? "\r\n\u001b[J" : ""}\u001b[?7h`
}

it("draws from the top, erases the rest of each line and below, and does not wrap", () => {
  const { screen, writes } = makeScreen()
  screen.show(["one", "two"])
  screen.show(["three"])
  expect(writes).toEqual([ENTER + drawn("one", "two"), drawn("three")])
})

it("draws nothing again, unless the terminal has another size", () => {
  const { screen, size, writes } = makeScreen()
  for (const columns of [20, 20, 10, 10]) {
    size.columns = columns
    screen.show(["one"])
  }
  expect(writes).toEqual([ENTER + drawn("one"), drawn("one")])
})

it("cuts off the lines that would scroll the terminal", () => {
  const { screen, writes } = makeScreen()
  screen.show(["1", "2", "3", "4"])
  expect(writes).toEqual([ENTER + drawn("1", "2", "3")])
})

it("leaves the terminal once, and only if it has drawn", () => {
  const { screen, writes } = makeScreen()
  screen.leave()
  expect(writes).toEqual([])
  screen.show(["one"])
  screen.leave()
  screen.leave()
  expect(writes.slice(1)).toEqual([LEAVE])
})
