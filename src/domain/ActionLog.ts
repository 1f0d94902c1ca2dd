/**
 * The course's log line as a value: `action: sorteo | result: success | …`. People grep these
 * lines, so the names of actions and keys are kept in Spanish where the course has them so.
 * The text format and the JSON format are made from the same value by the command line's logger.
 */
import { Effect } from "effect"

type ActionResult = "in_progress" | "success" | "fail"

/** What an action was about, in the order in which it is shown; undefined values are left out. */
type ActionFields = Readonly<Record<string, string | number | boolean | undefined>>

/** One line of the log. */
export class ActionLine {
  readonly fields: ActionFields

  constructor(action: string, result: ActionResult, fields: ActionFields = {}) {
    this.fields = { action, result, ...fields }
  }

  /** Every key and value, in order. */
  entries(): Array<[string, string | number | boolean]> {
    return Object.entries(this.fields).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value]]
    )
  }

  toString(): string {
    return this.entries()
      .map(([key, value]) => `${key}: ${value}`)
      .join(" | ")
  }
}

/** Logs an action; a failed one as an error, any other as information. */
export const logAction = (
  action: string,
  result: ActionResult,
  fields?: ActionFields
): Effect.Effect<void> => {
  const line = new ActionLine(action, result, fields)
  return result === "fail" ? Effect.logError(line) : Effect.logInfo(line)
}
