/**
 * Goal: whoever claims bytes gets them in turn, within the bound but for the one claim that is
 * always granted, and nobody is forgotten. Method: random sequences of what holders do, the rules
 * checked after each. A failure prints a seed, which LOTTERY_TEST_SEED repeats.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { ByteBound } from "../../../src/server/admission/ByteBound.ts"

const RUNS = process.env.LOTTERY_TEST_LONG ? 50_000 : 2_000
const seed = process.env.LOTTERY_TEST_SEED
const parameters = { numRuns: RUNS, ...(seed === undefined ? {} : { seed: Number(seed) }) }

const LIMIT = 100

interface Claim {
  readonly bytes: number
  takeBack: () => void
}

/** Holders of bytes, and what they know of the bound by themselves. */
class Holders {
  readonly bound = new ByteBound(LIMIT)
  /** Claims that wait, in the order in which they came. */
  readonly waiting: Array<Claim> = []
  /** Granted and not met. */
  private readonly unmet: Array<number> = []
  /** What came unasked, and what was granted and met. */
  private readonly had: Array<number> = []
  /** How much of what is held is stuck with those who wait. */
  private stuck = 0

  get held(): number {
    return [...this.unmet, ...this.had].reduce((sum, bytes) => sum + bytes, 0)
  }

  private get isLocked(): boolean {
    return this.unmet.length === 0 && this.held <= this.stuck
  }

  /** Each of these takes a number, which says how many bytes, or which of those that there are. */
  readonly actions = {
    add: (bytes: number) => {
      this.had.push(bytes)
      this.bound.add(bytes)
    },
    claim: (bytes: number) => {
      const claim: Claim = { bytes, takeBack: () => {} }
      this.waiting.push(claim)
      claim.takeBack = this.bound.claim(bytes, () => {
        expect(this.waiting.shift()).toBe(claim)
        expect(this.isLocked || this.held + bytes <= LIMIT).toBe(true)
        this.unmet.push(bytes)
      })
    },
    meet: (which: number) => {
      if (this.unmet.length === 0) return
      this.had.push(...this.unmet.splice(which % this.unmet.length, 1))
      this.bound.met()
    },
    giveBack: (which: number) => {
      if (this.had.length === 0) return
      const [bytes] = this.had.splice(which % this.had.length, 1)
      this.bound.release(bytes!)
    },
    stick: (bytes: number) => {
      this.stuck += bytes
      this.bound.stick(bytes)
    },
    unstick: (bytes: number) => {
      const fewer = Math.min(bytes, this.stuck)
      this.stuck -= fewer
      this.bound.stick(-fewer)
    },
    takeBack: (which: number) => {
      if (this.waiting.length === 0) return
      const [claim] = this.waiting.splice(which % this.waiting.length, 1)
      claim!.takeBack()
    }
  }

  check() {
    expect(this.bound.bytes).toBe(this.held)
    // Whoever is first waits only for want of room, and while somebody may give some back.
    const [first] = this.waiting
    if (first === undefined) return
    expect(this.isLocked).toBe(false)
    expect(this.held + first.bytes).toBeGreaterThan(LIMIT)
  }

  get isEmpty(): boolean {
    return this.had.length + this.unmet.length + this.waiting.length === 0
  }
}

type Action = keyof Holders["actions"]
const ACTIONS: ReadonlyArray<Action> = [
  ...(["add", "claim", "claim", "meet", "giveBack", "takeBack", "stick", "unstick"] as const)
]

describe("a bound on bytes", () => {
  it("is kept by claims, which are granted in turn, and all of it comes back", () => {
    const action = fc.tuple(fc.constantFrom(...ACTIONS), fc.integer({ min: 1, max: 70 }))
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const holders = new Holders()
        for (const [name, number] of actions) {
          holders.actions[name](number)
          holders.check()
        }
        // Nobody claims any more, and nobody takes a claim back: all are granted in the end.
        for (let turns = 0; turns < 2 * actions.length && !holders.isEmpty; turns++) {
          holders.actions.meet(0)
          holders.actions.giveBack(0)
          holders.check()
        }
        expect(holders.waiting).toEqual([])
        expect(holders.bound.bytes).toBe(0)
      }),
      parameters
    )
  })

  it("grants one claim beyond it where all is stuck with those who wait, and no second one", () => {
    const bound = new ByteBound(LIMIT)
    const granted: Array<string> = []
    bound.add(LIMIT * 5)
    bound.claim(LIMIT * 2, () => granted.push("first"))
    bound.claim(1, () => granted.push("second"))
    expect(granted).toEqual([])
    bound.stick(LIMIT * 5)
    expect(granted).toEqual(["first"])
    bound.met()
    // What was granted has come, and is answered some time.
    expect(granted).toEqual(["first"])
    bound.release(LIMIT * 2)
    expect(granted).toEqual(["first", "second"])
    expect(bound.bytes).toBe(LIMIT * 5 + 1)
  })

  it("tells each change, of what comes, is granted, and is given back", () => {
    const told: Array<number> = []
    const bound = new ByteBound(10, (used) => told.push(used))
    bound.add(4)
    bound.claim(6, () => {})
    bound.claim(1, () => {})
    bound.release(4)
    expect(told).toEqual([4, 10, 7, 7])
  })
})
