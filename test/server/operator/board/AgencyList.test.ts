/**
 * Goal: the list of a board has first what the draw waits for, never more rows than a browser can
 * bear, and finds each agency. Method: made-up agencies.
 */
import { describe, expect, it } from "vitest"
import { list, MAX_ROWS, shownText } from "../../../../src/server/operator/board/AgencyList.ts"
import type { AgencyStanding } from "../../../../src/server/operator/DrawStanding.ts"
import {
  agencyOf,
  excludedOf,
  finishedOf,
  sendingOf,
  toldOf
} from "../../../support/browser/liveEvents.ts"

const mapOf = (rows: ReadonlyArray<AgencyStanding>) => new Map(rows.map((row) => [row.agency, row]))
const numbersOf = (rows: ReadonlyArray<AgencyStanding>, filter = "") =>
  list(mapOf(rows), filter).rows.map(({ agency }) => agency)

/** Agencies 1 to `count`: every third is finished, every other one of the rest is away. */
const many = (count: number) =>
  Array.from({ length: count }, (_, index) => {
    const agency = index + 1
    if (agency % 3 === 0) return finishedOf(agency, 100)
    return agency % 2 === 0 ? agencyOf(agency) : sendingOf(agency, 10)
  })

describe("the list of agencies", () => {
  it("has the unfinished ones first, then goes by number", () => {
    const rows = [toldOf(10, 1), excludedOf(1, 1), finishedOf(2, 1), agencyOf(9), sendingOf(3, 1)]
    expect(numbersOf(rows)).toEqual([3, 9, 1, 2, 10])
  })

  it("ignores a filter that it does not show", () => {
    expect(list(mapOf(many(50)), "7")).toMatchObject({ hasFilter: false, matching: 50 })
    expect(list(mapOf(many(51)), "7")).toMatchObject({ hasFilter: true, matching: 1 })
  })

  it("finds agencies by number and by state", () => {
    expect(numbersOf(many(60), "5")).toEqual([5, 50, 52, 53, 55, 56, 58, 59, 51, 54, 57])
    expect(numbersOf(many(60), " AWAY 5 ")).toEqual([50, 52, 56, 58])
    expect(numbersOf(many(60), "fin")).toHaveLength(20)
    expect(numbersOf([...many(60), toldOf(61, 1)], "sent")).toEqual([61])
    expect(numbersOf(many(60), "nonsense")).toEqual([])
    const unknown = { ...agencyOf(61), state: null }
    expect(numbersOf([...many(60), unknown], "unknown")).toEqual([61])
  })

  it("shows an agency that is asked for by its number before all others", () => {
    expect(numbersOf(many(10_000), "3")[0]).toBe(3)
  })

  it("has a limit, and says so", () => {
    const all = list(mapOf(many(4812)), "")
    expect(all.rows).toHaveLength(MAX_ROWS)
    expect(shownText(all)).toBe("200 of 4,812 shown; filter to see others")
    const sending = list(mapOf(many(4812)), "sending")
    expect(shownText(sending)).toBe("200 of 1,604 that match shown; filter to see others")
    expect(shownText(list(mapOf(many(4812)), "4812"))).toBe("1 of 4,812 match")
    expect(shownText(list(mapOf(many(60)), ""))).toBe("60 shown")
  })
})
