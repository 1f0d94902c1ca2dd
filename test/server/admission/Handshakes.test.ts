/**
 * Goal: concurrent handshakes are limited, no place stays free while a handshake waits, and no
 * address waits while another one has at least two more. Method: random arrivals and departures,
 * with a check after each step. A failure prints a seed; LOTTERY_TEST_SEED repeats it.
 */
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  BEGUN_AT_A_TIME,
  type Handshakes,
  makeHandshakes
} from "../../../src/server/admission/Handshakes.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 20_000 : 500
const seed = process.env.LOTTERY_TEST_SEED
const parameters = { numRuns: RUNS, ...(seed === undefined ? {} : { seed: Number(seed) }) }

const PLACES = 4
const MAX_WAITING = 5

interface Guest {
  readonly address: string
  readonly fiber: Fiber.Fiber<unknown, { readonly message: string }>
  state: "waits" | "shakes" | "gone"
}

/** The handshakes in order of arrival. */
class Hall {
  private readonly handshakes: Handshakes["Service"]
  private readonly came: Array<Guest> = []

  constructor(handshakes: Handshakes["Service"]) {
    this.handshakes = handshakes
  }

  those(state: Guest["state"], address?: string): ReadonlyArray<Guest> {
    return this.came.filter(
      (guest) => guest.state === state && (address ?? guest.address) === guest.address
    )
  }

  *come(address: string) {
    const shaking = Effect.suspend(() => {
      guest.state = "shakes"
      return Effect.never
    })
    const guest: Guest = {
      address,
      state: "waits",
      fiber: yield* Effect.forkDetach(
        Effect.ensuring(
          this.handshakes.inPlace(address, shaking),
          Effect.sync(() => {
            guest.state = "gone"
          })
        )
      )
    }
    this.came.push(guest)
    yield* this.settle()
  }

  *leave(guest: Guest) {
    yield* Fiber.interrupt(guest.fiber)
    yield* this.settle()
  }

  *settle() {
    // One round, and another that fills the place of an evicted handshake.
    yield* TestClock.adjust("2 millis")
  }

  check() {
    const shaking = this.those("shakes")
    const waiting = this.those("waits")
    expect(shaking.length).toBeLessThanOrEqual(PLACES)
    expect(waiting.length).toBeLessThanOrEqual(MAX_WAITING)
    if (waiting.length > 0) expect(shaking).toHaveLength(PLACES)
    const most = Math.max(...shaking.map(({ address }) => this.those("shakes", address).length))
    for (const { address } of waiting) {
      expect(this.those("shakes", address).length).toBeGreaterThanOrEqual(most - 1)
    }
  }
}

const action = fc.record({
  comes: fc.integer({ min: 0, max: 2 }).map((number) => number > 0),
  address: fc.constantFrom("a", "a", "a", "b", "b", "c", "d"),
  which: fc.nat()
})

describe("handshakes", () => {
  it("follow the rules whatever the order of arrivals and departures", () =>
    fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 50 }), (actions) =>
        Effect.gen(function* () {
          const hall = new Hall(yield* makeHandshakes(PLACES, MAX_WAITING))
          for (const { address, comes, which } of actions) {
            const here = [...hall.those("shakes"), ...hall.those("waits")]
            const guest = here[which % Math.max(1, here.length)]
            if (comes) yield* hall.come(address)
            else if (guest !== undefined) yield* hall.leave(guest)
            hall.check()
          }
        }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise)
      ),
      parameters
    ))

  it("are evicted oldest first when running, newest first when waiting", () =>
    Effect.gen(function* () {
      const hall = new Hall(yield* makeHandshakes(PLACES, MAX_WAITING))
      for (let count = 0; count < PLACES + MAX_WAITING; count++) yield* hall.come("a")
      const [oldest] = hall.those("shakes")
      const [first, second] = hall.those("waits")
      expect(hall.those("waits")).toHaveLength(MAX_WAITING)
      const last = hall.those("waits").at(-1)
      yield* hall.come("b")
      expect(oldest!.state).toBe("gone")
      const error = yield* Effect.flip(Fiber.join(last!.fiber))
      expect(error.message).toBe(
        "all 5 places in the TLS handshake queue are taken: " + "disconnected to make room"
      )
      yield* hall.come("c")
      yield* hall.come("b")
      expect(hall.those("shakes").map(({ address }) => address)).toEqual(["a", "a", "b", "c"])
      // The place of "c" goes to "b", which has fewer handshakes than "a". Then both have two.
      yield* hall.leave(hall.those("shakes", "c")[0]!)
      expect(hall.those("shakes").map(({ address }) => address)).toEqual(["a", "a", "b", "b"])
      yield* hall.leave(hall.those("shakes", "a")[0]!)
      expect(first!.state).toBe("shakes")
      expect(second!.state).toBe("waits")
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise))

  it("take turns by address if the addresses have the same number", () =>
    Effect.gen(function* () {
      const hall = new Hall(yield* makeHandshakes(1, MAX_WAITING))
      for (const address of ["a", "a", "a", "b"]) yield* hall.come(address)
      const order: Array<string> = []
      for (let [shaking] = hall.those("shakes"); shaking; [shaking] = hall.those("shakes")) {
        order.push(shaking.address)
        yield* hall.leave(shaking)
      }
      expect(order).toEqual(["a", "a", "b", "a"])
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise))

  it("that have stalled are evicted for an address that has none", () =>
    Effect.gen(function* () {
      const hall = new Hall(yield* makeHandshakes(PLACES, MAX_WAITING))
      // The uptime of the server must not matter.
      yield* TestClock.adjust("1 minute")
      for (const address of ["a", "b", "c", "d", "d", "e"]) yield* hall.come(address)
      const shaking = () => hall.those("shakes").map(({ address }) => address)
      yield* TestClock.adjust("900 millis")
      expect(shaking()).toEqual(["a", "b", "c", "d"])
      yield* TestClock.adjust("200 millis")
      expect(shaking()).toEqual(["b", "c", "d", "e"])
      // "d" already has one, and waits.
      yield* TestClock.adjust("10 seconds")
      expect(shaking()).toEqual(["b", "c", "d", "e"])
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise))

  it("that have all stalled are evicted for as many addresses at once", () =>
    Effect.gen(function* () {
      const many = 4 * BEGUN_AT_A_TIME
      const handshakes = yield* makeHandshakes(many, 2 * many)
      const begun: Array<number> = []
      const begin = (address: number) =>
        Effect.andThen(
          Effect.sync(() => begun.push(address)),
          Effect.never
        )
      yield* Effect.forEach(Array.from({ length: 2 * many }).keys(), (address) =>
        Effect.forkScoped(handshakes.inPlace(`${address}`, begin(address)))
      )
      /** Time for all rounds, and for the first one, which begins a single handshake. */
      const rounds = Effect.replicateEffect(
        TestClock.adjust("2 millis"),
        many / BEGUN_AT_A_TIME + 1
      )
      yield* rounds
      expect(begun).toEqual([...Array(many).keys()])
      yield* TestClock.adjust("1100 millis")
      yield* rounds
      expect(begun).toEqual([...Array(2 * many).keys()])
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise))

  it("begin in rounds that leave time for other work", () =>
    Effect.gen(function* () {
      const many = 2 * BEGUN_AT_A_TIME + 1
      const handshakes = yield* makeHandshakes(many, many)
      let begun = 0
      const begin = Effect.suspend(() => {
        begun++
        return Effect.never
      })
      yield* Effect.forEach(Array.from({ length: many }), () =>
        Effect.forkScoped(handshakes.inPlace("a", begin))
      )
      // The first handshake begins on arrival.
      for (const expected of [1, 1 + BEGUN_AT_A_TIME, many]) {
        yield* TestClock.adjust("1 millis")
        expect(begun).toBe(expected)
        yield* TestClock.adjust("1 millis")
      }
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()), Effect.runPromise))
})
