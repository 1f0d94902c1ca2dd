/** Plans a group of writes to a CSV store, before any of it is written. */
import type { Agency } from "../../../domain/Agency.ts"
import type { FinishedDigest } from "../BetStore.ts"
import { type DrawStep, planStep } from "../embedded/DrawSteps.ts"
import type { Outcome, Write } from "../embedded/Write.ts"
import type { KnownBooks } from "./CsvBook.ts"
import type { Rows } from "./CsvRow.ts"
import type { CsvState } from "./CsvState.ts"

/** A write that only adds rows or changes the state. */
export type PlannedWrite = Exclude<Write, { readonly kind: "discard" | "recordDraw" }>
type NoteWrite = Extract<Write, { kind: "recordNote" }>
type Append = Extract<Write, { kind: "append" }>

/** Copies a map, which may have 10,000 entries, without an array for each. */
const withAll = <K, V>(known: ReadonlyMap<K, V>, added: ReadonlyMap<K, V>): Map<K, V> => {
  const all = new Map<K, V>()
  known.forEach((value, key) => all.set(key, value))
  added.forEach((value, key) => all.set(key, value))
  return all
}

const DONE = { kind: "done" } as const

/** Returns the rows to append, the state to write after them, and the outcome of each write. */
export const planOf = (
  { csv, editions, state }: KnownBooks & { readonly state: CsvState },
  writes: ReadonlyArray<PlannedWrite>
) => {
  const rows: Array<Rows> = []
  const bets = new Map<Agency, number>()
  const finished = new Map<Agency, FinishedDigest>()
  const told = new Set<Agency>()
  const excluded = new Set<Agency>()
  let { opened, result, seal } = state

  const betsOf = (agency: Agency) => bets.get(agency) ?? csv.index.bets(agency)
  const hasFinished = (agency: Agency) => finished.has(agency) || state.finished.has(agency)
  const isExcluded = (agency: Agency) => excluded.has(agency) || state.excluded.has(agency)
  const progressOf = (agency: Agency) => ({
    bets: betsOf(agency),
    finished: hasFinished(agency),
    excluded: isExcluded(agency)
  })

  const sha256Of = (agency: Agency) => (finished.get(agency) ?? state.finished.get(agency))?.sha256

  const finish = (agency: Agency, book: FinishedDigest): Outcome => {
    const stored = betsOf(agency)
    if (book.bets !== stored) return { kind: "bookMismatch", stored }
    if (!hasFinished(agency)) finished.set(agency, book)
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
  const takeStep = (step: DrawStep): Outcome => {
    const { draw, outcome } = planStep(step, opened, progressOf, sha256Of)
    if (outcome.kind === "excluded")
      for (const { agency } of outcome.exclusions) excluded.add(agency)
    if (draw !== undefined) opened = draw
    return outcome
  }
  const recordNote = ({ note, text }: NoteWrite): Outcome => {
    if (note === "result") {
      result ??= text
    } else if (seal === undefined) {
      seal = text
      opened = opened && { ...opened, sealed: true }
    }
    return DONE
  }
  const outcomeOf = (write: PlannedWrite): Outcome => {
    if (write.kind === "told") {
      if (!state.told.has(write.agency)) told.add(write.agency)
      return DONE
    }
    if (write.kind === "recordNote") return recordNote(write)
    if (write.kind !== "append" && write.kind !== "finish") return takeStep(write)
    const edition = editions.get(write.agency) ?? 0
    if ((write.edition ?? edition) !== edition) return { kind: "otherEdition" }
    if (isExcluded(write.agency)) return { kind: "isExcluded" }
    return write.kind === "append"
      ? append(write)
      : finish(write.agency, { bets: write.bets, ...write.digest })
  }

  const outcomes = writes.map(outcomeOf)
  const isSame =
    opened === state.opened &&
    seal === state.seal &&
    result === state.result &&
    finished.size + excluded.size + told.size === 0
  if (isSame) return { rows, outcomes, state }
  const changed: CsvState = {
    ...state,
    opened,
    seal,
    result,
    excluded: new Set([...state.excluded, ...excluded]),
    finished: withAll(state.finished, finished),
    told: new Set([...state.told, ...told])
  }
  return { rows, outcomes, state: changed }
}
