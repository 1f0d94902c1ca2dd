/**
 * One connection's upload of an agency's book (wire: "Exactly once, in every dialect"). In the
 * dialects that know only how to start over it begins at position 0: rows that are stored already
 * are compared with what arrives and not stored again, what comes after them is appended. In the
 * native dialect it resumes where the stored book ends.
 *
 * It takes the turn with the first bets that it adds or with the end of the book, once these are
 * stored: a book that is refused, or only compared, costs the agency's rightful upload nothing.
 */
import { Data, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { ConnectionLost, PeerConnection } from "../../protocol/PeerConnection.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  type BetStore,
  BookMismatch,
  Conflict,
  Discarded,
  ifAnotherBook,
  type StoreBroken,
  type StoreUnavailable
} from "../store/BetStore.ts"
import type { BookDigest } from "./BookDigest.ts"
import { type BookDiffers, compare, type StoredBook } from "./Comparison.ts"
import type { Superseded, Turn } from "./Turn.ts"

/** What became of a batch that is acknowledged. */
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

/** Why bets were not acknowledged; nothing of them was stored. */
export type UploadFailure =
  | BookDiffers
  | BookMismatch
  | DigestMismatch
  | Superseded
  | Discarded
  | Conflict
  | AlreadyFinished
  | StoreUnavailable
  | StoreBroken

/** What the store holds of an agency's book as an upload resumes. */
export interface Resumption {
  readonly bets: number
  /** The SHA-256 of their rows, as 64 hex digits. */
  readonly sha256: string
  readonly finished: boolean
}

/** Tells the agency what became of its batch; runs as one step with the commit. */
export type Answer<E, R> = (stored: StoredBatch) => Effect.Effect<void, E, R>

export interface Upload {
  readonly agency: Agency
  /** The position in the book of this connection's next bet. */
  readonly position: () => number
  /** The book was complete when this connection last looked. */
  readonly hasFinished: () => boolean
  /** Continues where the stored book ends. */
  readonly resume: Effect.Effect<Resumption, StoreUnavailable>
  /** Why bets for `position` are refused, if `pending` others are to be stored before them. */
  readonly refusal: (position: number, pending: number) => AlreadyFinished | Conflict | undefined
  /**
   * Compares what of a batch is stored already, and stores the rest; with `last` the book is
   * complete. The comparison can be interrupted; the commit and its answer are one step.
   */
  readonly store: <E, R>(
    batch: BetBatch,
    last: boolean,
    answer: Answer<E, R>
  ) => Effect.Effect<void, UploadFailure | ConnectionLost | E, R>
  /** Stores a batch behind the stored book, and compares nothing. One step with its answer. */
  readonly append: <E, R>(
    batch: BetBatch,
    answer: Answer<E, R>
  ) => Effect.Effect<void, UploadFailure | E, R>
  /** The book is complete; saying so again is harmless. Runs to its end. */
  readonly finish: (bets: number, sha256: string) => Effect.Effect<void, UploadFailure>
  /** Compares a batch with the stored rows from `position` on, as many as there are. */
  readonly compareAt: (
    position: number,
    batch: BetBatch
  ) => Effect.Effect<number, BookDiffers | Discarded | StoreUnavailable | ConnectionLost>
}

/** What an upload works on. */
export interface UploadOf extends StoredBook {
  readonly store: BetStore["Service"]
  readonly turn: Turn
  /** Fails once the connection is gone: nothing more is compared for it. */
  readonly lost: PeerConnection["lost"]
  readonly digest: BookDigest
  /** Runs once the book is known to be complete. */
  readonly onFinished: Effect.Effect<void>
}

/** Begins an upload at position 0 of a book with this progress. */
export const make = (book: UploadOf, progress: AgencyProgress): Upload => {
  const { agency, digest, lost, onFinished, store, turn } = book
  /** What is stored at the least. */
  let seen = progress
  let position = 0

  /** How many bets of a batch at `from` are known to be stored. */
  const overlap = (from: number, { count }: BetBatch) =>
    Math.min(count, Math.max(0, seen.bets - from))

  const compareAt = Effect.fnUntraced(function* (from: number, batch: BetBatch) {
    const known = overlap(from, batch)
    if (known === 0) return 0
    const { edition } = seen
    const stored = batch.take(known)
    yield* Effect.raceFirst(compare(book, edition, from, stored), lost)
    digest.add(edition, from, stored)
    return known
  })

  /** Sees what others stored, under the `commit` permit. Nobody else writes during a turn. */
  const see = Effect.gen(function* () {
    if (turn.isHeld()) return
    yield* turn.checkPresence
    const now = yield* store.progressOf(agency)
    if (now.edition !== seen.edition) return yield* new Discarded({ agency })
    seen = now
  })

  /** The book is complete, and has no writer. */
  const end = Effect.suspend(() => {
    seen = { ...seen, finished: true }
    return Effect.andThen(turn.release, onFinished)
  })

  const recordFinish = Effect.fnUntraced(function* (bets: number, sha256: string) {
    if (seen.finished) return
    yield* store.finish(agency, bets, { sha256, edition: seen.edition })
    yield* turn.take
  })

  const add = Effect.fnUntraced(function* (batch: BetBatch, last: boolean) {
    const { bets, edition } = seen
    const finished = last ? { sha256: yield* digest.of(seen, batch) } : undefined
    yield* store.append(agency, bets, batch, { last: finished, edition })
    digest.add(edition, bets, batch)
    seen = { ...seen, bets: bets + batch.count }
    yield* turn.take
  })

  /** Undefined if more is stored than the `compared` bets of the batch. */
  const commit = Effect.fnUntraced(function* (
    batch: BetBatch,
    compared: number,
    last: boolean
  ): Effect.fn.Return<StoredBatch | undefined, UploadFailure> {
    yield* see
    const repeated = overlap(position, batch)
    if (repeated > compared) return undefined
    const { bets, finished } = seen
    const next = position + batch.count
    if (finished && next > bets) return yield* new AlreadyFinished({ agency, bets })
    if (last && next < bets) return yield* new BookMismatch({ agency, bets: next, held: bets })

    const fresh = batch.drop(repeated)
    if (fresh.count > 0) yield* add(fresh, last)
    else if (last) yield* recordFinish(next, yield* digest.of(seen))
    if (last) yield* end
    return { stored: fresh.count, repeated }
  })

  /** Commits and answers; false if more was stored meanwhile. */
  const commitAndAnswer = Effect.fnUntraced(function* <E, R>(
    batch: BetBatch,
    compared: number,
    last: boolean,
    answer: Answer<E, R>
  ) {
    // What is stored stays stored: a batch that is only compared needs no turn.
    const isCompared = !last && compared === batch.count
    const stored = isCompared
      ? { stored: 0, repeated: compared }
      : yield* turn.commit.withPermit(commit(batch, compared, last))
    if (stored === undefined) return false
    position += batch.count
    yield* answer(stored)
    return true
  }, Effect.uninterruptible)

  const finishBook = Effect.fnUntraced(function* (
    bets: number,
    sha256: string
  ): Effect.fn.Return<void, UploadFailure> {
    yield* see
    if (bets !== seen.bets) return yield* new BookMismatch({ agency, bets, held: seen.bets })
    if (sha256 !== (yield* digest.of(seen))) return yield* new DigestMismatch({ agency, bets })
    yield* recordFinish(bets, sha256)
    yield* end
  })

  const resume = Effect.gen(function* () {
    seen = yield* store.progressOf(agency)
    position = seen.bets
    if (seen.finished) yield* onFinished
    return { bets: seen.bets, sha256: yield* digest.of(seen), finished: seen.finished }
  })

  return {
    agency,
    position: () => position,
    hasFinished: () => seen.finished,
    resume: turn.commit.withPermit(resume),
    refusal: (at, pending) => {
      if (seen.finished) return new AlreadyFinished({ agency, bets: seen.bets })
      const next = position + pending
      return at === next ? undefined : new Conflict({ agency, position: at, held: next })
    },
    store: Effect.fnUntraced(function* (batch, last, answer) {
      let compared = 0
      do {
        compared += yield* compareAt(position + compared, batch.drop(compared))
      } while (!(yield* commitAndAnswer(batch, compared, last, answer)))
    }),
    append: Effect.fnUntraced(function* (batch, answer) {
      const isStored = yield* Effect.catchIf(
        commitAndAnswer(batch, 0, false, answer),
        // It had not finished when this upload resumed: another connection sent the rest. An
        // agency that resumes again is told if that is the same book.
        (error): error is AlreadyFinished => error instanceof AlreadyFinished,
        ({ bets }) => Effect.fail(new Conflict({ agency, position, held: bets }))
      )
      if (!isStored) return yield* new Conflict({ agency, position, held: seen.bets })
    }),
    finish: (bets, sha256) =>
      Effect.uninterruptible(turn.commit.withPermit(finishBook(bets, sha256))),
    compareAt
  }
}
