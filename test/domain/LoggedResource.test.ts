/** Goal: a resource is closed once, its closing is logged, and it never blocks a shutdown. */
import { it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { ActionLine } from "../../src/domain/ActionLog.ts"
import {
  boundedWait,
  ClosingFailed,
  closable,
  loggedResource
} from "../../src/domain/LoggedResource.ts"

const logged = (log: Array<string>) =>
  Logger.layer([
    Logger.make<unknown, void>(({ message }) => {
      for (const part of Array.isArray(message) ? message : [message]) {
        if (part instanceof ActionLine) log.push(part.toString())
      }
    })
  ])

describe("a logged resource", () => {
  it.effect("whose closing hangs is abandoned after the timeout, with a log line", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const scope = yield* Scope.make()
      const hangs = Effect.acquireRelease(Effect.succeed("store"), () => Effect.never)
      yield* Scope.provide(loggedResource("store", hangs, "5 seconds"), scope)
      const closing = yield* Effect.forkChild(
        Effect.provide(Scope.close(scope, Exit.void), logged(log))
      )
      yield* TestClock.adjust("4 seconds")
      expect(closing.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      expect(log).toEqual([
        "action: close_resource | result: fail | resource: store | error: timed out"
      ])
    })
  )

  it.effect("that fails to close is logged, and its scope fails after closing the others", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const failing = Effect.acquireRelease(Effect.void, () => Effect.die(new Error("no disk")))
      const program = Effect.gen(function* () {
        yield* loggedResource("port", Effect.void, "1 second")
        yield* loggedResource("store", failing, "1 second")
      }).pipe(Effect.scoped, Effect.provide(logged(log)))
      const exit = yield* Effect.exit(program)
      expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toEqual(
        new ClosingFailed({ resource: "store", reason: "no disk" })
      )
      expect(log).toEqual([
        "action: close_resource | result: fail | resource: store | error: no disk",
        "action: close_resource | result: success | resource: port"
      ])
    })
  )

  it.effect("that is closed early is closed and logged once", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      let closed = 0
      const counted = Effect.acquireRelease(Effect.void, () => Effect.sync(() => closed++))
      yield* Effect.gen(function* () {
        const { close } = yield* closable("port", counted, "1 second")
        yield* close
      }).pipe(Effect.scoped, Effect.provide(logged(log)))
      expect(closed).toBe(1)
      expect(log).toEqual(["action: close_resource | result: success | resource: port"])
    })
  )

  it.effect("that could not be acquired is not logged as closed", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      yield* loggedResource("port", Effect.fail("in use"), "1 second").pipe(
        Effect.scoped,
        Effect.flip,
        Effect.provide(logged(log))
      )
      expect(log).toEqual([])
    })
  )
})

it.effect("interrupting a bounded wait interrupts the work without waiting for it", () =>
  Effect.gen(function* () {
    let isEnding = false
    const work = Effect.onInterrupt(Effect.never, () => {
      isEnding = true
      return Effect.never
    })
    const waiting = yield* Effect.forkChild(boundedWait(work, "1 minute"))
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(waiting)
    yield* TestClock.adjust(0)
    expect(isEnding).toBe(true)
  })
)
