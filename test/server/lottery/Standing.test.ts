/** Goal: who has finished is what the store says, but for what has happened here meanwhile. */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { Standings } from "../../../src/server/lottery/Standing.ts"
import { type AgencyProgress, NO_PROGRESS } from "../../../src/server/store/BetStore.ts"

const progressOf = (finished: ReadonlyArray<number>): ReadonlyMap<number, AgencyProgress> =>
  new Map(finished.map((agency) => [agency, { ...NO_PROGRESS, finished: true }]))

describe("a standing that is read anew", () => {
  it.effect("takes over who finished elsewhere, and who has not finished any more", () =>
    Effect.gen(function* () {
      const standings = new Standings([1, 2, 3], progressOf([1]))
      expect(yield* standings.refresh(Effect.succeed(progressOf([2, 3])))).toEqual([1])
      expect(standings.hasFinished(1)).toBe(false)
      expect(standings.now()).toEqual({ finished: 2, expected: 3 })
      expect(yield* standings.refresh(Effect.succeed(progressOf([2])))).toEqual([3])
      expect(standings.now()).toEqual({ finished: 1, expected: 3 })
    })
  )

  it.effect("keeps who finishes while it is read, and asks the store once", () =>
    Effect.gen(function* () {
      const standings = new Standings([1, 2, 3], progressOf([3]))
      let reads = 0
      const read = Effect.sync(() => {
        const before = progressOf([2])
        reads++
        standings.finish(1)
        return before
      })
      expect(yield* standings.refresh(read)).toEqual([3])
      expect(reads).toBe(1)
      expect([1, 2, 3].filter((agency) => standings.hasFinished(agency))).toEqual([1, 2])
      // It had finished before this one began.
      expect(yield* standings.refresh(Effect.succeed(progressOf([2])))).toEqual([1])
    })
  )

  it.effect("tells whoever waits for it of a book that is gone", () =>
    Effect.gen(function* () {
      const standings = new Standings([1, 2], progressOf([1]))
      const known = standings.now()
      standings.discard(1)
      yield* standings.changedFrom(known)
      expect(standings.now()).toEqual({ finished: 0, expected: 2 })
      const unchanged = standings.now()
      standings.discard(1)
      standings.discard(7)
      expect(standings.now()).toBe(unchanged)
    })
  )
})
