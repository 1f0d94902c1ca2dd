/**
 * Goal: every place is taken once and is freed again, an address's unidentified peers wait only for
 * each other, and no identified peer loses its place. Method: random connections arrive, are
 * identified and leave; after each step they are compared with a plain list. A failure prints a
 * seed; LOTTERY_TEST_SEED repeats it.
 */
import { Effect, Exit, Fiber, Result, Scope } from "effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { makePlaces, type Place, sourceOf } from "../../../src/server/admission/Places.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 20_000 : 1_000
const seed = process.env.LOTTERY_TEST_SEED
const parameters = { numRuns: RUNS, ...(seed === undefined ? {} : { seed: Number(seed) }) }

const MAX_CONNECTIONS = 7
const MAX_UNIDENTIFIED = 2
const ADDRESSES = ["a", "b", "c"] as const

interface Guest {
  readonly address: string
  readonly counts: boolean
  readonly place: Place
  readonly scope: Scope.Closeable
  readonly turn: Fiber.Fiber<void>
  isIdentified: boolean
  isEvicted: boolean
}

/** The places, and the guests that the test expects in them, in order of arrival. */
class Hall {
  private readonly places = makePlaces({
    maxConnections: MAX_CONNECTIONS,
    maxUnidentified: MAX_UNIDENTIFIED
  })
  guests: ReadonlyArray<Guest> = []

  private unidentifiedOf(address: string): ReadonlyArray<Guest> {
    return this.guests.filter((guest) => guest.address === address && !guest.isIdentified)
  }

  *come(address: string, counts: boolean) {
    const own = this.unidentifiedOf(address).length
    const most = Math.max(...ADDRESSES.map((name) => this.unidentifiedOf(name).length))
    const isFull = this.guests.length === MAX_CONNECTIONS
    const scope = yield* Scope.make()
    let evicted = () => {}
    const visitor = { address, counts, evict: () => evicted() }
    const taken = yield* Effect.result(Scope.provide(this.places.take(visitor), scope))
    expect(Result.isSuccess(taken)).toBe(!isFull || most > own + 1)
    const gone = this.guests.filter(({ isEvicted }) => isEvicted)
    expect(gone).toHaveLength(isFull && Result.isSuccess(taken) ? 1 : 0)
    for (const guest of gone) {
      expect(this.unidentifiedOf(guest.address)).toHaveLength(most)
      expect(this.unidentifiedOf(guest.address).at(-1)).toBe(guest)
      yield* this.leave(guest)
      // An evicted guest that waited gets its turn and finds its connection closed.
      yield* Fiber.join(guest.turn)
    }
    if (Result.isFailure(taken)) {
      expect(taken.failure.connections).toBe(MAX_CONNECTIONS)
      return yield* Scope.close(scope, Exit.void)
    }
    const place = taken.success
    const turn = yield* Effect.forkDetach(place.turn)
    const guest = { address, counts, place, scope, turn, isIdentified: false, isEvicted: false }
    evicted = () => {
      guest.isEvicted = true
    }
    this.guests = [...this.guests, guest]
  }

  /** Only a guest that had its turn can be identified. */
  identify(guest: Guest) {
    if (guest.turn.pollUnsafe() === undefined) return
    guest.isIdentified = true
    guest.place.markIdentified()
  }

  *leave(guest: Guest) {
    this.guests = this.guests.filter((other) => other !== guest)
    yield* Scope.close(guest.scope, Exit.void)
  }

  *check() {
    yield* Effect.yieldNow
    yield* Effect.yieldNow
    const { identified, queued, unidentified } = this.places.counts()
    expect(identified + queued + unidentified).toBe(this.guests.length)
    expect(this.guests.some(({ isEvicted }) => isEvicted)).toBe(false)
    for (const address of ADDRESSES) {
      const counted = this.unidentifiedOf(address).filter(({ counts }) => counts)
      const served = this.guests.filter(
        (guest) =>
          guest.address === address &&
          (!counted.includes(guest) || counted.indexOf(guest) < MAX_UNIDENTIFIED)
      )
      expect(
        this.guests.filter(
          (guest) => guest.address === address && guest.turn.pollUnsafe() !== undefined
        )
      ).toEqual(served)
    }
  }
}

const action = fc.record({
  name: fc.constantFrom("come", "come", "come", "identify", "leave"),
  address: fc.constantFrom("a", "a", "a", "b", "b", "c"),
  counts: fc.integer({ min: 0, max: 4 }).map((number) => number > 0),
  which: fc.nat()
})

describe("places", () => {
  it("follow the rules whatever the order of arrivals and departures", () =>
    fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), (actions) =>
        Effect.gen(function* () {
          const hall = new Hall()
          for (const { address, counts, name, which } of actions) {
            const guest = hall.guests[which % Math.max(1, hall.guests.length)]
            if (name === "come") yield* hall.come(address, counts)
            else if (guest !== undefined && name === "identify") hall.identify(guest)
            else if (guest !== undefined) yield* hall.leave(guest)
            yield* hall.check()
          }
          for (const guest of hall.guests) {
            yield* hall.leave(guest)
            yield* hall.check()
          }
        }).pipe(Effect.runPromise)
      ),
      parameters
    ))

  it("are counted per IPv4 address and per IPv6 network", () => {
    expect(sourceOf("192.0.2.1")).toBe("192.0.2.1")
    expect(sourceOf("192.0.2.2")).not.toBe(sourceOf("192.0.2.1"))
    const source = sourceOf("2001:db8:1:2:3:4:5:6")
    expect(sourceOf("2001:db8:1:2::7")).toBe(source)
    expect(sourceOf("2001:db8:1:2:8000::")).toBe(source)
    expect(sourceOf("2001:db8:1:3::7")).not.toBe(source)
    expect(sourceOf("2001:db8::7")).toBe(sourceOf("2001:db8:0:0:1:2:3:4"))
    expect(sourceOf("2001:db8::1:0:0:0:7")).toBe(sourceOf("2001:db8:0:1::7"))
    expect(sourceOf("::1")).toBe(sourceOf("::2"))
  })
})
