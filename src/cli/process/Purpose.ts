/**
 * Whether a command has done its work. After SIGINT the exit code depends on it, so that a script
 * knows whether the command was cut short.
 */
import { Context, Effect } from "effect"

export interface Purpose {
  isFulfilled: boolean
}

export const CurrentPurpose = Context.Reference<Purpose>("lottery/cli/Purpose", {
  defaultValue: () => ({ isFulfilled: false })
})

export const fulfilled: Effect.Effect<void> = Effect.map(CurrentPurpose, (purpose) => {
  purpose.isFulfilled = true
})
