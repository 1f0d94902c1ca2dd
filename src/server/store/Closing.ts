/**
 * Decides which agencies a draw can go without, when its close time can be moved, which number can
 * win and which books are kept. Imports no library, because SQLite's worker loads it.
 */
import type { Agency } from "../../domain/Agency.ts"
import type { AgencyProgress } from "./BetStore.ts"
import type {
  BookKept,
  CloseProblem,
  Exclusion,
  ExclusionProblem,
  StoredDraw
} from "./StoredDraw.ts"

type Progress = Pick<AgencyProgress, "bets" | "finished" | "excluded">
export type ProgressOf = (agency: Agency) => Progress

/** Returns the agencies of a request that are not excluded yet, or why none can be excluded. */
export const exclusionsOf = (
  draw: StoredDraw | undefined,
  progressOf: ProgressOf,
  agencies: ReadonlyArray<Agency>
): ReadonlyArray<Exclusion> | ExclusionProblem => {
  if (draw === undefined) return { why: "unopened", agencies: [] }
  const asked = new Set(agencies)
  const expected = new Set(draw.agencies)
  const unknown = [...asked].filter((agency) => !expected.has(agency))
  if (unknown.length > 0) return { why: "unknown", agencies: unknown }
  const included = [...asked].filter((agency) => !progressOf(agency).excluded)
  if (included.length === 0) return []
  if (draw.winningNumber !== undefined) return { why: "numbered", agencies: [] }
  const finished = included.filter((agency) => progressOf(agency).finished)
  if (finished.length > 0) return { why: "finished", agencies: finished }
  const isLeft = (agency: Agency) => !asked.has(agency) && !progressOf(agency).excluded
  if (!draw.agencies.some(isLeft)) return { why: "last", agencies: [] }
  return included.map((agency) => ({ agency, bets: progressOf(agency).bets }))
}

/**
 * Returns the agencies that a close at its time excludes: the unfinished ones, if the time has come
 * and a book is finished.
 */
export const dueExclusionsOf = (
  draw: StoredDraw | undefined,
  progressOf: ProgressOf,
  now: number
): ReadonlyArray<Exclusion> => {
  const { closesAt, winningNumber } = draw ?? {}
  if (draw === undefined || closesAt === undefined || closesAt > now) return []
  if (winningNumber !== undefined || !draw.agencies.some((agency) => progressOf(agency).finished)) {
    return []
  }
  return draw.agencies.flatMap((agency) => {
    const { bets, excluded, finished } = progressOf(agency)
    return excluded || finished ? [] : [{ agency, bets }]
  })
}

/** Returns the agencies that the draw still waits for. */
export const awaitedIn = (draw: StoredDraw, progressOf: ProgressOf): ReadonlyArray<Agency> =>
  draw.agencies.filter((agency) => {
    const { excluded, finished } = progressOf(agency)
    return !(finished || excluded)
  })

/** Returns why the close time cannot be moved; undefined if it can, or is the same already. */
export const closeProblem = (
  draw: StoredDraw | undefined,
  closesAt: number | undefined,
  now: number
): CloseProblem | undefined => {
  if (draw === undefined) return { why: "unopened" }
  if (draw.closesAt === closesAt) return undefined
  if (draw.winningNumber !== undefined) return { why: "numbered" }
  if (draw.closesAt === undefined || draw.closesAt > now) return undefined
  return { why: "passed", closesAt: draw.closesAt }
}

/** Returns why the book of an agency must be kept; undefined if it can be discarded. */
export const keptBecause = (
  draw: StoredDraw | undefined,
  { excluded }: Pick<AgencyProgress, "excluded">
): BookKept["because"] | undefined => {
  if (draw?.winningNumber !== undefined) return draw.drawn ? "drawn" : "numbered"
  return excluded ? "excluded" : undefined
}

/** The only number that can win; undefined if it is not known yet. */
export const numberOf = ({ source, winningNumber }: StoredDraw): number | undefined =>
  winningNumber ?? (source._tag === "fixed" ? source.number : undefined)
