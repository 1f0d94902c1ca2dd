/**
 * Plans the steps of a draw in an embedded store: who is excluded, when it closes, which number
 * wins. Imports no library, because SQLite's worker loads it.
 */
import {
  awaitedIn,
  closeProblem,
  dueExclusionsOf,
  exclusionsOf,
  numberOf,
  type ProgressOf
} from "../Closing.ts"
import type { DrawTerms, StoredDraw } from "../StoredDraw.ts"
import type { Outcome, Write } from "./Write.ts"

export type DrawStep = Extract<
  Write,
  { readonly kind: "openDraw" | "exclude" | "closeIfDue" | "moveClose" | "recordNumber" }
>

/** The outcome of a step, and the draw after it if it changed. The outcome has the exclusions. */
interface Planned {
  readonly outcome: Outcome
  readonly draw?: StoredDraw
}

/** A draw that has just been opened. */
export const newDraw = ({ agencies, closeAt, source }: DrawTerms): StoredDraw => ({
  agencies,
  source,
  closeAt,
  closesAt: closeAt,
  winningNumber: undefined,
  drawn: false
})

export const planStep = (
  step: DrawStep,
  draw: StoredDraw | undefined,
  progressOf: ProgressOf
): Planned => {
  switch (step.kind) {
    case "openDraw":
      return draw === undefined
        ? { outcome: { kind: "done" }, draw: newDraw(step.terms) }
        : { outcome: { kind: "draw", stored: draw } }
    case "exclude": {
      const found = exclusionsOf(draw, progressOf, step.agencies)
      return "why" in found
        ? { outcome: { kind: "notExcluded", problem: found } }
        : { outcome: { kind: "excluded", exclusions: found } }
    }
    case "closeIfDue": {
      const exclusions = dueExclusionsOf(draw, progressOf, step.now)
      return { outcome: { kind: "excluded", exclusions } }
    }
    case "moveClose": {
      const { closesAt, now } = step
      const problem = closeProblem(draw, closesAt, now)
      if (problem !== undefined) return { outcome: { kind: "notMoved", problem } }
      return { outcome: { kind: "done" }, draw: { ...draw!, closesAt } }
    }
    case "recordNumber":
      return recordNumber(step.winningNumber, draw, progressOf)
  }
}

const recordNumber = (
  winningNumber: number,
  draw: StoredDraw | undefined,
  progressOf: ProgressOf
): Planned => {
  if (draw === undefined) return { outcome: { kind: "missing", agencies: [] } }
  const only = numberOf(draw) ?? winningNumber
  if (only !== winningNumber) return { outcome: { kind: "otherNumber", winningNumber: only } }
  if (draw.winningNumber !== undefined) return { outcome: { kind: "alreadyRecorded" } }
  const agencies = awaitedIn(draw, progressOf)
  if (agencies.length > 0) return { outcome: { kind: "missing", agencies } }
  return { outcome: { kind: "done" }, draw: { ...draw, winningNumber } }
}
