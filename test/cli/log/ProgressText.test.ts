import { describe, expect, it } from "vitest"
import {
  counted,
  uploadedText,
  uploadText,
  waitingText
} from "../../../src/cli/log/ProgressText.ts"

describe("an upload", () => {
  const text = (acknowledged: number, total: number, perSecond?: number, width = 120) =>
    uploadText({ acknowledged, total, perSecond }, width)
  const bar = (filled: number, width = 40) => `[${"#".repeat(filled).padEnd(width, "-")}]`

  it("shows a bar, counts, percent, speed and the time left", () => {
    expect(text(15_000, 27_000, 1500)).toBe(
      `${bar(22)} 15000 of 27000 bets, 55%, 1500/s, 0:08 left`
    )
    expect(text(0, 27_000, 0)).toBe(`${bar(0)} 0 of 27000 bets, 0%, 0/s`)
    expect(text(27_000, 27_000, 99.5)).toBe(
      `${bar(40)} 27000 of 27000 bets, 100%, 100/s, 0:00 left`
    )
  })

  it("shows no speed while nothing is sent", () => {
    expect(text(15_000, 27_000)).toBe(`${bar(22)} 15000 of 27000 bets, 55%`)
  })

  it("shows 100% only when it is complete", () => {
    expect(text(99_999, 100_000, 10)).toContain(`${bar(39)} 99999 of 100000 bets, 99%`)
    expect(text(0, 0, 0)).toContain(`${bar(40)} 0 of 0 bets, 100%`)
  })

  it("shows the time left as a clock, unless it is days", () => {
    expect(text(0, 600, 1)).toContain("10:00 left")
    expect(text(0, 3_661, 1)).toContain("1:01:01 left")
    expect(text(0, 86_401, 1)).not.toContain("left")
  })

  it("fits the width, with a shorter bar, no bar, or fewer numbers", () => {
    for (let width = 3; width <= 100; width++) {
      expect(text(15_000, 27_000, 1500, width).length).toBeLessThanOrEqual(width)
    }
    const whole = "15000 of 27000 bets, 55%, 1500/s, 0:08 left"
    expect(text(15_000, 27_000, 1500, 78)).toBe(`${bar(15, 27)} ${whole}`)
    expect(text(15_000, 27_000, 1500, 61)).toBe(`${bar(5, 10)} ${whole}`)
    expect(text(15_000, 27_000, 1500, 60)).toBe(whole)
    expect(text(15_000, 27_000, 1500, 42)).toBe("15000 of 27000 bets, 55%, 1500/s")
    expect(text(15_000, 27_000, 1500, 31)).toBe("15000 of 27000 bets, 55%")
    expect(text(15_000, 27_000, 1500, 23)).toBe("55%")
  })

  it("keeps the length of its bar", () => {
    for (const [acknowledged, perSecond] of [
      [0, 0],
      [9, 0.001],
      [26_999, 999_999]
    ] as const) {
      const shown = text(acknowledged, 27_000, perSecond, 78)
      expect(shown.indexOf("]")).toBe(28)
      expect(shown.length).toBeLessThanOrEqual(77)
    }
  })
})

it("the wait shows how many agencies have finished, if that is known", () => {
  const waiting = (width: number) => waitingText({ finished: 3, expected: 5 }, width)
  expect(waiting(80)).toBe("waiting for the draw: 3 of 5 agencies have finished")
  expect(waiting(37)).toBe("waiting for the draw: 3 of 5")
  expect(waiting(20)).toBe("3 of 5")
  expect(waitingText(undefined, 80)).toBe("waiting for the draw")
})

describe("the end of an upload", () => {
  const text = (total: number, before: number, millis: number) =>
    uploadedText({ total, before, millis })

  it("shows bets, time and mean rate", () => {
    expect(text(27_000, 0, 18_000)).toBe("27000 bets in 18.0 s, 1500/s")
    expect(text(3_000_000, 0, 600_000)).toBe("3000000 bets in 10:00, 5000/s")
    expect(text(1, 0, 0)).toBe("1 bet in 0.0 s, 1000/s")
    expect(text(0, 0, 40)).toBe("0 bets in 0.0 s, 0/s")
  })

  it("shows which of the bets this run sent", () => {
    expect(text(27_000, 15_000, 8000)).toBe("27000 bets, 12000 of them in 8.0 s, 1500/s")
    expect(text(27_000, 27_000, 8000)).toBe("27000 bets, stored before")
  })

  it("shows the winners", () => {
    const texts = [0, 1, 2].map((count) => counted(count, "winner"))
    expect(texts).toEqual(["0 winners", "1 winner", "2 winners"])
  })
})
