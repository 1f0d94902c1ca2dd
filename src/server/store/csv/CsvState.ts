/**
 * What a CSV store knows besides its bets: the draw, the agencies that have finished and with which
 * book, those that were told, whether the draw was held, and how much of `bets.csv` is synced.
 */
import type { Agency } from "../../../domain/Agency.ts"
import type { DrawId } from "../../../domain/Draw.ts"
import type { WholeBook } from "../BetStore.ts"
import type { DrawTerms } from "../DrawTerms.ts"
import type { Outcome, Write } from "../embedded/EmbeddedStore.ts"

/** A book that is whole. */
export interface FinishedBook extends WholeBook {
  readonly bets: number
}

/** The state of a store as it may be found; that of an earlier version says less. */
export interface FoundState {
  readonly draw: DrawId
  readonly opened: DrawTerms | undefined
  readonly recorded: boolean
  readonly finished: ReadonlyMap<Agency, { readonly bets: number; readonly sha256?: string }>
  readonly told: ReadonlySet<Agency>
  /** Bytes of `bets.csv` that are known to be synced, and are never cut. */
  readonly synced: number | undefined
  /** How often `bets.csv` was replaced by one without a book. */
  readonly discards: number
  /** It is being replaced: `synced` speaks of the new file, and the old one may still be there. */
  readonly discarding: boolean
}

/** The state of a store that is open to be written; never changed, only replaced by another. */
export interface CsvState extends FoundState {
  readonly finished: ReadonlyMap<Agency, FinishedBook>
  readonly synced: number
}

/** The draw of a `bets.csv` that Python left without a state file. */
export const PYTHONS_DRAW = "default"

export const newState = (draw: DrawId): CsvState => ({
  draw,
  opened: undefined,
  recorded: false,
  finished: new Map(),
  told: new Set(),
  synced: 0,
  discards: 0,
  discarding: false
})

/** The state without what is known of an agency; the same where nothing is. */
export const withoutAgency = (state: CsvState, agency: Agency): CsvState => {
  if (!state.finished.has(agency) && !state.told.has(agency)) return state
  const finished = new Map(state.finished)
  finished.delete(agency)
  const told = new Set(state.told)
  told.delete(agency)
  return { ...state, finished, told }
}

/** The writes of a group that change the state alone, applied to a copy of it. */
export class StateChange {
  private state: CsvState
  private finished: Map<Agency, FinishedBook> | undefined
  private told: Set<Agency> | undefined
  private readonly before: CsvState

  constructor(before: CsvState) {
    this.before = before
    this.state = before
  }

  /** The new state, which is the old one where nothing changed. */
  get result(): CsvState {
    return this.state
  }

  get changed(): boolean {
    return this.state !== this.before
  }

  hasFinished(agency: Agency): boolean {
    return this.state.finished.has(agency)
  }

  /** Applies a write that no bets are needed for. */
  apply(write: Exclude<Write, { kind: "append" | "finish" | "discard" }>): Outcome {
    switch (write.kind) {
      case "told":
        return this.tell(write.agency)
      case "openDraw":
        return this.openDraw(write)
      case "recordDraw":
        return this.recordDraw()
    }
  }

  /** Notes that a book is whole; `held` is how many bets of the agency are held then. */
  finish(agency: Agency, { bets, sha256 }: FinishedBook, held: number): Outcome {
    if (bets !== held) return { kind: "bookMismatch", held }
    if (this.hasFinished(agency)) return { kind: "done" }
    // One copy for the whole group, however many finish in it.
    this.finished ??= new Map(this.state.finished)
    this.finished.set(agency, { bets, sha256 })
    this.state = { ...this.state, finished: this.finished }
    return { kind: "done" }
  }

  private tell(agency: Agency): Outcome {
    if (this.state.told.has(agency)) return { kind: "done" }
    this.told ??= new Set(this.state.told)
    this.told.add(agency)
    this.state = { ...this.state, told: this.told }
    return { kind: "done" }
  }

  private openDraw({ agencies, winningNumber }: DrawTerms): Outcome {
    const { opened, recorded } = this.state
    if (opened !== undefined) return { kind: "draw", terms: opened, recorded }
    this.state = { ...this.state, opened: { agencies, winningNumber } }
    return { kind: "done" }
  }

  private recordDraw(): Outcome {
    const { opened, recorded, finished } = this.state
    if (opened === undefined) return { kind: "missing", agencies: [] }
    if (recorded) return { kind: "alreadyRecorded" }
    const agencies = opened.agencies.filter((agency) => !finished.has(agency))
    if (agencies.length > 0) return { kind: "missing", agencies }
    this.state = { ...this.state, recorded: true }
    return { kind: "done" }
  }
}
