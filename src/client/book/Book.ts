/** A book that is ready to be sent: every bet was checked, and they are counted and hashed. */
import { createHash } from "node:crypto"
import { Data, Effect, type FileSystem, Stream } from "effect"
import type { Bet } from "../../domain/Bet.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import { joinFields, makeFieldSpans } from "../../domain/BetRow.ts"
import type { FileUnavailable } from "../../domain/FileUnavailable.ts"
import type { BadLine, BetCheck } from "./BookParser.ts"
import * as BookReader from "./BookReader.ts"
import { birthdateProblem, type Today } from "./Today.ts"

export interface Book {
  /** How many bets it has. */
  readonly total: number
  /** The SHA-256 of its canonical rows, as 64 lower-case hex digits. */
  readonly sha256: string
  /**
   * Reads it again, unless it was kept and its file not written since: its bets in order, in
   * batches that fit the dialect; none of them empty.
   */
  readonly batches: Stream.Stream<BetBatch, BadLine | FileUnavailable, FileSystem.FileSystem>
  /**
   * Where a person finds the bet at a position, as `book.csv:17`; undefined where it stands in no
   * file, or that cannot be read any more.
   */
  readonly placeOf: (
    position: number
  ) => Effect.Effect<string | undefined, never, FileSystem.FileSystem>
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
  check: BetCheck,
  today: Today
): Effect.fn.Return<Book, BadBet> {
  const spans = makeFieldSpans()
  const { firstName, lastName, document, birthdate, number } = bet
  const bytes = joinFields([firstName, lastName, document, birthdate, String(number)], spans)
  const problem = check(bytes, spans) ?? birthdateProblem(today, bytes, spans[6]!)
  if (problem !== undefined) {
    return yield* new BadBet({ field: problem.field, reason: problem.message })
  }
  const batch = BetBatch.fromBets([bet])
  const sha256 = createHash("sha256").update(batch.bytes).digest("hex")
  return { total: 1, sha256, batches: Stream.succeed(batch), placeOf: () => Effect.undefined }
})

/**
 * The book in a file. Fails at its first bad line; with `rejects` bad lines are left out and
 * written to that file as they are.
 */
export const fromFile = Effect.fnUntraced(function* (
  file: string,
  options: BookReader.InspectOptions
) {
  const { bets, sha256, ...found } = yield* Effect.scoped(BookReader.inspect(file, options))
  const again = { ...options, skipBadLines: options.rejects !== undefined }
  const book: Book = {
    total: bets,
    sha256,
    batches: BookReader.readKept(file, again, found),
    placeOf: (position) =>
      BookReader.lineOf(file, again, position).pipe(
        Effect.map((line) => (line === undefined ? line : `${options.name ?? file}:${line}`)),
        // It is asked for what goes into another error, which says more.
        Effect.catchTag("FileUnavailable", () => Effect.undefined)
      )
  }
  return { ...found, book }
})
