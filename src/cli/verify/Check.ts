/** What `lottery verify` finds: one check a line, in plain words. */
import { Schema } from "effect"
import { Agency } from "../../domain/Agency.ts"

/**
 * `proven`: it follows from the given files. `not proven`: nothing given shows it. `note`: good to
 * know. `wrong`: a given file is not what it should be. `forged`: a promise was broken.
 */
const Verdict = Schema.Literals(["proven", "not proven", "note", "wrong", "forged"])
type Verdict = typeof Verdict.Type

/** Bytes of a book, from the first one to before `to`. */
const Bytes = Schema.Struct({ from: Schema.Int, to: Schema.Int })

export const Check = Schema.Struct({
  verdict: Verdict,
  /** What it is about, such as `seal` or `book 7`. */
  about: Schema.String,
  text: Schema.String,
  agency: Schema.optionalKey(Agency),
  /** The sealed bytes with the difference. */
  piece: Schema.optionalKey(Bytes),
  /** The row of the given book, counted from 1. */
  bet: Schema.optionalKey(Schema.Int),
  cause: Schema.optionalKey(
    Schema.Literals(["put in", "number changed", "added at the end", "differs", "cut short"])
  )
})
export type Check = typeof Check.Type

type Details = Pick<Check, "agency" | "piece" | "bet" | "cause">

const checkOf =
  (verdict: Verdict) =>
  (about: string, text: string, details: Details = {}): Check => ({
    verdict,
    about,
    text,
    ...details
  })

export const proven = checkOf("proven")
export const notProven = checkOf("not proven")
export const note = checkOf("note")
export const wrong = checkOf("wrong")
export const forged = checkOf("forged")

export const isFailure = ({ verdict }: Check): boolean =>
  verdict === "wrong" || verdict === "forged"

const MILLIS = 1000

/** Shows POSIX seconds in UTC, the same on every machine: `2023-08-23T15:58:24Z`. */
export const showSeconds = (seconds: number): string => {
  const date = new Date(seconds * MILLIS)
  return Number.isNaN(date.getTime())
    ? `POSIX second ${seconds}`
    : `${date.toISOString().slice(0, -".000Z".length)}Z`
}
