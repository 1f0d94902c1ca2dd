/** A mistake of the server's own in one session: it ends that session, and no other. */
import { Cause, Data, Effect } from "effect"

/** What the server did not foresee. */
export class InternalError extends Data.TaggedError("InternalError")<{
  readonly defect: unknown
}> {
  override get message(): string {
    const { defect } = this
    return `internal error: ${defect instanceof Error ? defect.message : String(defect)}`
  }
}

/** Makes a defect an error that the session logs and tells its peer; its stack is for debugging. */
export const asInternalError = <A, E, R>(session: Effect.Effect<A, E, R>) =>
  Effect.catchDefect(session, (defect) =>
    Effect.andThen(
      Effect.logDebug("internal error", Cause.die(defect)),
      Effect.fail(new InternalError({ defect }))
    )
  )
