import { Clock, Effect } from "effect"
import type { BetProblem } from "../../domain/BetCheck.ts"

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** Returns today as YYYY-MM-DD, by this machine's clock and time zone. */
export const today = Effect.map(Clock.currentTimeMillis, (millis) => {
  const date = new Date(millis)
  const year = String(date.getFullYear()).padStart(4, "0")
  return `${year}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`
})

const latin1 = new TextDecoder("latin1")

/** Returns a problem if the valid birthdate that begins at `start` is in the future. */
export const birthdateProblem = (
  today: string,
  source: Uint8Array,
  start: number
): BetProblem | undefined => {
  const birthdate = latin1.decode(source.subarray(start, start + today.length))
  return birthdate <= today
    ? undefined
    : { field: "birthdate", message: `expected a date up to today, ${today}, got "${birthdate}"` }
}
