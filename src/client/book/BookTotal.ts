/**
 * How many bets a book must have to be sent: finished with too few, an agency is in the draw
 * without them, and nothing can undo that.
 */
import { Data, Effect } from "effect"

/** Input that has no bets is more often no book than the book of an agency that has none. */
export class NoBets extends Data.TaggedError("NoBets")<{
  readonly book: string
  /** How many lines were rejected. */
  readonly badLines: number
}> {
  override get message(): string {
    const { badLines, book } = this
    return badLines === 0
      ? `${book}: no bets; nothing was sent. If the agency has none, say so: --allow-empty`
      : `${book}: no bets, and ${badLines} rejected lines; nothing was sent. Is it a book?`
  }
}

/** The book has more bets than were expected, or fewer. */
export class UnexpectedTotal extends Data.TaggedError("UnexpectedTotal")<{
  readonly book: string
  readonly expected: number
  readonly total: number
  readonly badLines: number
}> {
  override get message(): string {
    const { badLines, book, expected, total } = this
    const rejected = badLines === 0 ? "" : `, and ${badLines} rejected lines`
    return `${book}: expected ${expected} bets, got ${total}${rejected}; nothing was sent`
  }
}

/** What a book was found to have. */
export interface Found {
  readonly book: string
  readonly total: number
  readonly badLines: number
}

export interface Expected {
  /** Whether the book may be empty; never where lines of it were rejected. */
  readonly allowEmpty: boolean
  /** How many bets it has; with 0 it may be empty. Undefined if that is not known. */
  readonly bets: number | undefined
}

/** Fails if the book must not be sent. */
export const check = Effect.fnUntraced(function* (found: Found, expected: Expected) {
  const { badLines, book, total } = found
  if (expected.bets !== undefined && expected.bets !== total) {
    return yield* new UnexpectedTotal({ ...found, expected: expected.bets })
  }
  const mayBeEmpty = (expected.allowEmpty || expected.bets === 0) && badLines === 0
  if (total === 0 && !mayBeEmpty) return yield* new NoBets({ book, badLines })
})
