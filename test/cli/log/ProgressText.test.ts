import { describe, expect, it } from "vitest"
import { RateMeter, uploadText, waitingText } from "../../../src/cli/log/ProgressText.ts"

describe("an upload", () => {
  const text = (acknowledged: number, total: number, perSecond: number, width = 120) =>
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

  it("shows 100% only when it is complete", () => {
    expect(text(99_999, 100_000, 10)).toContain(`${bar(39)} 99999 of 100000 bets, 99%`)
    expect(text(0, 0, 0)).toContain(`${bar(40)} 0 of 0 bets, 100%`)
  })

  it("shows the time left as a clock, unless it is days", () => {
    expect(text(0, 600, 1)).toContain("10:00 left")
    expect(text(0, 3_661, 1)).toContain("1:01:01 left")
    expect(text(0, 86_401, 1)).not.toContain("left")
  })

  it("fits the width, with a shorter bar or none", () => {
    const whole = text(15_000, 27_000, 1500).length
    for (let width = 1; width <= 100; width++) {
      const shown = text(15_000, 27_000, 1500, width)
      const short = "15000 of 27000 bets, 55%, 1500/s, 0:08 left"
      if (width < short.length + 13) expect(shown).toBe(short)
      else expect(shown).toHaveLength(Math.min(width, whole))
    }
  })
})

it("the wait shows how many agencies have finished, if that is known", () => {
  expect(waitingText({ finished: 3, expected: 5 })).toBe(
    "waiting for the draw: 3 of 5 agencies have finished"
  )
  expect(waitingText(undefined)).toBe("waiting for the draw")
})

describe("a rate", () => {
  it("covers the last ten seconds", () => {
    const meter = new RateMeter()
    expect(meter.perSecond).toBe(0)
    meter.sample(5000, 100)
    expect(meter.perSecond).toBe(0)
    for (let second = 1; second <= 10; second++) meter.sample(5000 + 1000 * second, 100)
    expect(meter.perSecond).toBe(0)
    for (let second = 11; second <= 15; second++) {
      meter.sample(5000 + 1000 * second, 100 + 200 * (second - 10))
    }
    expect(meter.perSecond).toBe(100)
    for (let second = 16; second <= 40; second++) meter.sample(5000 + 1000 * second, 1100)
    expect(meter.perSecond).toBe(0)
  })

  it("is not negative if an upload starts again", () => {
    const meter = new RateMeter()
    meter.sample(0, 1000)
    meter.sample(1000, 10)
    expect(meter.perSecond).toBe(0)
  })

  it("needs only a few samples, far apart", () => {
    const meter = new RateMeter()
    meter.sample(0, 0)
    meter.sample(60_000, 600)
    expect(meter.perSecond).toBe(10)
  })
})
