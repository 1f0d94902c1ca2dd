/**
 * Goes over a book once more to send it. It was counted and hashed in a first pass; whatever has
 * become of its file since is not taken for that book.
 */
import { createHash } from "node:crypto"
import { Data, Effect, type FileSystem, Stream } from "effect"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { FileUnavailable } from "../../domain/FileUnavailable.ts"
import type { Book } from "./Book.ts"
import type { BadLine } from "./BookParser.ts"

/** The book is not the one that was checked before it was sent. */
export class BookChanged extends Data.TaggedError("BookChanged")<{
  /** How many bets it had when it was checked. */
  readonly checked: number
  /** How many it was found to have when it was sent; as many, but not the same, where equal. */
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

/** Bets of a book, of which `position` come before these. */
export interface PositionedBatch {
  readonly position: number
  readonly batch: BetBatch
}

/** Some of the bets of a book that is being sent; `last` says that it is whole with them. */
export interface CheckedBatch extends PositionedBatch {
  readonly last: boolean
}

/** Reading a book can fail at its file, or at a line that was good before. */
export type BookPass<A> = Stream.Stream<
  A,
  BookChanged | BadLine | FileUnavailable,
  FileSystem.FileSystem
>

/**
 * The whole book, batch by batch. The last one comes only where the book ends with it and has the
 * count and the digest of the first pass, and fails with `BookChanged` otherwise. An empty book
 * has no batches.
 */
export const whole = (book: Book): BookPass<CheckedBatch> =>
  Stream.suspend(() => {
    const hash = createHash("sha256")
    let read = 0
    let ahead: PositionedBatch | undefined

    const take = (batch: BetBatch | undefined): Effect.Effect<void, BookChanged> => {
      ahead = batch === undefined ? undefined : { position: read, batch }
      read += batch?.count ?? 0
      if (batch !== undefined) hash.update(batch.bytes)
      const same = batch === undefined ? hash.digest("hex") === book.sha256 : read <= book.total
      return same ? Effect.void : Effect.fail(new BookChanged({ checked: book.total, read }))
    }

    // A batch is known to be the last once the end of the book has come: undefined.
    return Stream.concat(book.batches, Stream.succeed(undefined)).pipe(
      Stream.mapEffect((batch) => {
        const before = ahead
        return Effect.as(
          take(batch),
          before === undefined ? [] : [{ ...before, last: batch === undefined }]
        )
      }),
      Stream.flattenIterable
    )
  })

/** Reads the whole book; fails where it is not the one of the first pass any more. */
export const verify = (book: Book) => Stream.runDrain(whole(book))

/** The book without its first `bets` bets, checked as `whole` is. */
export const from = (book: Book, bets: number): BookPass<PositionedBatch> =>
  whole(book).pipe(
    Stream.filter(({ batch, position }) => position + batch.count > bets),
    Stream.map(({ batch, position }) => {
      const skipped = Math.max(0, bets - position)
      return { position: position + skipped, batch: batch.drop(skipped) }
    })
  )

/** The first `bets` bets of the book as it is now, or all that it has; nothing is checked. */
export const first = (book: Book, bets: number): BookPass<PositionedBatch> =>
  bets === 0
    ? Stream.empty
    : book.batches.pipe(
        Stream.mapAccum(
          () => 0,
          (position, batch) => [position + batch.count, [{ position, batch }]]
        ),
        Stream.takeUntil(({ batch, position }) => position + batch.count >= bets),
        Stream.map(({ batch, position }) => ({
          position,
          batch: batch.take(bets - position)
        }))
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
