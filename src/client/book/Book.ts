/** A checked, counted and hashed book. If its file changes afterwards, sending it fails. */
import { createHash, type Hash } from "node:crypto"
import { Data, Effect, type FileSystem, Stream } from "effect"
import { type Bet, textsOf } from "../../domain/Bet.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import { joinFields, makeFieldSpans } from "../../domain/BetRow.ts"
import type { FileUnavailable } from "../../domain/FileUnavailable.ts"
import { BadLine, type DialectCheck } from "./BookParser.ts"
import { birthdateProblem } from "./Today.ts"

export type BookFailure = BookChanged | BadLine | FileUnavailable

type Reading<A, E> = Stream.Stream<A, E, FileSystem.FileSystem>

export interface Book {
  readonly total: number
  /** The length of its canonical rows. */
  readonly bytes: number
  /** The SHA-256 of its canonical rows, as 64 lowercase hex digits. */
  readonly sha256: string
  /** The current bets in order, in non-empty batches that fit the dialect. */
  readonly batches: Reading<BetBatch, BadLine | FileUnavailable>
  /** Returns the place of a bet, such as `book.csv:17`; undefined if there is no readable file. */
  readonly placeOf: (
    position: number
  ) => Effect.Effect<string | undefined, never, FileSystem.FileSystem>
}

/** This is probably the wrong book, and a client cannot replace a book that is finished. */
export class NotSent extends Data.TaggedError("NotSent")<{
  readonly book: string
  readonly reason: string
  readonly hint?: string
}> {
  override get message(): string {
    return `${this.book}: ${this.reason}; nothing was sent${this.hint ?? ""}`
  }
}

export class BookChanged extends Data.TaggedError("BookChanged")<{
  /** How many bets it had when it was checked. */
  readonly checked: number
  /** How many bets were read while it was sent; if the counts are equal, the bets differ. */
  readonly read: number
}> {
  override get message(): string {
    const { checked, read } = this
    const now =
      read < checked
        ? `now has only ${read}`
        : read > checked
          ? "now has more"
          : "now has the same number of different bets"
    return `the book changed during the upload: it had ${checked} bets and ${now}; send it again`
  }
}

/** Returns a book of one bet. Fails if the dialect's `check` or the birthdate rule refuses it. */
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
  return {
    total: 1,
    bytes: batch.byteLength,
    sha256,
    batches: Stream.succeed(batch),
    placeOf: () => Effect.undefined
  }
})

/** Consecutive bets of a book. */
export interface PositionedBatch {
  /** The position of the first bet in the book, counted from 0. */
  readonly position: number
  readonly batch: BetBatch
}

export const endOf = ({ batch, position }: PositionedBatch): number => position + batch.count

const positioned = (book: Book): Reading<PositionedBatch, BadLine | FileUnavailable> =>
  Stream.mapAccum(
    book.batches,
    () => 0,
    (position, batch) => [position + batch.count, [{ position, batch }]]
  )

interface LastMarked extends PositionedBatch {
  readonly last: boolean
}

/**
 * Streams the whole book; an empty book yields one empty batch. Before the last batch it compares
 * the count, and `hash` of the rows if given, with those of the checked book. Fails with
 * `BookChanged` if they differ.
 */
const counted = (book: Book, hash?: Hash): Reading<LastMarked, BookFailure> => {
  let read = 0
  let last: PositionedBatch = { position: 0, batch: BetBatch.empty }
  /** Returns the batches before the last one so far; all of them at the end of the book. */
  const take = Effect.fnUntraced(function* (batches: ReadonlyArray<BetBatch | undefined>) {
    const ready: Array<LastMarked> = []
    for (const batch of batches) {
      if (batch !== undefined) {
        if (read > 0) ready.push({ ...last, last: false })
        last = { position: read, batch }
        read += batch.count
        hash?.update(batch.bytes)
      }
      const isSame =
        batch !== undefined
          ? read <= book.total
          : read === book.total && (hash === undefined || hash.digest("hex") === book.sha256)
      if (!isSame) return yield* new BookChanged({ checked: book.total, read })
      if (batch === undefined) ready.push({ ...last, last: true })
    }
    return [undefined, ready] as const
  })
  return Stream.concat(book.batches, Stream.succeed(undefined)).pipe(
    // One effect for many batches: with one for each, this takes half of a batch of one bet.
    Stream.mapAccumArrayEffect(
      () => undefined,
      (_, batches) => take(batches)
    )
  )
}

/** Streams the whole book, and compares its count and digest before the last batch. */
export const whole = (book: Book): Reading<LastMarked, BookFailure> =>
  Stream.suspend(() => counted(book, createHash("sha256")))

/** Reads the whole book. Fails with `BookChanged` if it differs from the one that was checked. */
export const verify = (book: Book) => Stream.runDrain(whole(book))

/**
 * Streams the book without its first `bets` bets, and compares its count before the last batch.
 * If the count is the same, only `verify` finds that the bets differ from the checked ones.
 */
export const from = (book: Book, bets: number): Reading<PositionedBatch, BookFailure> =>
  Stream.suspend(() => counted(book)).pipe(
    Stream.filter((one) => endOf(one) > bets),
    Stream.map(({ batch, position }) => {
      const skipped = Math.max(0, bets - position)
      return { position: position + skipped, batch: batch.drop(skipped) }
    })
  )

/** Streams the first `bets` bets of the current file, unchecked; fewer if it has fewer. */
export const first = (book: Book, bets: number): Reading<PositionedBatch, BookFailure> =>
  bets === 0
    ? Stream.empty
    : positioned(book).pipe(
        Stream.takeUntil((one) => endOf(one) >= bets),
        Stream.map(({ batch, position }) => ({ position, batch: batch.take(bets - position) }))
      )

/** Returns the SHA-256 of `first(book, bets)` as 64 lowercase hex digits. */
export const digestOfFirst = (book: Book, bets: number) =>
  first(book, bets).pipe(
    Stream.runFold(
      () => createHash("sha256"),
      (hash, { batch }) => hash.update(batch.bytes)
    ),
    Effect.map((hash) => hash.digest("hex"))
  )
