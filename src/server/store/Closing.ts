/**
 * Decides which agencies a draw can go without, when its close time can be moved, when it can be
 * sealed, which number can win and which books are kept. Imports no library, because SQLite's
 * worker loads it.
 */
import type { Agency } from "../../domain/Agency.ts"
import { timeOfRound } from "../../domain/seal/Quicknet.ts"
import type { SealedBook, SealedExclusion } from "../../domain/seal/Seal.ts"
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

/** Whether the books are closed for good: none can change, and no agency can be excluded. */
export const isClosed = ({ sealedAt, winningNumber }: StoredDraw): boolean =>
  sealedAt !== undefined || winningNumber !== undefined

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
  if (isClosed(draw)) return { why: "closed", agencies: [] }
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
  if (draw?.closesAt === undefined || draw.closesAt > now) return []
  if (isClosed(draw) || !draw.agencies.some((agency) => progressOf(agency).finished)) return []
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

/** What a seal says of an agency, as far as it is compared with the store. */
export type SealedAgency = Pick<SealedBook, "agency" | "bets" | "sha256"> | SealedExclusion

/** Returns the first agency of the draw that is not as the seal says; undefined if all are. */
export const outdatedIn = (
  draw: StoredDraw,
  progressOf: ProgressOf,
  sha256Of: (agency: Agency) => string | undefined,
  seal: ReadonlyArray<SealedAgency>
): Agency | undefined => {
  const sealed = new Map(seal.map((of) => [of.agency, of]))
  return draw.agencies.find((agency) => {
    const { bets, excluded } = progressOf(agency)
    const of = sealed.get(agency)
    if (of === undefined) return true
    return "sha256" in of ? of.bets !== bets || of.sha256 !== sha256Of(agency) : !excluded
  })
}

/** Whether the draw must be sealed before its number can be recorded. */
export const awaitsSeal = ({ sealed, sealedAt, sealKey, source }: StoredDraw): boolean =>
  sealKey === undefined ? source._tag === "drand" && sealedAt === undefined : !sealed

/** Minimum time from the close of a draw to its round, in which the books are sealed. */
export const MIN_SEALING_SECONDS = 60

/** The last close time before the round of a draw that names one, in milliseconds. */
const lastCloseOf = ({ source }: StoredDraw): number =>
  source._tag === "drand" && "round" in source.at
    ? 1000 * (timeOfRound(source.at.round) - MIN_SEALING_SECONDS)
    : Number.POSITIVE_INFINITY

/** Returns why the close time cannot be moved; undefined if it can, or is the same already. */
export const closeProblem = (
  draw: StoredDraw | undefined,
  closesAt: number | undefined,
  now: number
): CloseProblem | undefined => {
  if (draw === undefined) return { why: "unopened" }
  if (draw.closesAt === closesAt) return undefined
  if (isClosed(draw)) return { why: "closed" }
  if (draw.closesAt !== undefined && draw.closesAt <= now) {
    return { why: "passed", closesAt: draw.closesAt }
  }
  const last = lastCloseOf(draw)
  return (closesAt ?? Number.POSITIVE_INFINITY) > last ? { why: "late", closesAt: last } : undefined
}

/** Returns why the book of an agency must be kept; undefined if it can be discarded. */
export const keptBecause = (
  draw: StoredDraw | undefined,
  { excluded }: Pick<AgencyProgress, "excluded">
): BookKept["because"] | undefined => {
  if (draw?.winningNumber !== undefined) return draw.drawn ? "drawn" : "numbered"
  if (draw?.sealedAt !== undefined) return "sealed"
  return excluded ? "excluded" : undefined
}

/** The only number that can win; undefined if it is not known yet. */
export const numberOf = ({ source, winningNumber }: StoredDraw): number | undefined =>
  winningNumber ?? (source._tag === "fixed" ? source.number : undefined)
