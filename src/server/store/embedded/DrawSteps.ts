/**
 * Plans the steps of a draw in an embedded store: who is excluded, when it closes, what is sealed,
 * which number wins. Imports no library, because SQLite's worker loads it.
 */
import type { Agency } from "../../../domain/Agency.ts"
import {
  awaitedIn,
  awaitsSeal,
  closeProblem,
  dueExclusionsOf,
  exclusionsOf,
  isClosed,
  numberOf,
  outdatedIn,
  type ProgressOf
} from "../Closing.ts"
import type { DrawTerms, StoredDraw } from "../StoredDraw.ts"
import type { Outcome, Write } from "./Write.ts"

export type DrawStep = Extract<
  Write,
  {
    readonly kind:
      | "openDraw"
      | "exclude"
      | "closeIfDue"
      | "moveClose"
      | "recordEntries"
      | "recordNumber"
  }
>
type Of<Kind extends DrawStep["kind"]> = Extract<DrawStep, { readonly kind: Kind }>

/** The SHA-256 that was stored when the agency's book was finished. */
type Sha256Of = (agency: Agency) => string | undefined

/** The outcome of a step, and the draw after it if it changed. The outcome has the exclusions. */
interface Planned {
  readonly outcome: Outcome
  readonly draw?: StoredDraw
}

/** A draw that has just been opened. */
export const newDraw = ({ agencies, closeAt, sealKey, source }: DrawTerms): StoredDraw => ({
  agencies,
  source,
  closeAt,
  closesAt: closeAt,
  sealKey,
  sealedAt: undefined,
  sealed: false,
  winningNumber: undefined,
  beacon: undefined,
  drawn: false
})

export const planStep = (
  step: DrawStep,
  draw: StoredDraw | undefined,
  progressOf: ProgressOf,
  sha256Of: Sha256Of
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
    case "recordEntries":
      return recordEntries(step, draw, progressOf, sha256Of)
    case "recordNumber":
      return recordNumber(step, draw, progressOf)
  }
}

const recordEntries = (
  { agencies: seal, isLate, sealedAt }: Of<"recordEntries">,
  draw: StoredDraw | undefined,
  progressOf: ProgressOf,
  sha256Of: Sha256Of
): Planned => {
  if (draw === undefined) return { outcome: { kind: "missing", agencies: [] } }
  if (isClosed(draw)) return { outcome: { kind: "alreadyRecorded" } }
  if (isLate) return { outcome: { kind: "missed" } }
  const agencies = awaitedIn(draw, progressOf)
  if (agencies.length > 0) return { outcome: { kind: "missing", agencies } }
  const agency = outdatedIn(draw, progressOf, sha256Of, seal)
  if (agency !== undefined) return { outcome: { kind: "entriesOutdated", agency } }
  return { outcome: { kind: "done" }, draw: { ...draw, sealedAt } }
}

const recordNumber = (
  { beacon, winningNumber }: Of<"recordNumber">,
  draw: StoredDraw | undefined,
  progressOf: ProgressOf
): Planned => {
  if (draw === undefined) return { outcome: { kind: "missing", agencies: [] } }
  const only = numberOf(draw) ?? winningNumber
  if (only !== winningNumber) return { outcome: { kind: "otherNumber", winningNumber: only } }
  if (draw.winningNumber !== undefined) return { outcome: { kind: "alreadyRecorded" } }
  const agencies = awaitedIn(draw, progressOf)
  if (agencies.length > 0) return { outcome: { kind: "missing", agencies } }
  if (awaitsSeal(draw)) return { outcome: { kind: "notSealed" } }
  return { outcome: { kind: "done" }, draw: { ...draw, winningNumber, beacon } }
}
