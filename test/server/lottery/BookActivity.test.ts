import { describe, expect, it } from "vitest"
import { BookActivity } from "../../../src/server/lottery/BookActivity.ts"

/** Notes a hundred bets at each of these times, in milliseconds. */
const noted = (...times: ReadonlyArray<number>): BookActivity => {
  const activity = new BookActivity()
  for (const time of times) activity.note(time, 100)
  return activity
}

const everySecond = (from: number, until: number): ReadonlyArray<number> =>
  Array.from({ length: until - from }, (_, index) => 1000 * (from + index))

describe("the rate of a book", () => {
  it("is zero before the first bets", () => {
    expect(new BookActivity().perSecond(5)).toBe(0)
    expect(new BookActivity().lastMillis).toBeUndefined()
  })

  it.each<[string, ReadonlyArray<number>, number, number]>([
    ["takes at least a second as the time of the first bets", [50], 60, 100],
    ["is that of the time since the first bets", everySecond(0, 4), 4000, 100],
    ["is steady for a steady agency", everySecond(1000, 1100), 1_100_000, 100],
    ["forgets what is longer ago than two spans", [...everySecond(0, 9), 60_000], 61_000, 100],
    ["sinks after the last bets", everySecond(0, 5), 9000, 500 / 9],
    ["is zero two spans after the last bets", everySecond(0, 5), 10_000, 0]
  ])("%s", (_what, times, now, perSecond) => {
    expect(noted(...times).perSecond(now)).toBeCloseTo(perSecond, 0)
  })

  it("does not count bets that were stored before, which are activity all the same", () => {
    const activity = noted(1000)
    activity.note(3000, 0)
    expect(activity.perSecond(3000)).toBe(50)
    expect(activity.lastMillis).toBe(3000)
  })
})
