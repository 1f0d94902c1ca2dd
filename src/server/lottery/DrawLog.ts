/** The story of a draw on the log: what a server finds, who finished or was excluded, the draw. */
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { type Draw, showTime, type WinningDocuments } from "../../domain/Draw.ts"
import { toBase64 } from "../../protocol/notes/Base64.ts"
import type { AgencyProgress } from "../store/BetStore.ts"
import type { roundOf } from "../store/DrawPhase.ts"
import type { DrawMissed, StoredDraw } from "../store/StoredDraw.ts"
import type { Standing } from "./Standing.ts"
import type { SignedEntries } from "./sealed/Sealing.ts"

type Round = NonNullable<ReturnType<typeof roundOf>>
type Progress = ReadonlyMap<Agency, AgencyProgress>

const betsIn = (progress: Progress, counts: (found: AgencyProgress) => boolean): number =>
  [...progress.values()].filter(counts).reduce((sum, { bets }) => sum + bets, 0)

/** The excluded agencies as the log shows them, such as `3,5`. */
const excludedIn = (progress: Progress): string | undefined =>
  [...progress.keys()].filter((agency) => progress.get(agency)?.excluded).join() || undefined

/** Logs what a server that starts finds in its store. */
export const opened = (
  draw: string,
  { closesAt, drawn, winningNumber }: StoredDraw,
  { expected, finished }: Standing,
  progress: Progress
) => {
  const fields = {
    draw,
    finished,
    expected,
    cantidad: betsIn(progress, (found) => !found.excluded),
    excluidas: excludedIn(progress),
    closes_at: closesAt === undefined || drawn ? undefined : showTime(closesAt),
    winning_number: winningNumber
  }
  if (!drawn) return logAction("draw_opened", "success", fields)
  const hint =
    "books are only compared, and winners are sent; use --draw or --store for another draw"
  return logAction("draw_held", "success", { ...fields, hint })
}

/** Logs an agency that has just finished its book. */
export const finished = (agency: Agency, bets: number, { expected, finished }: Standing) =>
  logAction("agency_finished", "success", { agencia: agency, cantidad: bets, finished, expected })

export const excluded = (agency: Agency, bets: number) =>
  logAction("agency_excluded", "success", { agencia: agency, cantidad: bets })

const roundFields = (round: Round | undefined) => ({
  round: round?.round,
  round_at: round && showTime(round.at)
})

export const waitingForNumber = (draw: string) =>
  logAction("waiting_for_number", "in_progress", {
    hint:
      "every book is closed; announce the number with: " +
      `lottery draw --draw ${draw} --number N --yes`
  })

/** Logs a recorded seal by its root, which agencies can compare. */
export const sealed = (
  draw: Draw,
  { books, tree }: SignedEntries,
  progress: Progress,
  round: Round | undefined
) =>
  logAction("draw_sealed", "success", {
    draw: draw.id,
    agencias: books.size,
    cantidad: betsIn(progress, ({ excluded }) => !excluded),
    root: toBase64(tree.root),
    ...roundFields(round)
  })

export const waitingForRound = (round: Round) =>
  logAction("waiting_for_round", "in_progress", roundFields(round))

/** Logs a defect of the fetch of a round; an operator can still give the beacon. */
export const fetchDied = (draw: string, defect: unknown) =>
  logAction("beacon", "fail", {
    error: `internal error: ${String(defect)}`,
    hint: `give the round with: lottery draw --draw ${draw} --beacon FILE --yes`
  })

export const missed = (error: DrawMissed) =>
  logAction("draw_missed", "fail", { draw: error.drawId, error: error.message })

/** Logs the draw, with the bets that took part. */
export const drawn = (
  progress: Progress,
  winners: ReadonlyMap<Agency, WinningDocuments | Error>
) => {
  const counts = Array.from(winners.values(), (own) => (own instanceof Error ? 0 : own.length))
  return logAction("sorteo", "success", {
    cantidad: betsIn(progress, ({ finished }) => finished),
    cant_ganadores: counts.reduce((sum, count) => sum + count, 0),
    excluidas: excludedIn(progress)
  })
}
