/**
 * The course's log line as a value: `action: sorteo | result: success | …`. Users grep these lines,
 * so the course's actions and keys keep their Spanish names; all others are English. The logger
 * writes lines as text or JSON.
 */
import { Effect } from "effect"

type ActionResult = "in_progress" | "success" | "fail"

/** Keys and values in the order in which they are shown. Undefined values are omitted. */
export type ActionFields = Readonly<Record<string, string | number | boolean | undefined>>

export class ActionLine {
  readonly fields: ActionFields

  constructor(action: string, result: ActionResult, fields: ActionFields = {}) {
    this.fields = { action, result, ...fields }
  }

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

/** Logs an action, at level error if it failed and at level info otherwise. */
export const logAction = (
  action: string,
  result: ActionResult,
  fields?: ActionFields
): Effect.Effect<void> => {
  const line = new ActionLine(action, result, fields)
  return result === "fail" ? Effect.logError(line) : Effect.logInfo(line)
}
