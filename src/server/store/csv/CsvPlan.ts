/** Plans a group of writes to a CSV store, before any of it is written. */
import type { Agency } from "../../../domain/Agency.ts"
import type { Outcome, Write } from "../embedded/GroupCommit.ts"
import type { KnownBooks } from "./CsvBook.ts"
import type { Rows } from "./CsvRow.ts"
import type { CsvState, FinishedBook } from "./CsvState.ts"

export type Addition = Exclude<Write, { kind: "discard" }>
type Append = Extract<Write, { kind: "append" }>

const DONE = { kind: "done" } as const

/** Returns the rows to append, the state to write after them, and the outcome of each write. */
export const planOf = (
  { csv, editions, state }: KnownBooks & { readonly state: CsvState },
  writes: ReadonlyArray<Addition>
) => {
  const rows: Array<Rows> = []
  const bets = new Map<Agency, number>()
  const finished = new Map<Agency, FinishedBook>()
  const told = new Set<Agency>()
  let { opened, recorded } = state

  const betsOf = (agency: Agency) => bets.get(agency) ?? csv.index.bets(agency)
  const hasFinished = (agency: Agency) => finished.has(agency) || state.finished.has(agency)

  const finish = (agency: Agency, book: FinishedBook): Outcome => {
    const stored = betsOf(agency)
    if (book.bets !== stored) return { kind: "bookMismatch", stored }
    if (!hasFinished(agency)) finished.set(agency, { bets: book.bets, sha256: book.sha256 })
    return DONE
  }
  const append = (write: Append): Outcome => {
    const { agency, count, last, position } = write
    const stored = betsOf(agency)
    if (hasFinished(agency)) return { kind: "alreadyFinished", bets: stored }
    if (stored !== position) return { kind: "conflict", stored }
    if (count > 0) rows.push(write)
    bets.set(agency, stored + count)
    return last === undefined ? DONE : finish(agency, { bets: stored + count, ...last })
  }
  const recordDraw = (): Outcome => {
    if (opened === undefined) return { kind: "missing", agencies: [] }
    if (recorded) return { kind: "alreadyRecorded" }
    const agencies = opened.agencies.filter((agency) => !hasFinished(agency))
    if (agencies.length > 0) return { kind: "missing", agencies }
    recorded = true
    return DONE
  }
  const outcomeOf = (write: Addition): Outcome => {
    switch (write.kind) {
      case "append":
      case "finish": {
        const edition = editions.get(write.agency) ?? 0
        if ((write.edition ?? edition) !== edition) return { kind: "otherEdition" }
        return write.kind === "append" ? append(write) : finish(write.agency, write)
      }
      case "told":
        if (!state.told.has(write.agency)) told.add(write.agency)
        return DONE
      case "openDraw":
        if (opened !== undefined) return { kind: "draw", stored: { ...opened, recorded } }
        opened = { agencies: write.agencies, winningNumber: write.winningNumber }
        return DONE
      case "recordDraw":
        return recordDraw()
    }
  }

  const outcomes = writes.map(outcomeOf)
  const isDrawSame = opened === state.opened && recorded === state.recorded
  if (isDrawSame && finished.size === 0 && told.size === 0) return { rows, outcomes, state }
  const changed: CsvState = {
    ...state,
    opened,
    recorded,
    finished: new Map([...state.finished, ...finished]),
    told: new Set([...state.told, ...told])
  }
  return { rows, outcomes, state: changed }
}
