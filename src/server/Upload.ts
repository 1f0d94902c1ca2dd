/**
 * One connection's upload of an agency's book, in the dialects that know only how to start over
 * (wire: "Exactly once, in every dialect"). It begins at position 0: rows that the store holds are
 * compared in step with what arrives, byte for byte, and not stored again; what comes after them
 * is appended. So sending the same book again is always safe, and no bet is counted twice.
 */
import { Data, Effect, Pull, type Scope, type Semaphore, Stream } from "effect"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import { LF } from "../domain/BetRow.ts"
import {
  type AlreadyFinished,
  type BetStore,
  type BookMismatch,
  type Conflict,
  type StoreBroken,
  StoreUnavailable
} from "./BetStore.ts"

/** What arrives is not the book that is held of the agency. */
export class BookDiffers extends Data.TaggedError("BookDiffers")<{
  readonly agency: Agency
  /** The first bet that differs, counted from 0. */
  readonly position: number
}> {
  override get message(): string {
    return `agency ${this.agency}: the bet at position ${this.position} is not the one that is held`
  }
}

/** Another connection took over the agency. */
export class Superseded extends Data.TaggedError("Superseded")<{ readonly agency: Agency }> {
  override get message(): string {
    return `another connection took over agency ${this.agency}`
  }
}

/** What became of a batch that was acknowledged. */
export interface StoredBatch {
  /** Newly stored bets. */
  readonly stored: number
  /** Bets that were held already, and are the same. */
  readonly repeated: number
}

/** Why a batch was not acknowledged; nothing of it was stored. */
export type StoreFailure =
  | BookDiffers
  | Superseded
  | Conflict
  | AlreadyFinished
  | StoreUnavailable
  | StoreBroken

export interface Upload {
  readonly agency: Agency
  /** How many bets of this upload are acknowledged: the position of the next in the book. */
  readonly position: () => number
  /** Compares and stores a batch. Once begun it runs to its end. */
  readonly store: (batch: BetBatch) => Effect.Effect<StoredBatch, StoreFailure>
  /** The book is whole with what was acknowledged. */
  readonly finish: Effect.Effect<void, BookMismatch | Superseded | StoreUnavailable | StoreBroken>
}

/** The turn to write an agency's bets, which one upload has at a time. */
export interface Turn {
  /** Whether the upload still has the turn. */
  readonly isHeld: () => boolean
  /** Held by whoever commits, so that a newcomer waits until a commit has settled. */
  readonly commit: Semaphore.Semaphore
}

/** Begins an upload whose turn it is; reads what is held as it goes, until the scope closes. */
export const make = Effect.fnUntraced(function* (
  agency: Agency,
  turn: Turn,
  store: BetStore["Service"]
): Effect.fn.Return<Upload, StoreUnavailable, Scope.Scope> {
  const { bets: held } = yield* turn.commit.withPermit(store.progressOf(agency))
  const compare = yield* compareWith(agency, store.book(agency, 0))
  let position = 0

  const whileItIsOurTurn = <A, E>(commit: Effect.Effect<A, E>): Effect.Effect<A, E | Superseded> =>
    turn.commit.withPermit(
      Effect.suspend(
        (): Effect.Effect<A, E | Superseded> =>
          turn.isHeld() ? commit : Effect.fail(new Superseded({ agency }))
      )
    )

  const compareAndAppend = Effect.fnUntraced(function* (batch: BetBatch) {
    const repeated = Math.min(batch.count, Math.max(0, held - position))
    const fresh = batch.drop(repeated)
    const freshBytes = fresh.bytes.length
    yield* compare(batch.bytes.subarray(0, batch.bytes.length - freshBytes), position)
    if (fresh.count > 0) yield* store.append(agency, position + repeated, fresh)
    position += batch.count
    return { stored: fresh.count, repeated }
  })

  return {
    agency,
    position: () => position,
    store: (batch) => Effect.uninterruptible(whileItIsOurTurn(compareAndAppend(batch))),
    finish: Effect.uninterruptible(
      whileItIsOurTurn(Effect.suspend(() => store.finish(agency, position)))
    )
  }
})

/**
 * A function that compares rows with the held book, each call going on where the last one ended.
 * `position` is that of the first row, for the error.
 */
const compareWith = Effect.fnUntraced(function* (
  agency: Agency,
  book: Stream.Stream<BetBatch, StoreUnavailable>
) {
  const pull = yield* Stream.toPull(book)
  let ahead: ReadonlyArray<BetBatch> = []
  let held: Uint8Array = new Uint8Array(0)

  const more: Effect.Effect<void, StoreUnavailable | EndOfBook> = Effect.suspend(() => {
    const [next, ...rest] = ahead
    ahead = rest
    if (next !== undefined) {
      held = next.bytes
      return Effect.void
    }
    return Pull.catchDone(pull, () => Effect.fail(new EndOfBook())).pipe(
      Effect.map((batches) => {
        ahead = batches
      }),
      Effect.andThen(more)
    )
  })
  return Effect.fnUntraced(function* (rows: Uint8Array, position: number) {
    let at = 0
    while (at < rows.length) {
      if (held.length === 0) {
        // Under this upload's turn the held book does not shrink, unless it is discarded.
        yield* Effect.catchTag(more, "EndOfBook", () =>
          Effect.fail(new StoreUnavailable({ reason: `agency ${agency}: the held book is gone` }))
        )
        continue
      }
      const length = Math.min(held.length, rows.length - at)
      const same = commonLength(rows.subarray(at, at + length), held)
      if (same < length) {
        const differs = position + rowsBefore(rows, at + same)
        return yield* new BookDiffers({ agency, position: differs })
      }
      held = held.subarray(length)
      at += length
    }
  })
})

class EndOfBook extends Data.TaggedError("EndOfBook") {}

/** How many bytes are the same from the start on; `a` is not longer than `b`. */
const commonLength = (a: Uint8Array, b: Uint8Array): number => {
  if (Buffer.compare(a, b.subarray(0, a.length)) === 0) return a.length
  let at = 0
  while (a[at] === b[at]) at++
  return at
}

/** How many whole rows end before `at`. */
const rowsBefore = (rows: Uint8Array, at: number): number => {
  let count = 0
  for (let index = 0; index < at; index++) if (rows[index] === LF) count++
  return count
}
