import { describe, expect, it } from "vitest"
import { RateMeter } from "../../src/domain/RateMeter.ts"

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
