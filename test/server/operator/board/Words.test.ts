/** Goal: numbers, durations and times read well. Method: examples at the limits of each form. */
import { describe, expect, it } from "vitest"
import * as Words from "../../../../src/server/operator/board/Words.ts"

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe("numbers", () => {
  it("have separators, and digits after the point only if they are small", () => {
    expect(Words.count(1_234_567)).toBe("1,234,567")
    expect(Words.count(null)).toBe("–")
    expect([0, 3.46, 99.95, 12_345.6, null].map(Words.measure)).toEqual([
      "0",
      "3.5",
      "100",
      "12,346",
      "–"
    ])
    expect([9120.4, 0, null].map(Words.rate)).toEqual(["9,120/s", "0/s", "–"])
    expect(Words.compact(12_340)).toBe("12.3K")
  })

  it("are 100 percent only if all is done", () => {
    expect(Words.percent(0, 500)).toBe(0)
    expect(Words.percent(310, 500)).toBe(62)
    expect(Words.percent(999_999, 1_000_000)).toBe(99)
    expect(Words.percent(500, 500)).toBe(100)
    expect(Words.percent(600, 500)).toBe(100)
    expect(Words.percent(0, 0)).toBe(100)
  })

  it("agree with their words", () => {
    expect(Words.finished(3, 5)).toBe("3 of 5 agencies have finished")
    expect(Words.finished(1, 5000)).toBe("1 of 5,000 agencies has finished")
    expect(Words.finished(0, 1)).toBe("0 of 1 agency has finished")
    expect(Words.finished(0, 5)).toBe("0 of 5 agencies have finished")
  })
})

describe("durations", () => {
  it("have two units, the smaller one in full", () => {
    expect(Words.duration(12 * SECOND + 999)).toBe("12 s")
    expect(Words.duration(4 * MINUTE + 9 * SECOND)).toBe("4 min 09 s")
    expect(Words.duration(3 * HOUR + 5 * MINUTE + 59 * SECOND)).toBe("3 h 05 min")
    expect(Words.duration(2 * DAY + 3 * HOUR)).toBe("2 d 3 h")
  })

  it("of the past have one unit", () => {
    expect(Words.ago(-SECOND)).toBe("just now")
    expect(Words.ago(999)).toBe("just now")
    expect(Words.ago(3 * SECOND)).toBe("3 s ago")
    expect(Words.ago(MINUTE)).toBe("1 min ago")
    expect(Words.ago(23 * HOUR)).toBe("23 h ago")
    expect(Words.ago(50 * HOUR)).toBe("2 d ago")
  })
})

describe("times", () => {
  it("have a date if it is another day's", () => {
    const at = Date.UTC(2026, 11, 1, 21, 0, 5)
    expect(Words.localTime(at, at + HOUR)).toBe("21:00:05")
    expect(Words.localTime(at, at + 3 * HOUR)).toBe("Tue 1 Dec 21:00:05")
  })
})
