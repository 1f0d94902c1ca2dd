/**
 * Goal: a board that misses any of the versions of a topic ends with the newest data. Method:
 * random sequences of standings and random moments at which a board reads; a board is a fold over
 * the events that it got. A failure prints a seed; LOTTERY_TEST_SEED repeats it.
 */
import { Schema } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { AgencyStanding, DrawStanding } from "../../../../src/server/operator/DrawStanding.ts"
import { StandingTopic, WholeTopic } from "../../../../src/server/operator/http/LiveTopics.ts"
import { StandingEvent } from "../../../../src/server/operator/LiveEvents.ts"
import { PHASES } from "../../../../src/server/store/DrawPhase.ts"
import { agencyOf, standingOf } from "../../../support/browser/liveEvents.ts"

const seed = process.env.LOTTERY_TEST_SEED
const parameters = {
  numRuns: process.env.LOTTERY_TEST_LONG ? 50_000 : 2_000,
  ...(seed === undefined ? {} : { seed: Number(seed) })
}

const decodeStanding = Schema.decodeSync(Schema.fromJsonString(StandingEvent))

/** The data of one event, which must be a whole one in the format of server-sent events. */
const dataOf = (frame: Uint8Array, name: string): string => {
  const [, found, data] =
    /^event: (\w+)\ndata: ([^\n]+)\n\n$/.exec(Buffer.from(frame).toString()) ?? []
  expect(found).toBe(name)
  return data ?? ""
}

/** What a board knows after some events. */
class Board {
  seen = 0
  private rows = new Map<number, AgencyStanding>()
  private last: StandingEvent | undefined

  read(topic: StandingTopic): void {
    if (topic.version() === this.seen) return
    const event = decodeStanding(dataOf(topic.since(this.seen), "standing"))
    this.seen = topic.version()
    if (event.whole) this.rows = new Map()
    for (const row of event.agencies) this.rows.set(row.agency, row)
    this.last = event
  }

  get known() {
    const agencies = [...this.rows.values()].sort((one, other) => one.agency - other.agency)
    return { draw: this.last?.draw, total: this.last?.total, agencies }
  }
}

const row = fc
  .record({
    agency: fc.integer({ min: 1, max: 5 }),
    bets: fc.integer({ min: 0, max: 2 }),
    finished: fc.boolean(),
    perSecond: fc.constantFrom(null, 0, 1.5),
    bookBets: fc.constantFrom(null, 9)
  })
  .map(({ agency, ...changes }) => agencyOf(agency, changes))

const standing = fc
  .record({
    rows: fc.uniqueArray(row, { selector: ({ agency }) => agency, maxLength: 5 }),
    draw: fc.record({
      phase: fc.constantFrom(...PHASES),
      closesAt: fc.constantFrom(null, 7),
      sealedAt: fc.constantFrom(null, 8),
      round: fc.constantFrom(null, 9),
      roundAt: fc.constantFrom(null, 10)
    })
  })
  .map(({ draw, rows }): DrawStanding => {
    const sorted = rows.sort((one, other) => one.agency - other.agency)
    const { whole: _, listed: __, ...made } = standingOf(sorted, 1, draw)
    return made
  })

/** What a board should know of a standing. */
const knownOf = ({ agencies, draw, total }: DrawStanding) => ({
  draw: draw && { ...draw, agencies: [] },
  total,
  agencies
})

describe("a board", () => {
  it("that skips any versions ends with the newest standing", () => {
    const steps = fc.array(fc.record({ standing, reads: fc.array(fc.nat(2), { maxLength: 3 }) }), {
      minLength: 1,
      maxLength: 12
    })
    fc.assert(
      fc.property(steps, (all) => {
        const topic = new StandingTopic()
        const boards = [new Board(), new Board(), new Board()]
        for (const { reads, standing } of all) {
          topic.set(standing)
          for (const index of reads) {
            boards[index]!.read(topic)
            expect(boards[index]!.known).toEqual(knownOf(standing))
          }
        }
        for (const board of [...boards, new Board()]) {
          board.read(topic)
          expect(board.known).toEqual(knownOf(all.at(-1)!.standing))
        }
      }),
      parameters
    )
  })

  it("that is up to date gets only the agencies that changed", () => {
    const topic = new StandingTopic()
    topic.set(standingOf([agencyOf(1), agencyOf(2), agencyOf(3)], 1))
    topic.set(standingOf([agencyOf(1), agencyOf(2, { bets: 7 }), agencyOf(3)], 2))
    const event = decodeStanding(dataOf(topic.since(1), "standing"))
    expect(event).toMatchObject({ whole: false, agencies: [{ agency: 2, bets: 7 }] })
    expect(decodeStanding(dataOf(topic.since(0), "standing")).agencies).toHaveLength(3)
  })

  it("gets nothing for a standing that only has another time", () => {
    const topic = new StandingTopic()
    topic.set(standingOf([agencyOf(1)], 1))
    topic.set(standingOf([agencyOf(1)], 2))
    expect(topic.version()).toBe(1)
  })

  it("gets totals only, if the draw has too many agencies to list", () => {
    const topic = new StandingTopic()
    const rows = Array.from({ length: 10_001 }, (_, index) => agencyOf(index + 1, { bets: 1 }))
    topic.set(standingOf(rows.slice(1), 1))
    topic.set(standingOf(rows, 1))
    for (const seen of [0, 1]) {
      const event = decodeStanding(dataOf(topic.since(seen), "standing"))
      expect(event).toMatchObject({ whole: true, listed: false, agencies: [] })
      expect(event.total.bets).toBe(10_001)
    }
  })
})

describe("a topic that is sent whole", () => {
  it("sends its newest value, whatever a board has seen", () => {
    const topic = new WholeTopic<number>("rates")
    expect(topic.version()).toBe(0)
    topic.set(1)
    topic.set(2)
    expect(topic.version()).toBe(2)
    expect(dataOf(topic.since(), "rates")).toBe("2")
  })
})
