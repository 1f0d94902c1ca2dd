/**
 * Whether a command has done what it is for. That decides the exit code after SIGINT, from which a
 * script learns whether the command was cut short.
 */
import { Context, Effect } from "effect"

export interface Purpose {
  isFulfilled: boolean
}

export const CurrentPurpose = Context.Reference<Purpose>("lottery/cli/Purpose", {
  defaultValue: () => ({ isFulfilled: false })
})

/** Says that the command has done what it is for: what is left of it may be cut off. */
export const fulfilled: Effect.Effect<void> = Effect.map(CurrentPurpose, (purpose) => {
  purpose.isFulfilled = true
})
