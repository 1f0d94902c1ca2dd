/**
 * A book that is ready to be sent: its bets were checked, counted and hashed. If its file changes
 * after that, the book is not sent.
 */
import { createHash } from "node:crypto"
import { Data, Effect, type FileSystem, Option, Stream } from "effect"
import { type Bet, textsOf } from "../../domain/Bet.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import { joinFields, makeFieldSpans } from "../../domain/BetRow.ts"
import type { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { BadLine, type DialectCheck } from "./BookParser.ts"
import { birthdateProblem } from "./Today.ts"

/** What can go wrong with a book while it is sent. */
export type BookFailure = BookChanged | BadLine | FileUnavailable

type Reading<A, E> = Stream.Stream<A, E, FileSystem.FileSystem>

export interface Book {
  /** How many bets it has. */
  readonly total: number
  /** The SHA-256 of its canonical rows, as 64 lower-case hex digits. */
  readonly sha256: string
  /** Its bets in order, as they are now, in batches that fit the dialect; none of them empty. */
  readonly batches: Reading<BetBatch, BadLine | FileUnavailable>
  /**
   * The place of the bet at a position, as `book.csv:17`; undefined for a bet that is in no file,
   * or whose file can no longer be read.
   */
  readonly placeOf: (
    position: number
  ) => Effect.Effect<string | undefined, never, FileSystem.FileSystem>
}

/** Not the book that was meant. Finished with it, the agency could not send the right one. */
export class NotSent extends Data.TaggedError("NotSent")<{
  readonly book: string
  readonly reason: string
  readonly hint?: string
}> {
  override get message(): string {
    return `${this.book}: ${this.reason}; nothing was sent${this.hint ?? ""}`
  }
}

/** The book is not the one that was checked before it was sent. */
export class BookChanged extends Data.TaggedError("BookChanged")<{
  /** How many bets it had when it was checked. */
  readonly checked: number
  /** How many were read when it was sent; if the count is the same, the bets are not. */
  readonly read: number
}> {
  override get message(): string {
    const { checked, read } = this
    const now =
      read < checked
        ? `now it has only ${read}`
        : read > checked
          ? "now it has more"
          : "now it has as many, but not the same"
    return `the book changed while it was sent: it had ${checked} bets, ${now}; send it again`
  }
}

/** A book of one bet, which the dialect's `check` may refuse. */
export const fromBet = Effect.fnUntraced(function* (
  bet: Bet,
  check: DialectCheck,
  today: string
): Effect.fn.Return<Book, BadLine> {
  const spans = makeFieldSpans()
  const bytes = joinFields(textsOf(bet), spans)
  const problem = check(bytes, spans) ?? birthdateProblem(today, bytes, spans[6]!)
  if (problem !== undefined) {
    return yield* new BadLine({ line: 1, field: problem.field, reason: problem.message })
  }
  const batch = BetBatch.fromBets([bet])
  const sha256 = createHash("sha256").update(batch.bytes).digest("hex")
  return { total: 1, sha256, batches: Stream.succeed(batch), placeOf: () => Effect.undefined }
})

/** Bets of a book, which has `position` bets before them. */
export interface PositionedBatch {
  readonly position: number
  readonly batch: BetBatch
}

/** The position after these bets. */
export const endOf = ({ batch, position }: PositionedBatch): number => position + batch.count

const positioned = (book: Book): Reading<PositionedBatch, BadLine | FileUnavailable> =>
  Stream.mapAccum(
    book.batches,
    () => 0,
    (position, batch) => [position + batch.count, [{ position, batch }]]
  )

/**
 * The whole book, batch by batch; an empty book gives one empty batch. The last batch is given only
 * after the end of the book, whose count and digest must be those of the check; otherwise this
 * fails with `BookChanged`.
 */
export const whole = (
  book: Book
): Reading<PositionedBatch & { readonly last: boolean }, BookFailure> =>
  Stream.suspend(() => {
    const hash = createHash("sha256")
    let read = 0
    const changedUnless = (isSame: boolean) =>
      isSame ? Effect.void : Effect.fail(new BookChanged({ checked: book.total, read }))
    return positioned(book).pipe(
      Stream.orElseIfEmpty(() => Stream.succeed({ position: 0, batch: BetBatch.empty })),
      Stream.tap((one) => {
        read = endOf(one)
        hash.update(one.batch.bytes)
        return changedUnless(read <= book.total)
      }),
      Stream.zipWithNext,
      Stream.mapEffect(([one, next]) => {
        const last = Option.isNone(next)
        return Effect.as(changedUnless(!last || hash.digest("hex") === book.sha256), {
          ...one,
          last
        })
      })
    )
  })

/** Reads the whole book; fails if it is not the one that was checked. */
export const verify = (book: Book) => Stream.runDrain(whole(book))

/** The book without its first `bets` bets, checked as `whole` is. */
export const from = (book: Book, bets: number): Reading<PositionedBatch, BookFailure> =>
  whole(book).pipe(
    Stream.filter((one) => endOf(one) > bets),
    Stream.map(({ batch, position }) => {
      const skipped = Math.max(0, bets - position)
      return { position: position + skipped, batch: batch.drop(skipped) }
    })
  )

/** The first `bets` bets of the book as it is now, or all that it has; nothing is checked. */
export const first = (book: Book, bets: number): Reading<PositionedBatch, BookFailure> =>
  bets === 0
    ? Stream.empty
    : positioned(book).pipe(
        Stream.takeUntil((one) => endOf(one) >= bets),
        Stream.map(({ batch, position }) => ({ position, batch: batch.take(bets - position) }))
      )

/** The SHA-256 of the book's first `bets` bets as it is now, as 64 lower-case hex digits. */
export const digestOfFirst = (book: Book, bets: number) =>
  first(book, bets).pipe(
    Stream.runFold(
      () => createHash("sha256"),
      (hash, { batch }) => hash.update(batch.bytes)
    ),
    Effect.map((hash) => hash.digest("hex"))
  )
