/** The day at the agency: nobody on a bet was born after it. */
import { Clock, Effect } from "effect"
import type { BetProblem } from "../../domain/BetCheck.ts"

/** A day as YYYY-MM-DD, and its year. */
export interface Today {
  readonly text: string
  readonly year: number
}

/** The day of such a text. */
export const fromText = (text: string): Today => ({ text, year: Number(text.slice(0, 4)) })

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** Today, by the clock of this machine and in its time zone. */
export const today: Effect.Effect<Today> = Effect.map(Clock.currentTimeMillis, (millis) => {
  const date = new Date(millis)
  const monthAndDay = `${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`
  return fromText(`${String(date.getFullYear()).padStart(4, "0")}-${monthAndDay}`)
})

const latin1 = new TextDecoder("latin1")
const BYTES = "YYYY-MM-DD".length

/** What is wrong with the valid birthdate that begins at `start`; undefined: nothing. */
export const birthdateProblem = (
  { text }: Today,
  source: Uint8Array,
  start: number
): BetProblem | undefined => {
  const birthdate = latin1.decode(source.subarray(start, start + BYTES))
  return birthdate <= text
    ? undefined
    : { field: "birthdate", message: `expected a date up to today, ${text}, got "${birthdate}"` }
}
