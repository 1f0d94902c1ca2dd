/**
 * One connection's upload of an agency's book (wire: "Exactly once, in every dialect"). In the
 * dialects that know only how to start over it begins at position 0: rows that are stored already
 * are compared with what arrives and not stored again; what comes after them is appended. In the
 * native dialect it resumes where the stored book ends.
 *
 * It takes the turn with the first bets that it adds or with the end of the book, once these are
 * stored: a book that is refused, or only compared, costs the agency's rightful upload nothing.
 */
import { Data, Deferred, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  BookMismatch,
  Conflict,
  Discarded,
  ifAnotherBook
} from "../store/BetStore.ts"
import type { AtBook, Book } from "./Book.ts"
import { BookDiffers, compare as compareBooks } from "./Comparison.ts"

/** How many bets of an acknowledged batch were new. */
export interface StoredBatch {
  /** Newly stored bets. */
  readonly stored: number
  /** Bets that were stored already, and are the same. */
  readonly repeated: number
}

/** The agency's book as it ends has other bets than the stored one. */
export class DigestMismatch extends Data.TaggedError("DigestMismatch")<{
  readonly agency: Agency
  readonly bets: number
}> {
  override get message(): string {
    const { agency, bets } = this
    const differs = `agency ${agency}: the ${bets} stored bets are not those that were sent`
    return `${differs}; ${ifAnotherBook(agency)}`
  }
}

/** Tells the agency what became of its batch; runs as one step with the commit. */
type Answer<E, R> = (stored: StoredBatch) => Effect.Effect<void, E, R>

export type Upload = ReturnType<typeof make>

/**
 * Begins an upload at position 0 of a book with this progress; `onFinished` runs once the book is
 * known to be complete.
 */
export const make = (
  book: Book,
  connection: AtBook,
  progress: AgencyProgress,
  onFinished: Effect.Effect<void>
) => {
  const { agency, digest, store } = book
  /** The progress as last seen; others may have stored more since. */
  let seen = progress
  /** The position in the book of this connection's next bet. */
  let position = 0
  /** How far `compare` has come. */
  let comparedTo = 0

  /** How many bets of a batch at `from` are known to be stored. */
  const overlap = (from: number, { count }: BetBatch) =>
    Math.min(count, Math.max(0, seen.bets - from))

  const compareAt = Effect.fnUntraced(function* (from: number, batch: BetBatch) {
    const known = overlap(from, batch)
    if (known === 0) return 0
    const { edition } = seen
    const repeated = batch.take(known)
    yield* Effect.raceFirst(compareBooks(book, edition, from, repeated), connection.lost)
    digest.add(edition, from, repeated)
    return known
  })

  /** Reads again what is stored. The writer need not: nobody else adds bets meanwhile. */
  const refreshProgress = Effect.gen(function* () {
    if (book.isWrittenBy(connection)) return
    if (Deferred.isDoneUnsafe(connection.mustLeave)) yield* Deferred.await(connection.mustLeave)
    const now = yield* store.progressOf(agency)
    if (now.edition !== seen.edition) return yield* new Discarded({ agency })
    seen = now
  })

  const add = Effect.fn("Upload.commit")(function* (batch: BetBatch, last: boolean) {
    const { bets, edition } = seen
    const finished = last ? { sha256: yield* digest.of(seen, batch) } : undefined
    yield* store.append(agency, bets, batch, { last: finished, edition })
    digest.add(edition, bets, batch)
    seen = { ...seen, bets: bets + batch.count }
    yield* book.takeTurn(connection)
  })

  const recordFinish = Effect.fn("Upload.finish")(function* (sha256: string) {
    yield* store.finish(agency, seen.bets, { sha256, edition: seen.edition })
    yield* book.takeTurn(connection)
  })

  /** Notes that the book is complete; it has no writer then. */
  const end = Effect.suspend(() => {
    seen = { ...seen, finished: true }
    book.giveTurnBack(connection)
    return onFinished
  })

  /** Stores what follows the compared bets of a batch; undefined if more is stored by now. */
  const storeRest = Effect.fnUntraced(function* (batch: BetBatch, compared: number, last: boolean) {
    yield* refreshProgress
    const repeated = overlap(position, batch)
    if (repeated > compared) return undefined
    const { bets, finished } = seen
    const next = position + batch.count
    if (finished && next > bets) return yield* new AlreadyFinished({ agency, bets })
    if (last && next < bets) return yield* new BookMismatch({ agency, bets: next, held: bets })

    const fresh = batch.drop(repeated)
    if (fresh.count > 0) yield* add(fresh, last)
    else if (last && !finished) yield* recordFinish(yield* digest.of(seen))
    if (last) yield* end
    return { stored: fresh.count, repeated }
  })

  /**
   * Compares what of a batch is stored already, and stores the rest; with `last` the book is
   * complete. The comparison can be interrupted; the commit and its answer are one step.
   */
  const storeFromStart = <E, R>(batch: BetBatch, last: boolean, answer: Answer<E, R>) =>
    Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        let compared = 0
        let stored: StoredBatch | undefined
        while (stored === undefined) {
          const rest = batch.drop(compared)
          compared += yield* restore(compareAt(position + compared, rest))
          // What is stored stays stored: a batch that is only compared needs no turn.
          const isCompared = !last && compared === batch.count
          stored = isCompared
            ? { stored: 0, repeated: compared }
            : yield* book.commit.withPermit(storeRest(batch, compared, last))
        }
        position += batch.count
        yield* answer(stored)
      })
    )

  const appendAt = Effect.fnUntraced(
    function* (at: number, batch: BetBatch) {
      // Where this connection has come to, and then the book: another one may have added to it.
      if (at !== position) return yield* new Conflict({ agency, position: at, held: position })
      if (batch.count > 0) yield* refreshProgress
      if (at !== seen.bets) return yield* new Conflict({ agency, position: at, held: seen.bets })
      if (batch.count > 0) yield* add(batch, false)
      position = seen.bets
    },
    // The book was unfinished when this upload resumed, so another connection sent the rest. An
    // agency that resumes again learns whether that is the same book.
    (appended, at) =>
      Effect.catchTag(appended, "AlreadyFinished", ({ bets }) =>
        Effect.fail(new Conflict({ agency, position: at, held: bets }))
      ),
    book.commit.withPermit
  )

  /** Stores a batch at the end of the stored book without comparing; one step with its answer. */
  const append = Effect.fnUntraced(function* <E, R>(
    at: number,
    batch: BetBatch,
    answer: Answer<E, R>
  ) {
    if (seen.finished) return yield* new AlreadyFinished({ agency, bets: seen.bets })
    yield* appendAt(at, batch)
    yield* answer({ stored: batch.count, repeated: 0 })
  }, Effect.uninterruptible)

  /** Compares the next batch with the stored book, from 0 on; gives how many bets are equal. */
  const compare = Effect.fnUntraced(function* (at: number, batch: BetBatch) {
    if (at !== comparedTo) return yield* new Conflict({ agency, position: at, held: comparedTo })
    comparedTo += yield* compareAt(at, batch)
    if (comparedTo < at + batch.count) {
      return yield* new BookDiffers({ agency, position: comparedTo })
    }
    return comparedTo
  })

  /** Completes the book, all of which is stored; doing so again is harmless. Runs to its end. */
  const finish = Effect.fnUntraced(
    function* (bets: number, sha256: string) {
      yield* refreshProgress
      if (bets !== seen.bets) return yield* new BookMismatch({ agency, bets, held: seen.bets })
      if (sha256 !== (yield* digest.of(seen))) return yield* new DigestMismatch({ agency, bets })
      if (!seen.finished) yield* recordFinish(sha256)
      position = bets
      yield* end
    },
    book.commit.withPermit,
    Effect.uninterruptible
  )

  /** Continues where the stored book ends, and describes that book; the digest is in hex. */
  const resume = Effect.gen(function* () {
    seen = yield* store.progressOf(agency)
    position = seen.bets
    if (seen.finished) yield* onFinished
    return { bets: seen.bets, sha256: yield* digest.of(seen), finished: seen.finished }
  }).pipe(book.commit.withPermit)

  return {
    agency,
    position: () => position,
    storeFromStart,
    resume,
    append,
    compare,
    finish
  }
}
