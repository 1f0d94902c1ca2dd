import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Semaphore } from "effect"
import * as GroupCommit from "../../../../src/server/store/embedded/GroupCommit.ts"

/** A commit that waits to be let through, and remembers what it was given. */
const gated = Effect.gen(function* () {
  const groups: Array<ReadonlyArray<number>> = []
  const gate = yield* Deferred.make<void>()
  const permit = yield* Semaphore.make(1)
  const submit = GroupCommit.make<number, number, string>({
    permit,
    sizeOf: (request) => request,
    maxGroupBytes: 10,
    commit: (requests) =>
      Effect.gen(function* () {
        groups.push(requests)
        yield* Deferred.await(gate)
        if (requests.includes(7)) return yield* Effect.fail("the disk is full")
        return requests.map((each) => (each === 3 ? Exit.fail("no threes") : Exit.succeed(-each)))
      })
  })
  return { groups, gate, submit }
})

describe("GroupCommit", () => {
  it.effect("commits together what waits while a commit is under way, and answers each", () =>
    Effect.gen(function* () {
      const { groups, gate, submit } = yield* gated
      const fibers = yield* Effect.forEach([1, 2, 3, 4], (request) =>
        Effect.forkChild(Effect.exit(submit(request)), { startImmediately: true })
      )
      expect(groups).toEqual([[1]])
      yield* Deferred.succeed(gate, undefined)
      const exits = yield* Fiber.joinAll(fibers)
      expect(groups).toEqual([[1], [2, 3, 4]])
      expect(exits).toEqual([
        Exit.succeed(-1),
        Exit.succeed(-2),
        Exit.fail("no threes"),
        Exit.succeed(-4)
      ])
    })
  )

  it.effect("keeps a group below its limit, unless a single request is larger", () =>
    Effect.gen(function* () {
      const { groups, gate, submit } = yield* gated
      const fibers = yield* Effect.forEach([1, 2, 4, 4, 5, 99, 2], (request) =>
        Effect.forkChild(submit(request), { startImmediately: true })
      )
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      expect(groups).toEqual([[1], [2, 4, 4], [5], [99], [2]])
    })
  )

  it.effect("fails everyone of a group whose commit fails, and nobody else", () =>
    Effect.gen(function* () {
      const { gate, submit } = yield* gated
      const fibers = yield* Effect.forEach([1, 7, 2, 9], (request) =>
        Effect.forkChild(Effect.exit(submit(request)), { startImmediately: true })
      )
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.joinAll(fibers)).toEqual([
        Exit.succeed(-1),
        Exit.fail("the disk is full"),
        Exit.fail("the disk is full"),
        Exit.succeed(-9)
      ])
    })
  )

  it.effect("finishes a request that was submitted, although whoever asked is interrupted", () =>
    Effect.gen(function* () {
      const { groups, gate, submit } = yield* gated
      const fibers = yield* Effect.forEach([1, 2], (request) =>
        Effect.forkChild(submit(request), { startImmediately: true })
      )
      const interrupting = yield* Effect.forkChild(Fiber.interruptAll(fibers), {
        startImmediately: true
      })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(interrupting)
      expect(groups).toEqual([[1], [2]])
    })
  )
})
