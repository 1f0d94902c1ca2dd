/** Which agencies the board lists, and in which order. */
import type { AgencyStanding } from "../DrawStanding.ts"
import type { Agencies } from "./LiveState.ts"
import * as Words from "./Words.ts"

/** A list is filtered only above this many agencies; fewer are seen at a glance. */
const MAX_UNFILTERED = 50
/** Rows that are shown; ten thousand would freeze a browser at each event. */
export const MAX_ROWS = 200

export interface AgencyList {
  readonly rows: ReadonlyArray<AgencyStanding>
  /** How many agencies match the filter. */
  readonly matching: number
  readonly all: number
  readonly hasFilter: boolean
}

/** The state of an agency in a word. */
export const stateOf = ({ state }: AgencyStanding): string => state ?? "unknown"

const DIGITS = /^\d+$/

/** Whether an agency's number begins with a word, or a word of its state does. */
const matches = (row: AgencyStanding, word: string): boolean =>
  DIGITS.test(word)
    ? String(row.agency).startsWith(word)
    : stateOf(row)
        .split(" ")
        .some((own) => own.startsWith(word))

/**
 * Lists the agencies that match every word of `filter`: first the one whose number is in it, then
 * the unfinished ones, then by number.
 */
export const list = (agencies: Agencies, filter: string): AgencyList => {
  const hasFilter = agencies.size > MAX_UNFILTERED
  const words = hasFilter ? filter.toLowerCase().split(/\s+/).filter(Boolean) : []
  const rank = ({ agency, excluded, finished }: AgencyStanding): number => {
    if (words.includes(String(agency))) return 0
    return excluded || finished ? 2 : 1
  }
  const found = [...agencies.values()]
    .filter((row) => words.every((word) => matches(row, word)))
    .sort((one, other) => rank(one) - rank(other) || one.agency - other.agency)
  const rows = found.slice(0, MAX_ROWS)
  return { rows, matching: found.length, all: agencies.size, hasFilter }
}

/** Says how many agencies are shown, if these are not all of them. */
export const shownText = ({ all, matching, rows }: AgencyList): string => {
  const [shown, found, total] = [rows.length, matching, all].map(Words.count)
  if (rows.length < matching) {
    const which = matching < all ? `${found} that match` : total
    return `${shown} of ${which} shown; filter to see others`
  }
  return matching < all ? `${found} of ${total} match` : `${total} shown`
}
