/** How the lottery repeats what it must do in the end, such as the draw. */
import { Schedule } from "effect"

/** Retries a failed store operation, except on a broken store, which stops the server. */
export const UNLESS_BROKEN = {
  schedule: Schedule.spaced("1 second"),
  while: (error: { readonly _tag: string }) => error._tag !== "StoreBroken"
}
