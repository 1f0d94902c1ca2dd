/**
 * Goal: a board knows what its server knows, whatever events it gets. Method: events of a made-up
 * draw.
 */
import { describe, expect, it } from "vitest"
import {
  AFTER,
  awaitedRound,
  highestRate,
  millisToClose,
  NOTHING_KNOWN,
  phaseOf,
  problemOf,
  publishedOf,
  rateOf
} from "../../../../src/server/operator/board/LiveState.ts"
import * as Events from "../../../support/browser/liveEvents.ts"

const { agencyOf, finishedOf, sendingOf, standingOf } = Events
const NOW = 1_800_000_000_000

const known = (...standings: ReadonlyArray<ReturnType<typeof standingOf>>) =>
  standings.reduce((state, event) => AFTER.standing(state, event, NOW), NOTHING_KNOWN)

describe("a standing", () => {
  const first = standingOf([agencyOf(1), sendingOf(2, 10), sendingOf(3, 20)], NOW)

  it("replaces the agencies that it lists", () => {
    const second = standingOf([finishedOf(2, 11)], NOW, {}, { whole: false })
    const { agencies } = known(first, second)
    expect([...agencies.keys()]).toEqual([1, 2, 3])
    expect(agencies.get(2)).toEqual(finishedOf(2, 11))
    expect(agencies.get(3)).toEqual(sendingOf(3, 20))
  })

  it("replaces all agencies if it is whole", () => {
    expect([...known(first, standingOf([finishedOf(2, 11)], NOW)).agencies.keys()]).toEqual([2])
  })

  it("changes no earlier state", () => {
    const before = known(first)
    AFTER.standing(before, standingOf([finishedOf(2, 11)], NOW, {}, { whole: false }), NOW)
    expect(before.agencies.get(2)).toEqual(sendingOf(2, 10))
  })

  it("brings the totals and the draw of its time", () => {
    const { standing } = known(first, standingOf([], NOW, { phase: "closed" }, { whole: false }))
    expect(standing?.draw?.phase).toBe("closed")
    expect(standing?.total.agencies).toBe(0)
  })
})

describe("the phase", () => {
  it("is the word of the server, also an unknown one", () => {
    expect(phaseOf(NOTHING_KNOWN)).toBe("connecting…")
    expect(phaseOf(known(standingOf([], NOW, {}, { draw: null })))).toBe("the draw is not open yet")
    for (const phase of ["taking bets", "waiting for the number", "counting"]) {
      // A later server may know more phases than this board.
      const event = JSON.parse(
        JSON.stringify(standingOf([], NOW, {})).replace("taking bets", phase)
      )
      expect(phaseOf(known(event))).toBe(phase)
    }
  })
})

describe("the time to the close", () => {
  const closesAt = NOW + 60_000

  it("follows the server's clock, however wrong the browser's is", () => {
    for (const wrongBy of [-3_600_000, 0, 3_600_000]) {
      const server = AFTER.server(NOTHING_KNOWN, Events.serverOf(NOW), NOW + wrongBy)
      // The last standing, which a new board gets, may be old.
      const event = standingOf([], NOW - 7_200_000, { closesAt })
      const state = AFTER.standing(server, event, NOW + wrongBy)
      expect(millisToClose(state, NOW + wrongBy)).toBe(60_000)
      expect(millisToClose(state, NOW + wrongBy + 61_000)).toBe(-1000)
      const later = AFTER.server(state, Events.serverOf(NOW + 5000), NOW + wrongBy + 4000)
      expect(millisToClose(later, NOW + wrongBy + 4000)).toBe(55_000)
    }
  })

  it("is there only while bets are taken until some time", () => {
    expect(millisToClose(NOTHING_KNOWN, NOW)).toBeUndefined()
    expect(millisToClose(known(standingOf([], NOW)), NOW)).toBeUndefined()
    const drawn = standingOf([], NOW, { closesAt, phase: "drawn" })
    expect(millisToClose(known(drawn), NOW)).toBeUndefined()
  })
})

describe("the awaited round", () => {
  const waiting = { phase: "sealed", round: 7, roundAt: NOW + 60_000 } as const

  it("comes at a time of the server's clock, and may be late", () => {
    const server = AFTER.server(NOTHING_KNOWN, Events.serverOf(NOW), NOW + 3_600_000)
    for (const phase of ["sealed", "waiting for the number"] as const) {
      const state = AFTER.standing(server, standingOf([], NOW, { ...waiting, phase }), NOW)
      const millisAt = (now: number) => awaitedRound(state, now + 3_600_000)?.millis
      expect([millisAt(NOW), millisAt(NOW + 61_000)]).toEqual([60_000, -1000])
    }
  })

  it("is there only while the draw waits for one", () => {
    expect(awaitedRound(NOTHING_KNOWN, NOW)).toBeUndefined()
    for (const draw of [
      { ...waiting, phase: "taking bets" },
      { ...waiting, phase: "drawn" },
      { ...waiting, phase: "missed" },
      { phase: "sealed" }
    ] as const) {
      expect(awaitedRound(known(standingOf([], NOW, draw)), NOW)).toBeUndefined()
    }
  })
})

describe("the problem", () => {
  const missed = known(standingOf([], NOW, { phase: "missed", round: 7 }))
  const own = "the store is unavailable"
  const broken = (state: typeof missed) =>
    AFTER.server(state, Events.serverOf(NOW, { problem: own }), NOW)

  it("is that of the server, of the draw, or both", () => {
    expect(problemOf(NOTHING_KNOWN)).toBeUndefined()
    expect(problemOf(known(standingOf([], NOW)))).toBeUndefined()
    expect(problemOf(broken(NOTHING_KNOWN))).toBe(own)
    expect(problemOf(missed)).toMatch(/^the books were not closed before round 7 was published/)
    expect(problemOf(broken(missed))).toBe(`${problemOf(missed)}; ${own}`)
  })
})

describe("what is published", () => {
  const of = (publishesSeal: boolean, draw: Parameters<typeof standingOf>[2]) => {
    const state = known(standingOf([], NOW, draw))
    return publishedOf(AFTER.server(state, Events.serverOf(NOW, { publishesSeal }), NOW))
  }

  it("is the seal and then the result, if the server publishes them", () => {
    const drawn = { phase: "drawn", held: true } as const
    expect(of(true, { phase: "sealed", sealedAt: NOW })).toEqual(["seal"])
    expect(of(true, { ...drawn, sealedAt: NOW })).toEqual(["seal", "result"])
    expect(of(true, drawn)).toEqual([])
    expect(of(false, { ...drawn, sealedAt: NOW })).toEqual([])
    expect(publishedOf(known(standingOf([], NOW, { sealedAt: NOW })))).toEqual([])
  })
})

describe("the rate", () => {
  const rates = { everyMillis: 2000, until: NOW, perSecond: [900, 30, 20] }

  it("is that of all agencies, or else of this server", () => {
    const standing = standingOf([sendingOf(1, 5, { perSecond: 12.5 })], NOW)
    const unknown = { ...standing, total: { ...standing.total, perSecond: null } }
    expect(rateOf(NOTHING_KNOWN)).toBeNull()
    expect(rateOf(known(standing))).toBe(12.5)
    expect(rateOf(AFTER.rates(known(standing), rates, NOW))).toBe(12.5)
    expect(rateOf(AFTER.rates(known(unknown), rates, NOW))).toBe(20)
  })

  it("has a highest value, the present one included", () => {
    expect(highestRate(NOTHING_KNOWN)).toBe(0)
    expect(highestRate(AFTER.rates(NOTHING_KNOWN, rates, NOW))).toBe(900)
    const fast = standingOf([sendingOf(1, 5, { perSecond: 1000 })], NOW)
    expect(highestRate(AFTER.rates(known(fast), rates, NOW))).toBe(1000)
  })
})
