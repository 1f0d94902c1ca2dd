/**
 * Resources that log their closing, as the course's `action: close_resource` line. Closing has a
 * timeout, so that a shutdown always ends.
 */
import { Cause, Data, type Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import { logAction } from "./ActionLog.ts"

/** A resource failed to close. A defect, because finalizers have no typed errors. */
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
  /** Closes it once; later calls do nothing. */
  readonly close: Effect.Effect<void>
}

/**
 * Acquires a resource, which the current scope closes unless `close` already has. After
 * `closeTimeout` a failure is logged and the scope continues to close. If closing fails, the scope
 * closes everything else and then dies with `ClosingFailed`.
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

/** Acquires a resource that only the current scope closes; see `closable`. */
export const loggedResource = <A, E, R>(
  resource: string,
  acquire: Effect.Effect<A, E, R>,
  closeTimeout: Duration.Input
): Effect.Effect<A, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.map(closable(resource, acquire, closeTimeout), ({ value }) => value)

/**
 * Waits for `work` for at most `timeout`; returns none if it has not ended by then. Finalizers
 * cannot be interrupted, so the work runs in its own fiber and continues after the timeout.
 * Interrupting the wait interrupts the work too, without waiting for it to end.
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
