/** A book that is ready to be sent: every bet of it was checked, and they are counted. */
import { Data, Effect, type FileSystem, Stream } from "effect"
import type { Bet } from "../domain/Bet.ts"
import { BetBatch } from "../domain/BetBatch.ts"
import { joinFields, makeFieldSpans } from "../domain/BetRow.ts"
import * as BookReader from "./BookReader.ts"
import type { FileUnavailable } from "./FileUnavailable.ts"

export interface Book {
  /** How many bets it has. */
  readonly total: number
  /** Its bets in order, in batches that fit the dialect; none of them empty. */
  readonly batches: Stream.Stream<
    BetBatch,
    BookReader.BadLine | FileUnavailable,
    FileSystem.FileSystem
  >
}

/** A single bet that cannot be sent in the dialect. */
export class BadBet extends Data.TaggedError("BadBet")<{
  readonly field: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.field}: ${this.reason}`
  }
}

/** A book of one bet. */
export const fromBet = Effect.fnUntraced(function* (
  bet: Bet,
  check: BookReader.BetCheck
): Effect.fn.Return<Book, BadBet> {
  const spans = makeFieldSpans()
  const { firstName, lastName, document, birthdate, number } = bet
  const bytes = joinFields([firstName, lastName, document, birthdate, String(number)], spans)
  const problem = check(bytes, spans)
  if (problem !== undefined) {
    return yield* new BadBet({ field: problem.field, reason: problem.message })
  }
  return { total: 1, batches: Stream.succeed(BetBatch.fromBets([bet])) }
})

/**
 * The book in a file. Fails at its first bad line; with `rejects` bad lines are left out and
 * written to that file as they are.
 */
export const fromFile = Effect.fnUntraced(function* (
  file: string,
  options: Omit<BookReader.BookOptions, "skipBadLines"> & { readonly rejects: string | undefined }
) {
  const { bets, badLines } = yield* Effect.scoped(BookReader.inspect(file, options))
  const batches = BookReader.read(file, { ...options, skipBadLines: options.rejects !== undefined })
  return { book: { total: bets, batches } satisfies Book, badLines }
})
