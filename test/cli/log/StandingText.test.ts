/** Goal: people see how far a draw has got, in any size of their terminal. */
import { describe, expect, it } from "vitest"
import { drawTable, standingLines, WHOLE } from "../../../src/cli/log/StandingText.ts"
import { widthOf } from "../../../src/cli/log/TextTable.ts"
import type { Agency } from "../../../src/domain/Agency.ts"
import { fixedNumber } from "../../../src/domain/Draw.ts"
import * as DrawStanding from "../../../src/server/operator/DrawStanding.ts"
import { type AgencyProgress, NO_PROGRESS } from "../../../src/server/store/BetStore.ts"
import type { StoredDraw } from "../../../src/server/store/StoredDraw.ts"

const AT = Date.parse("2026-12-01T23:00:00Z")
const OPEN: StoredDraw = {
  agencies: [1, 2, 3, 10],
  source: fixedNumber(7574),
  closesAt: undefined,
  sealedAt: undefined,
  sealed: false,
  winningNumber: undefined,
  beacon: undefined,
  drawn: false
}
/** Round 1,000,000 is published at 2023-09-27T08:29:24Z. */
const ROUND = 1_000_000
const ROUND_AT = Date.parse("2023-09-27T08:29:24Z")
const DRAND: StoredDraw = {
  ...OPEN,
  agencies: [1],
  source: { _tag: "drand", at: { round: ROUND } }
}
const SEALED: StoredDraw = {
  ...DRAND,
  sealKey: "lottery.example+9b6c648b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
  sealedAt: ROUND_AT / 1000 - 90,
  sealed: true
}

interface Known extends Partial<AgencyProgress>, Partial<DrawStanding.Live> {}

const PROGRESS: Readonly<Record<Agency, Known>> = {
  1: { bets: 27_000, finished: true, connections: 1, perSecond: 0, lastActivity: AT - 3_725_000 },
  2: { bets: 1200, connections: 1, perSecond: 1500.4, bookBets: 27_000, lastActivity: AT - 400 },
  3: { bets: 0, connections: 0, perSecond: 0, bookBets: 100 },
  10: { bets: 40, excluded: true, connections: 0, perSecond: 0, lastActivity: AT - 200_000_000 }
}

const standing = (
  draw: StoredDraw | null = OPEN,
  known: Readonly<Record<Agency, Known>> = PROGRESS,
  at = AT
) => {
  const progress = Object.entries(known).map(
    ([agency, own]) => [Number(agency), { ...NO_PROGRESS, ...own }] as const
  )
  const stored = { id: "d", draw: draw ?? undefined, progress: new Map(progress) }
  return DrawStanding.make(stored, at, (agency) => ({ ...DrawStanding.NOT_LIVE, ...known[agency] }))
}

const textOf = (shown: DrawStanding.DrawStanding, width?: number, height?: number, note?: string) =>
  standingLines(shown, {
    ...{ id: "d", at: shown.at, note },
    width: width ?? WHOLE.width,
    height: height ?? WHOLE.height
  })

const closing = (closesAt: number) => textOf(standing({ ...OPEN, closesAt }, {}))[0]

describe("the standing of a draw", () => {
  it("has a line for the draw, one for the total and one for each agency", () => {
    expect(textOf(standing())).toEqual([
      "draw d: agencies 1, 2, 3, 10, winning number 7574, taking bets",
      "total: 28200 bets, 52%, 1500/s, 1 of 3 agencies finished, 1 excluded, 2 connections, " +
        "last activity 0 s ago",
      "agency   bets     %  bets/s  last activity     state",
      "     1  27000  100%       0    1:02:05 ago  finished",
      "     2   1200    4%    1500        0 s ago   sending",
      "     3      0    0%       0              –      away",
      "    10     40     –       0        2 d ago  excluded"
    ])
  })

  it("leaves out of the total what is not known, and shows it as a dash", () => {
    const known = { 1: { bets: 1, finished: true, told: true }, 2: { bets: 30 } }
    expect(textOf(standing({ ...OPEN, agencies: [1, 2] }, known)).slice(1)).toEqual([
      "total: 31 bets, 1 of 2 agencies finished, winners sent to 1",
      "agency  bets     %  bets/s  last activity         state",
      "     1     1  100%       –              –  winners sent",
      "     2    30     –       –              –             –"
    ])
  })

  it("is short before the draw is opened", () => {
    expect(textOf(standing(null, {})).slice(0, 2)).toEqual([
      "draw d: not opened yet",
      "total: 0 bets"
    ])
    const line = textOf(standing(null, { 4: { bets: 1 } }))[1]
    expect(line).toBe("total: 1 bet")
  })

  it("is not at 100% before the last bet, and not above", () => {
    const percentOf = (bets: number) =>
      /(\d+%)/.exec(textOf(standing(OPEN, { 1: { bets, bookBets: 1000 } })).at(-4)!)?.[1]
    expect([999, 1000, 1001].map(percentOf)).toEqual(["99%", "100%", "100%"])
  })

  it("counts down to the close", () => {
    const draw = "draw d: agencies 1, 2, 3, 10, winning number 7574"
    const at = "closes at 2026-12-02T00:00:00Z"
    expect(closing(Date.parse("2026-12-02T00:00:00Z"))).toBe(
      `${draw}, ${at}, in 1:00:00, taking bets`
    )
    expect(closing(AT + 100)).toContain("Z, in 0:01, taking bets")
    expect(closing(AT - 1)).toBe(`${draw}, closes once a book is finished, taking bets`)
    const drawn = { ...OPEN, closesAt: AT, winningNumber: 7574, drawn: true }
    expect(textOf(standing(drawn, {}))[0]).toBe(`${draw}, drawn`)
  })

  it("says that the number is awaited", () => {
    const announced: StoredDraw = { ...OPEN, agencies: [1], source: { _tag: "announced" } }
    expect(textOf(standing(announced, { 1: { finished: true } }))[0]).toBe(
      "draw d: agency 1, winning number not known yet, waiting for the number"
    )
    const sealed = { ...announced, sealKey: SEALED.sealKey, sealedAt: 1, sealed: true }
    expect(textOf(standing(sealed, { 1: { finished: true } }))[0]).toBe(
      "draw d: agency 1, winning number not known yet, sealed, waiting for the number"
    )
  })

  it.each([
    ["sealed, ", SEALED],
    ["", { ...SEALED, sealKey: undefined, sealed: false }]
  ])("counts down to the round of the number: %s", (sealed, draw) => {
    const line = (at: number) => textOf(standing(draw, { 1: { finished: true } }, at))[0]
    const number = `winning number of drand round ${ROUND}`
    expect(line(ROUND_AT - 61_000)).toBe(
      `draw d: agency 1, ${number}, ${sealed}waiting for round ${ROUND} until ` +
        "2023-09-27T08:29:24Z, in 1:01"
    )
    expect(line(ROUND_AT)).toBe(
      `draw d: agency 1, ${number}, ${sealed}waiting for round ${ROUND}, due since ` +
        "2023-09-27T08:29:24Z"
    )
  })

  it("says whether the round was missed", () => {
    const line = (at: number) => textOf(standing(DRAND, {}, at))[0]
    const start = `draw d: agency 1, winning number of drand round ${ROUND}`
    expect(line(ROUND_AT - 1)).toBe(`${start}, taking bets`)
    expect(line(ROUND_AT)).toBe(
      `${start}, missed: the books were not closed before round ${ROUND}, published at ` +
        "2023-09-27T08:29:24Z"
    )
  })
})

describe("on a terminal of forty columns", () => {
  it("has more lines for the draw and fewer columns for the agencies", () => {
    expect(textOf(standing(), 40, 20, "no server answers")).toEqual([
      "draw d: agencies 1, 2, 3, 10",
      "winning number 7574, taking bets",
      "total: 28200 bets, 52%, 1500/s",
      "1 of 3 agencies finished, 1 excluded",
      "2 connections, last activity 0 s ago",
      "no server answers",
      "agency   bets     %  bets/s     state",
      "     1  27000  100%       0  finished",
      "     2   1200    4%    1500   sending",
      "     3      0    0%       0      away",
      "    10     40     –       0  excluded"
    ])
  })

  it("splits a long phase between words", () => {
    const shown = standing(SEALED, { 1: { finished: true } }, ROUND_AT - 61_000)
    expect(textOf(shown, 40, 20).slice(0, 4)).toEqual([
      "draw d: agency 1",
      "winning number of drand round 1000000",
      "sealed, waiting for round 1000000 until",
      "2023-09-27T08:29:24Z, in 1:01"
    ])
  })

  it("fits even with the longest agency and state", () => {
    const known = { 2147483647: { bets: 100_000_000, finished: true, told: true } }
    const lines = textOf(standing({ ...OPEN, agencies: [2_147_483_647] }, known), 40, 20)
    expect(lines.slice(-2)).toEqual([
      "    agency       bets         state",
      "2147483647  100000000  winners sent"
    ])
    for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(40)
  })
})

describe("on a terminal with few rows", () => {
  const agencies = Array.from({ length: 5000 }, (_, index) => index + 1)
  const many: Readonly<Record<Agency, Known>> = Object.fromEntries(
    agencies.map((agency) => {
      if (agency <= 3000) return [agency, { finished: true, connections: 1 }]
      return [agency, { connections: agency % 1000 === 0 ? 1 : 0 }]
    })
  )
  const shown = standing({ ...OPEN, agencies }, many)

  it("shows unfinished agencies first, of these the sending ones, and counts the rest", () => {
    const lines = textOf(shown, 80, 10)
    expect(lines).toHaveLength(10)
    const rows = lines.filter((line) => /^ *\d/.test(line))
    expect(rows.map((row) => row.trim().split(/ +/)[0])).toEqual([
      ...["4000", "5000", "3001", "3002", "3003", "3004"]
    ])
    expect(lines.at(-1)).toBe("… and 4994 more: 1994 away, 3000 finished")
  })

  it.each([1, 2, 3, 4, 5])("does not fail with %i", (height) => {
    expect(textOf(shown, 80, height).at(-1)).toMatch(/^… and \d+ more/)
  })

  it("shows all in ascending order if they just fit", () => {
    const lines = textOf(standing(), 80, 8)
    expect(lines.slice(-4).map((line) => Number(line.slice(0, 6)))).toEqual([1, 2, 3, 10])
    expect(textOf(standing(), 80, 7).at(-1)).toMatch(/^… and /)
  })
})

it("several draws are a line each", () => {
  const drawn = { ...OPEN, agencies: [1], winningNumber: 3, drawn: true }
  const draws = [
    { id: "d", standing: standing() },
    { id: "sunday", standing: standing(drawn, { 1: { bets: 5, finished: true, told: true } }) },
    { id: "new", standing: standing(null, {}) },
    { id: "drand", standing: standing(SEALED, { 1: { finished: true } }) }
  ]
  expect(drawTable(draws)).toEqual([
    "draw     bets  agencies  finished  excluded  winners sent         number           phase",
    "d       28200         4         1         1             0           7574     taking bets",
    "sunday      5         1         1         0             1              3           drawn",
    "new         0         –         –         –             –              –  not opened yet",
    "drand       0         1         1         0             0  round 1000000          sealed"
  ])
})
