/** Goal: the phase of a draw, the state of each agency and the totals follow from what is known. */
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import type { Agency } from "../../../src/domain/Agency.ts"
import { fixedNumber, type NumberSource } from "../../../src/domain/Draw.ts"
import * as DrawStanding from "../../../src/server/operator/DrawStanding.ts"
import { type AgencyProgress, NO_PROGRESS } from "../../../src/server/store/BetStore.ts"
import type { StoredDraw } from "../../../src/server/store/StoredDraw.ts"

const OPEN: StoredDraw = {
  agencies: [1, 2],
  source: fixedNumber(7574),
  closesAt: undefined,
  sealedAt: undefined,
  sealed: false,
  winningNumber: undefined,
  beacon: undefined,
  drawn: false
}
const ANNOUNCED: StoredDraw = { ...OPEN, source: { _tag: "announced" } }
const SEALED = { sealKey: "lottery.example+9b6c648b+AQOh", sealedAt: 400, sealed: true }
const DONE: Partial<AgencyProgress> = { bets: 10, finished: true }
/** One second after the first round of drand's quicknet. */
const AT = 1_692_803_368_000

const make = (
  draw: StoredDraw | undefined,
  progress: Readonly<Record<Agency, Partial<AgencyProgress>>> = {},
  live: Readonly<Record<Agency, Partial<DrawStanding.Live>>> = {}
) => {
  const stored = Object.entries(progress).map(
    ([agency, own]) => [Number(agency), { ...NO_PROGRESS, ...own }] as const
  )
  return DrawStanding.make({ id: "d", draw, progress: new Map(stored) }, AT, (agency) => ({
    ...DrawStanding.NOT_LIVE,
    ...live[agency]
  }))
}

describe("the phase", () => {
  const bothDone = { 1: DONE, 2: { excluded: true } }
  it.each<[DrawStanding.Phase, StoredDraw, Parameters<typeof make>[1]]>([
    ["taking bets", OPEN, { 1: DONE }],
    ["closed", OPEN, bothDone],
    ["waiting for the number", ANNOUNCED, bothDone],
    ["closed", { ...ANNOUNCED, winningNumber: 3 }, bothDone],
    ["closed", { ...ANNOUNCED, sealKey: SEALED.sealKey }, bothDone],
    ["sealed", { ...ANNOUNCED, ...SEALED }, bothDone],
    ["closed", { ...ANNOUNCED, ...SEALED, winningNumber: 3 }, bothDone],
    ["missed", { ...OPEN, source: { _tag: "drand", at: { round: 1 } } }, { 1: DONE }],
    ["drawn", { ...OPEN, winningNumber: 7574, drawn: true }, bothDone]
  ])("is %s", (phase, draw, progress) => {
    expect(make(draw, progress).draw).toMatchObject({ phase, held: phase === "drawn" })
  })

  it("does not exist before the draw is opened; the stored bets do", () => {
    const { agencies, draw, total } = make(undefined, { 4: { bets: 2 } })
    expect(draw).toBeNull()
    expect(agencies).toMatchObject([{ agency: 4, bets: 2 }])
    expect(total).toMatchObject({ bets: 2, agencies: 0 })
  })
})

describe("the round of the number", () => {
  const drand = (at: Extract<NumberSource, { _tag: "drand" }>["at"], more = {}) =>
    make({ ...OPEN, source: { _tag: "drand", at }, ...more }).draw

  it("is known from the start, or from when the books are closed for good", () => {
    const third = { round: 3, roundAt: 1_692_803_373_000 }
    expect(drand({ round: 3 })).toMatchObject(third)
    expect(drand({ delaySeconds: 5 })).toMatchObject({ round: null, roundAt: null })
    expect(drand({ delaySeconds: 5 }, { sealedAt: 1_692_803_368 })).toMatchObject(third)
    expect(make(ANNOUNCED).draw).toMatchObject({ round: null, roundAt: null })
  })

  it("is the same after the draw", () => {
    const more = { ...SEALED, sealedAt: 1_692_803_366, winningNumber: 1, drawn: true }
    expect(drand({ round: 1 }, more)).toMatchObject({ round: 1, phase: "drawn" })
  })
})

it("the time of the seal is there once the seal is signed", () => {
  expect(make({ ...ANNOUNCED, ...SEALED }).draw?.sealedAt).toBe(400_000)
  expect(make({ ...ANNOUNCED, ...SEALED, sealed: false }).draw?.sealedAt).toBeNull()
  expect(make(ANNOUNCED).draw?.sealedAt).toBeNull()
})

describe("the state of an agency", () => {
  it.each<[string | null, Partial<AgencyProgress>, Partial<DrawStanding.Live>]>([
    ["sending", { bets: 1 }, { connections: 1 }],
    ["away", { bets: 1 }, { connections: 0, perSecond: 100 }],
    [null, { bets: 1 }, {}],
    [null, { bets: 1 }, { perSecond: 0 }],
    ["sending", { bets: 1 }, { perSecond: 0.5 }],
    ["finished", DONE, { connections: 1 }],
    ["winners sent", { ...DONE, told: true }, {}],
    ["excluded", { bets: 1, excluded: true, told: true }, { connections: 1 }]
  ])("is %s", (state, progress, live) => {
    const [standing] = make(OPEN, { 1: progress }, { 1: live }).agencies
    expect(standing?.state).toBe(state)
    const isAwaited = state === null || state === "sending" || state === "away"
    expect(standing && DrawStanding.isAwaited(standing)).toBe(isAwaited)
  })
})

it("has agencies outside the draw only if bets of them are stored", () => {
  // The book of agency 8 was discarded.
  const { agencies } = make(OPEN, { 2: { edition: 1 }, 8: { edition: 1 }, 9: { bets: 1 } })
  expect(agencies.map(({ agency }) => agency)).toEqual([1, 2, 9])
})

describe("the total", () => {
  const served = { perSecond: 1.26, connections: 2, bookBets: 40, lastActivity: AT - 5 }

  it("adds up what is known of every agency, in ascending order", () => {
    const { agencies, total } = make(
      { ...OPEN, agencies: [1, 2, 3] },
      { 3: { bets: 7, excluded: true }, 1: DONE, 2: { bets: 20 } },
      { 1: served, 2: { ...served, lastActivity: AT - 1 }, 3: { ...served, lastActivity: null } }
    )
    expect(agencies.map(({ agency }) => agency)).toEqual([1, 2, 3])
    // The book of a finished or excluded agency is what is stored of it.
    expect(agencies.map(({ bookBets }) => bookBets)).toEqual([10, 40, 7])
    expect(total).toEqual({
      ...{ bets: 30, agencies: 3, finished: 1, excluded: 1, told: 0 },
      ...{ perSecond: 3.9, connections: 6, bookBets: 50, lastActivity: AT - 1 }
    })
  })

  it("is unknown if it is unknown of one agency", () => {
    const { total } = make(OPEN, { 1: DONE }, { 1: served })
    expect(total).toMatchObject({ perSecond: null, connections: null, bookBets: null })
    expect(total.lastActivity).toBe(AT - 5)
  })

  it("is unknown if agencies announce more than can be counted exactly", () => {
    const huge = { ...served, bookBets: Number.MAX_SAFE_INTEGER }
    expect(make(OPEN, {}, { 1: huge, 2: huge }).total.bookBets).toBeNull()
  })
})

it("is the JSON that its Schema describes", () => {
  const standing = make(
    { ...ANNOUNCED, ...SEALED, closesAt: AT },
    { 1: DONE },
    { 1: { perSecond: 0.123 } }
  )
  const json: unknown = JSON.parse(JSON.stringify(standing))
  expect(Schema.decodeUnknownSync(DrawStanding.DrawStanding)(json)).toEqual(standing)
})
