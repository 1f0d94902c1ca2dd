/**
 * The course's log line as a value: `action: sorteo | result: success | …`. People grep these
 * lines, so actions and keys keep the Spanish names of the course. The command line's logger writes
 * the same value as text or as JSON.
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
