/**
 * Something that must be closed, and says in the log that it was: the course's
 * `action: close_resource` line. Its closing is bounded in time, so that a stop always ends.
 */
import { Cause, Data, type Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import { logAction } from "./ActionLog.ts"

/** A resource could not be closed well. A defect, for a finalizer cannot fail otherwise. */
export class ClosingFailed extends Data.TaggedError("ClosingFailed")<{
  readonly resource: string
  readonly reason: string
}> {
  override get message(): string {
    return `closing the ${this.resource} failed: ${this.reason}`
  }
}

/** A resource that can be closed before its scope. */
export interface LoggedResource<A> {
  readonly value: A
  /** Closes it, unless that has happened. */
  readonly close: Effect.Effect<void>
}

/**
 * Acquires a resource in the current scope, which closes and logs it at the latest when it closes.
 * After `closeTimeout` the stop goes on without it, logged as a failure. If closing fails, the
 * scope ends with `ClosingFailed`, after everything else was closed.
 */
export const closable = <A, E, R>(
  resource: string,
  acquire: Effect.Effect<A, E, R>,
  closeTimeout: Duration.Input
): Effect.Effect<LoggedResource<A>, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    let acquired = false
    const closeOnce = (exit: Exit.Exit<unknown, unknown>) =>
      Effect.suspend(() => {
        if (!acquired) return Scope.close(scope, exit)
        acquired = false
        return closeAndLog(resource, scope, exit, closeTimeout)
      })
    yield* Effect.addFinalizer(closeOnce)
    const value = yield* Scope.provide(acquire, scope)
    acquired = true
    return { value, close: closeOnce(Exit.void) }
  })

/** A resource that is closed, and logged, when the current scope closes; see `closable`. */
export const loggedResource = <A, E, R>(
  resource: string,
  acquire: Effect.Effect<A, E, R>,
  closeTimeout: Duration.Input
): Effect.Effect<A, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.map(closable(resource, acquire, closeTimeout), ({ value }) => value)

/**
 * Runs something for a finalizer, which waits for it no longer than `timeout`; none if it did not
 * end by then. A finalizer cannot be interrupted, so the work has a fiber of its own, for which the
 * finalizer stops waiting. Outside of a finalizer an interruption ends the work too, and does not
 * wait for that either.
 */
export const boundedWait = Effect.fnUntraced(function* <A, E>(
  work: Effect.Effect<A, E>,
  timeout: Duration.Input
): Effect.fn.Return<Option.Option<Exit.Exit<A, E>>> {
  const working = yield* Effect.forkDetach(work)
  const waiting = yield* Effect.forkDetach(Effect.timeoutOption(Fiber.await(working), timeout))
  return yield* Effect.onInterrupt(Fiber.join(waiting), () =>
    Effect.forkDetach(Fiber.interrupt(working))
  )
})

const closeAndLog = Effect.fnUntraced(function* (
  resource: string,
  scope: Scope.Closeable,
  exit: Exit.Exit<unknown, unknown>,
  closeTimeout: Duration.Input
) {
  const log = (result: "success" | "fail", error?: string) =>
    logAction("close_resource", result, { resource, error })
  const closed = yield* boundedWait(Scope.close(scope, exit), closeTimeout)
  if (Option.isNone(closed)) return yield* log("fail", "timed out")
  if (Exit.isSuccess(closed.value)) return yield* log("success")
  const cause = Cause.squash(closed.value.cause)
  const reason = cause instanceof Error ? cause.message : String(cause)
  yield* log("fail", reason)
  return yield* Effect.die(new ClosingFailed({ resource, reason }))
})
