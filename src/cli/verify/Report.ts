/** Prints what `lottery verify` found: a line a check, or one JSON object. */
import { Console, Effect, Schema } from "effect"
import { DrawId } from "../../domain/Draw.ts"
import { escapeControls } from "../log/LogFormat.ts"
import { Check, isFailure } from "./Check.ts"

export const Report = Schema.Struct({
  /** Absent if the seal cannot be read. */
  draw: Schema.optionalKey(DrawId),
  fits: Schema.Boolean,
  checks: Schema.Array(Check)
})
export type Report = typeof Report.Type

export const make = (draw: string | undefined, checks: ReadonlyArray<Check>): Report => ({
  ...(draw === undefined ? {} : { draw }),
  fits: !checks.some(isFailure),
  checks
})

/** The verdicts that the conclusion counts. */
const COUNTED = ["forged", "wrong", "not proven"] as const

const conclusion = ({ checks, fits }: Report): string => {
  const counts = COUNTED.flatMap((verdict) => {
    const count = checks.filter((one) => one.verdict === verdict).length
    return count === 0 ? [] : [`${count} ${verdict}`]
  })
  const shown = counts.length === 0 ? "" : ` (${counts.join(", ")})`
  return `${fits ? "everything that was given fits" : "it does not fit"}${shown}`
}

export const linesOf = (report: Report): ReadonlyArray<string> => [
  ...report.checks.map(({ about, text, verdict }) => `${verdict}: ${about}: ${text}`),
  `verdict: ${conclusion(report)}`
]

const encode = Schema.encodeEffect(Schema.fromJsonString(Report))

export const print = Effect.fnUntraced(function* (report: Report, isJson: boolean) {
  // It was made of checks, which are what the Schema describes.
  if (isJson) return yield* Console.log(yield* Effect.orDie(encode(report)))
  for (const line of linesOf(report)) yield* Console.log(escapeControls(line))
})
