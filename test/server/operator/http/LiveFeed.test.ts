/**
 * Goal: the live feed says what happened, at the rhythm that boards expect, and a board that does
 * not read gets only the newest data. Method: made-up looks on the test clock.
 */
import { it } from "@effect/vitest"
import { Effect, Layer, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { Places } from "../../../../src/server/admission/Places.ts"
import { Refusals } from "../../../../src/server/admission/Refusals.ts"
import { defaultLimits, ServerLimits } from "../../../../src/server/admission/ServerLimits.ts"
import * as LiveFeed from "../../../../src/server/operator/http/LiveFeed.ts"
import * as LiveEvents from "../../../../src/server/operator/LiveEvents.ts"
import { MAX_SILENCE_MILLIS } from "../../../../src/server/operator/LiveLimits.ts"
import { StoreUnavailable } from "../../../../src/server/store/BetStore.ts"
import { agencyOf, standingOf } from "../../../support/browser/liveEvents.ts"
import { keepLog } from "../../../support/clientBooks.ts"
import { makeSettableClock } from "../../../support/model/SettableClock.ts"

const layer = Layer.mergeAll(
  Layer.provide(Places.layer, Layer.succeed(ServerLimits, defaultLimits)),
  Refusals.layer
)

const decoders = {
  standing: Schema.decodeSync(Schema.fromJsonString(LiveEvents.StandingEvent)),
  server: Schema.decodeSync(Schema.fromJsonString(LiveEvents.ServerEvent)),
  rates: Schema.decodeSync(Schema.fromJsonString(LiveEvents.RatesEvent)),
  refusals: Schema.decodeSync(Schema.fromJsonString(LiveEvents.RefusalsEvent))
}
type Name = keyof typeof decoders

/** A draw whose one agency has `bets`; a look takes `lookMillis`, and fails if it is not `up`. */
const startDraw = Effect.fnUntraced(function* (isWatched = true) {
  const draw = { bets: 0, lookMillis: 0, isUp: true, isFlawed: false, looks: 0 }
  const look = Effect.gen(function* () {
    draw.looks++
    yield* Effect.sleep(draw.lookMillis)
    if (draw.isFlawed) return yield* Effect.die(new TypeError("no draw"))
    if (!draw.isUp) return yield* new StoreUnavailable({ reason: "away" })
    return standingOf([agencyOf(1, { bets: draw.bets })], draw.bets)
  })
  const feed = yield* LiveFeed.make(
    look,
    { version: "1.2.3", publishesSeal: false },
    () => isWatched
  )
  return { draw, feed }
})

/** A board that reads all it can, or only when asked. */
const openBoard = Effect.fnUntraced(function* ({ events }: LiveFeed.LiveFeed) {
  const frames: Array<string> = []
  yield* Stream.runForEach(events, (frame) =>
    Effect.sync(() => void frames.push(Buffer.from(frame).toString()))
  ).pipe(Effect.forkScoped)
  yield* TestClock.adjust(0)
  return {
    frames,
    all: <N extends Name>(name: N) =>
      frames
        .map((frame) => /^event: (\w+)\ndata: (.*)\n\n$/.exec(frame))
        .filter((found) => found?.[1] === name)
        .map((found) => decoders[name](found![2]!) as ReturnType<(typeof decoders)[N]>)
  }
})

/** Passes time in small steps, as it does. */
const pass = (millis: number, eachStep: () => void = () => {}) =>
  Effect.forEach(
    Array(millis / 100).keys(),
    () =>
      Effect.suspend(() => {
        eachStep()
        return TestClock.adjust(100)
      }),
    { discard: true }
  )

describe("a board", () => {
  it.effect("begins with everything, and then gets what changes", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      yield* pass(1000)
      const board = yield* openBoard(feed)
      expect(board.frames[0]).toBe("retry: 1000\n\n")
      const names = board.frames.slice(1).map((frame) => /event: (\w+)/.exec(frame)?.[1])
      expect(names).toEqual(["standing", "server", "rates", "refusals"])
      draw.bets = 5
      yield* pass(500)
      expect(board.frames).toHaveLength(6)
      expect(board.all("standing").at(-1)?.total.bets).toBe(5)
    }).pipe(Effect.provide(layer))
  )

  it.effect("hears something in time, also if nothing happens or the store is away", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      for (const isUp of [true, false, true]) {
        draw.isUp = isUp
        for (let count = 0; count < 4; count++) {
          const before = board.frames.length
          yield* pass(MAX_SILENCE_MILLIS)
          expect(board.frames.length).toBeGreaterThan(before)
          expect(board.all("server").at(-1)?.problem).toBe(isUp ? null : LiveFeed.STORE_UNAVAILABLE)
        }
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("hears something in time, also after the time of day was set back", () =>
    Effect.gen(function* () {
      const clock = yield* makeSettableClock
      const { feed } = yield* clock.run(startDraw())
      const board = yield* openBoard(feed)
      yield* pass(MAX_SILENCE_MILLIS)
      yield* clock.setBack("1 hour")
      for (let count = 0; count < 4; count++) {
        const before = board.frames.length
        yield* pass(MAX_SILENCE_MILLIS)
        expect(board.frames.slice(before).join()).toContain("event: server")
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("hears that the store does not answer, until it does", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      yield* pass(1000)
      draw.lookMillis = 20_000
      yield* pass(500)
      for (let count = 0; count < 3; count++) {
        yield* pass(MAX_SILENCE_MILLIS)
        expect(board.all("server").at(-1)?.problem).toBe("the store does not answer")
      }
      const problems = board.all("server").filter(({ problem }) => problem !== null)
      expect(problems.map(({ at }) => at)).toEqual([6500, 11_500, 16_500])
      draw.lookMillis = 0
      yield* pass(MAX_SILENCE_MILLIS)
      expect(board.all("server").at(-1)?.problem).toBeNull()
    }).pipe(Effect.provide(layer))
  )

  it.effect("goes on after an internal error, which is logged once", () =>
    Effect.gen(function* () {
      const log = keepLog()
      const { draw, feed } = yield* Effect.provide(startDraw(), log.layer)
      const board = yield* openBoard(feed)
      draw.isFlawed = true
      yield* pass(5000)
      expect(board.all("server").at(-1)?.problem).toBe("internal error")
      expect(log.lines).toEqual([
        "action: live_board | result: fail | error: internal error: TypeError: no draw"
      ])
      draw.isFlawed = false
      draw.bets = 7
      yield* pass(1000)
      expect(board.all("server").at(-1)?.problem).toBeNull()
      expect(board.all("standing").at(-1)?.total.bets).toBe(7)
    }).pipe(Effect.provide(layer))
  )

  it.effect("that does not read gets only the newest data", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const read = yield* Queue.unbounded<void>()
      const frames: Array<string> = []
      yield* Stream.runForEach(feed.events, (frame) =>
        Effect.andThen(
          Queue.take(read),
          Effect.sync(() => void frames.push(Buffer.from(frame).toString()))
        )
      ).pipe(Effect.forkScoped)
      yield* pass(60_000, () => {
        draw.bets += 10
      })
      for (let count = 0; count < 20; count++) {
        yield* Queue.offer(read, undefined)
        yield* TestClock.adjust(0)
      }
      const standings = frames.filter((frame) => frame.startsWith("event: standing"))
      expect(standings.length).toBeLessThanOrEqual(3)
      expect(standings.at(-1)).toContain(`"bets":${draw.bets}`)
    }).pipe(Effect.provide(layer))
  )

  it.effect("costs looks at the store only while it is open", () =>
    Effect.gen(function* () {
      const watched = yield* startDraw(true)
      const unwatched = yield* startDraw(false)
      yield* pass(60_000)
      expect(watched.draw.looks).toBe(121)
      expect(unwatched.draw.looks).toBe(31)
    }).pipe(Effect.provide(layer))
  )

  it.effect("is told soon after a store that was slow for a minute answers again", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      yield* pass(1000)
      draw.lookMillis = 60_000
      yield* pass(60_000)
      draw.lookMillis = 0
      yield* pass(1000)
      draw.bets = 7
      yield* pass(MAX_SILENCE_MILLIS)
      expect(board.all("standing").at(-1)?.total.bets).toBe(7)
    }).pipe(Effect.provide(layer))
  )
})

describe("the rates", () => {
  it.effect("are those of the last ten minutes", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      yield* pass(10_000, () => {
        draw.bets += 10
      })
      expect(board.all("rates").at(-1)).toMatchObject({
        everyMillis: 2000,
        until: 10_000,
        perSecond: Array(5).fill(100)
      })
      yield* pass(700_000)
      const { perSecond } = board.all("rates").at(-1)!
      expect(perSecond).toEqual(Array(LiveFeed.MAX_RATES).fill(0))
    }).pipe(Effect.provide(layer))
  )

  it.effect("have a point for each moment that a late look missed", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      yield* pass(2000)
      draw.lookMillis = 8000
      yield* pass(10_000, () => {
        draw.bets += 10
      })
      draw.lookMillis = 0
      yield* pass(10_000)
      const points = board.all("rates")
      const total = points.at(-1)!.perSecond.reduce((sum, rate) => sum + 2 * rate, 0)
      expect(Math.abs(total - draw.bets)).toBeLessThan(draw.bets * 0.15)
      for (const { perSecond, until } of points) {
        expect(Math.abs(perSecond.length - until / 2000)).toBeLessThanOrEqual(1)
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("are as old as they say if every look takes long", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      draw.lookMillis = 400
      yield* pass(300_000, () => {
        draw.bets += 10
      })
      const { perSecond, until } = board.all("rates").at(-1)!
      expect(Math.abs(perSecond.length - until / 2000)).toBeLessThanOrEqual(1)
      expect(new Set(perSecond.slice(1))).toEqual(new Set([100]))
    }).pipe(Effect.provide(layer))
  )

  it.effect("are 0 after a discard, and then those of new bets", () =>
    Effect.gen(function* () {
      const { draw, feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      draw.bets = 1000
      yield* pass(2000)
      draw.bets = 0
      yield* pass(2000)
      draw.bets = 40
      yield* pass(2000)
      expect(board.all("rates").at(-1)?.perSecond.slice(-2)).toEqual([0, 20])
    }).pipe(Effect.provide(layer))
  )
})

describe("refusals", () => {
  it.effect("are the latest 50, each told once it happens", () =>
    Effect.gen(function* () {
      const { feed } = yield* startDraw()
      const board = yield* openBoard(feed)
      const refusals = yield* Refusals
      expect(board.all("refusals")).toEqual([[]])
      for (let position = 0; position < 70; position++) {
        yield* refusals.note({ reason: "InvalidBet", agency: 1, position })
      }
      yield* refusals.note({ reason: "Malformed" })
      yield* pass(500)
      const latest = board.all("refusals").at(-1)!
      expect(latest.map(({ id }) => id)).toEqual(Array.from({ length: 50 }, (_, at) => at + 22))
      expect(latest[0]).toEqual({ id: 22, at: 0, agency: 1, reason: "InvalidBet", position: 21 })
      expect(latest.at(-1)).toMatchObject({ id: 71, agency: null, position: null })
      const count = board.all("refusals").length
      yield* pass(5000)
      expect(board.all("refusals")).toHaveLength(count)
    }).pipe(Effect.provide(layer))
  )
})
