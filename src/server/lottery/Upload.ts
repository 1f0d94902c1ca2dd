/**
 * One connection's upload of an agency's book (docs/wire.md, "Exactly once"). In a dialect that can
 * only start over, the upload begins at position 0: bets that are already stored are compared, and
 * the rest are appended. In the native dialect it resumes at the end of the stored book.
 *
 * The connection becomes the writer after its first successful commit. Bets that are rejected or
 * only compared do not supersede the current writer.
 */
import { Data, Deferred, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import type { BookDigest } from "../../domain/seal/MarkedDigest.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  BookMismatch,
  Conflict,
  Discarded,
  Excluded,
  wrongBookHint
} from "../store/BetStore.ts"
import type { Book, BookConnection } from "./Book.ts"
import { BookDiffers, compare as compareBooks } from "./Comparison.ts"

/** The bets of an acknowledged batch, as counts. */
export interface StoredBatch {
  /** Newly stored bets. */
  readonly stored: number
  /** Bets that equal the ones already stored. */
  readonly repeated: number
}

/** The agency finished a book whose digest differs from that of the stored book. */
export class DigestMismatch extends Data.TaggedError("DigestMismatch")<{
  readonly agency: Agency
  readonly bets: number
}> {
  override get message(): string {
    const { agency, bets } = this
    const differs = `agency ${agency}: the ${bets} stored bets differ from the bets that were sent`
    return `${differs}; ${wrongBookHint(agency)}`
  }
}

/** Acknowledges a batch; nothing interrupts the commit and its acknowledgement. */
type Answer<E, R> = (stored: StoredBatch) => Effect.Effect<void, E, R>

export type Upload = ReturnType<typeof make>

/**
 * Begins an upload at position 0. `onFinished` runs when the book is known to be finished; it gets
 * the number of bets if this upload finished it.
 */
export const make = (
  book: Book,
  connection: BookConnection,
  progress: AgencyProgress,
  onFinished: (finishedBets?: number) => Effect.Effect<void>
) => {
  const { agency, digest, store } = book
  /** The progress at the last read; another connection may have stored more since. */
  let seen = progress
  /** The position in the book of this connection's next bet. */
  let position = 0
  /** The position of the next bet for `compare`. */
  let comparedTo = 0

  /** Counts the bets of a batch at `from` that are known to be stored. */
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

  const noteAcknowledged = ({ repeated, stored }: StoredBatch) =>
    Effect.map(monotonicMillis, (now) => book.note(now, stored, repeated))

  /** Reads the progress again, except for the writer: no other connection adds bets. */
  const refreshProgress = Effect.gen(function* () {
    if (book.isWrittenBy(connection)) return
    if (Deferred.isDoneUnsafe(connection.mustLeave)) yield* Deferred.await(connection.mustLeave)
    const now = yield* store.progressOf(agency)
    if (now.edition !== seen.edition) return yield* new Discarded({ agency })
    if (now.excluded) return yield* new Excluded({ agency })
    seen = now
  })

  const add = Effect.fnUntraced(function* (batch: BetBatch, last: boolean) {
    const { bets, edition } = seen
    const finished = last ? yield* digest.of(seen, batch) : undefined
    yield* store.append(agency, bets, batch, { last: finished, edition })
    digest.add(edition, bets, batch)
    seen = { ...seen, bets: bets + batch.count }
    yield* book.makeWriter(connection)
  })

  const recordFinish = Effect.fnUntraced(function* (whole: BookDigest) {
    yield* store.finish(agency, seen.bets, { ...whole, edition: seen.edition })
    yield* book.makeWriter(connection)
  })

  const end = Effect.suspend(() => {
    const finishedBets = seen.finished ? undefined : seen.bets
    seen = { ...seen, finished: true }
    book.releaseWriter(connection)
    return onFinished(finishedBets)
  })

  /** Stores the bets after the compared ones; undefined if more bets must now be compared first. */
  const storeRest = Effect.fnUntraced(function* (batch: BetBatch, compared: number, last: boolean) {
    yield* refreshProgress
    const repeated = overlap(position, batch)
    if (repeated > compared) return undefined
    const { bets, finished } = seen
    const next = position + batch.count
    if (finished && next > bets) return yield* new AlreadyFinished({ agency, bets })
    if (last && next < bets) return yield* new BookMismatch({ agency, bets: next, stored: bets })

    const fresh = batch.drop(repeated)
    if (fresh.count > 0) yield* add(fresh, last)
    else if (last && !finished) yield* recordFinish(yield* digest.of(seen))
    if (last) yield* end
    return { stored: fresh.count, repeated }
  })

  /**
   * Compares the bets of a batch that are already stored and stores the rest; `last` finishes the
   * book. The comparison can be interrupted, the commit and its acknowledgement cannot.
   */
  const storeFromStart = <E, R>(batch: BetBatch, last: boolean, answer: Answer<E, R>) =>
    Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        let compared = 0
        let stored: StoredBatch | undefined
        while (stored === undefined) {
          const rest = batch.drop(compared)
          compared += yield* restore(compareAt(position + compared, rest))
          // Stored bets stay stored, so a batch that is only compared needs no commit.
          const isCompared = !last && compared === batch.count
          stored = isCompared
            ? { stored: 0, repeated: compared }
            : yield* book.commit.withPermit(storeRest(batch, compared, last))
        }
        position += batch.count
        yield* noteAcknowledged(stored)
        yield* answer(stored)
      })
    )

  const appendAt = Effect.fnUntraced(
    function* (at: number, batch: BetBatch) {
      // Another connection may have added bets, so the book's end is checked as well.
      if (at !== position) return yield* new Conflict({ agency, position: at, expected: position })
      if (batch.count > 0) yield* refreshProgress
      if (at !== seen.bets)
        return yield* new Conflict({ agency, position: at, expected: seen.bets })
      if (batch.count > 0) yield* add(batch, false)
      position = seen.bets
    },
    // Another connection finished the book after this upload resumed. With `Conflict` the client
    // may resume again, and then learns whether its own book is the stored one.
    (appended, at) =>
      Effect.catchTag(appended, "AlreadyFinished", ({ bets }) =>
        Effect.fail(new Conflict({ agency, position: at, expected: bets }))
      ),
    book.commit.withPermit
  )

  /** Appends a batch without comparing and acknowledges it; nothing interrupts the two. */
  const append = Effect.fnUntraced(function* <E, R>(
    at: number,
    batch: BetBatch,
    answer: Answer<E, R>
  ) {
    if (seen.finished) return yield* new AlreadyFinished({ agency, bets: seen.bets })
    yield* appendAt(at, batch)
    const stored = { stored: batch.count, repeated: 0 }
    yield* noteAcknowledged(stored)
    yield* answer(stored)
  }, Effect.uninterruptible)

  /** Compares the next batch, starting at position 0; returns how many bets are equal so far. */
  const compare = Effect.fnUntraced(function* (at: number, batch: BetBatch) {
    if (at !== comparedTo)
      return yield* new Conflict({ agency, position: at, expected: comparedTo })
    const repeated = yield* compareAt(at, batch)
    comparedTo += repeated
    yield* noteAcknowledged({ stored: 0, repeated })
    if (comparedTo < at + batch.count) {
      return yield* new BookDiffers({ agency, position: comparedTo })
    }
    return comparedTo
  })

  /** Finishes the book, which must be stored completely. A repeated call changes nothing. */
  const finish = Effect.fnUntraced(
    function* (bets: number, sha256: string) {
      yield* refreshProgress
      if (bets !== seen.bets) return yield* new BookMismatch({ agency, bets, stored: seen.bets })
      const stored = yield* digest.of(seen)
      if (sha256 !== stored.sha256) return yield* new DigestMismatch({ agency, bets })
      if (!seen.finished) yield* recordFinish(stored)
      position = bets
      yield* noteAcknowledged({ stored: 0, repeated: 0 })
      yield* end
    },
    book.commit.withPermit,
    Effect.uninterruptible
  )

  /** Moves to the end of the stored book and describes it; the digest is in hex. */
  const resume = Effect.gen(function* () {
    seen = yield* store.progressOf(agency)
    position = seen.bets
    if (seen.finished) yield* onFinished()
    const { sha256 } = yield* digest.of(seen)
    return { bets: seen.bets, sha256, finished: seen.finished }
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
