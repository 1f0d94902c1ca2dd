/**
 * Goal: everyone in the waiting room is sent each standing when it is due, and is woken when there
 * is more to do. Method: connections that only note what they are sent, on the test clock.
 */
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { type Standing, Standings } from "../../../src/server/lottery/Standing.ts"
import { type Waiting, WaitingRoom } from "../../../src/server/lottery/WaitingRoom.ts"

const AGENCIES = Array.from({ length: 300 }, (_, index) => index + 1)

class Guest implements Waiting {
  readonly agency: number
  readonly heard: Array<number> = []
  isReading = true
  wakes = 0

  constructor(agency: number) {
    this.agency = agency
  }

  readonly tell = ({ finished }: Standing): boolean => {
    if (this.isReading) this.heard.push(finished)
    return this.isReading
  }

  readonly wake = (): void => {
    this.wakes++
  }
}

/** A room in which `guests` agencies, which have finished, wait. */
const open = Effect.fnUntraced(function* (guests: number) {
  const standings = new Standings(AGENCIES)
  for (const agency of AGENCIES.slice(0, guests)) yield* standings.finish(agency)
  const room = new WaitingRoom(standings)
  const serving = yield* Effect.forkChild(room.serve, { startImmediately: true })
  const all = AGENCIES.slice(0, guests).map((agency) => new Guest(agency))
  for (const guest of all) yield* room.enter(guest)
  return { all, room, standings, stop: Fiber.interrupt(serving) }
})

const noticesOf = (all: ReadonlyArray<Guest>) => new Set(all.map(({ heard }) => `${heard}`))

describe("the waiting room", () => {
  it.effect("sends hundreds a change after a second, and the rest after 15", () =>
    Effect.gen(function* () {
      const { all, standings, stop } = yield* open(200)
      yield* TestClock.adjust("500 millis")
      yield* standings.finish(300)
      yield* TestClock.adjust("499 millis")
      expect(noticesOf(all)).toEqual(new Set([""]))
      yield* TestClock.adjust("1 milli")
      expect(noticesOf(all)).toEqual(new Set(["201"]))
      yield* TestClock.adjust("14999 millis")
      expect(noticesOf(all)).toEqual(new Set(["201"]))
      yield* TestClock.adjust("1 milli")
      expect(noticesOf(all)).toEqual(new Set(["201,201"]))
      expect(all.every(({ wakes }) => wakes === 0)).toBe(true)
      yield* stop
    })
  )

  it.effect(
    "sends nothing to those that left, and to those that came later at their own time",
    () =>
      Effect.gen(function* () {
        const { all, room, standings, stop } = yield* open(2)
        yield* TestClock.adjust("10 seconds")
        const late = new Guest(1)
        yield* room.enter(late)
        room.leave(all[0]!)
        yield* TestClock.adjust("5 seconds")
        expect([...all, late].map(({ heard }) => heard)).toEqual([[], [2], []])
        yield* standings.finish(300)
        yield* TestClock.adjust("1 second")
        expect([...all, late].map(({ heard }) => heard)).toEqual([[], [2, 3], [3]])
        yield* stop
      })
  )

  it.effect("wakes those that do not read and those whose book is no longer finished", () =>
    Effect.gen(function* () {
      const { all, standings, stop } = yield* open(3)
      all[0]!.isReading = false
      yield* standings.discard(2)
      yield* TestClock.adjust("1 second")
      expect(all.map(({ wakes }) => wakes)).toEqual([1, 1, 0])
      expect(all.map(({ heard }) => heard)).toEqual([[], [], [2]])
      yield* stop
    })
  )

  it.effect("wakes everyone, also those that are sent no standings", () =>
    Effect.gen(function* () {
      const { all, room, stop } = yield* open(200)
      const silent = new Guest(1)
      yield* room.enter({ agency: 1, tell: undefined, wake: silent.wake })
      yield* room.wakeAll
      expect([...all, silent].every(({ wakes }) => wakes === 1)).toBe(true)
      yield* stop
    })
  )
})
