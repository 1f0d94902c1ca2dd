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
  type AgencyProgress,
  AlreadyFinished,
  type BetStore,
  BookMismatch,
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
  | BookMismatch
  | Superseded
  | Conflict
  | AlreadyFinished
  | StoreUnavailable
  | StoreBroken

export interface Upload {
  readonly agency: Agency
  /** How many bets of this upload are acknowledged: the position of the next in the book. */
  readonly position: () => number
  /**
   * Compares and stores a batch; with `last` the agency's book is whole with it. Once begun it
   * runs to its end.
   */
  readonly store: (batch: BetBatch, last: boolean) => Effect.Effect<StoredBatch, StoreFailure>
}

/** The turn to write an agency's bets, which one upload has at a time. */
export interface Turn {
  /** Takes the turn from whoever has it. */
  readonly take: Effect.Effect<void>
  readonly isHeld: () => boolean
  /** Held by whoever commits, so that a newcomer waits until a commit has settled. */
  readonly commit: Semaphore.Semaphore
}

/**
 * Begins an upload; what it reads of the held book is given back when the scope closes. It takes
 * the turn with its first batch, and only if that batch is accepted: a book that is refused costs
 * the agency's rightful upload nothing.
 */
export const make = Effect.fnUntraced(function* (
  agency: Agency,
  turn: Turn,
  store: BetStore["Service"]
): Effect.fn.Return<Upload, never, Scope.Scope> {
  const compare = yield* compareWith(agency, store.book(agency, 0))
  let position = 0
  let held: AgencyProgress | undefined

  const commit = Effect.fnUntraced(function* (
    batch: BetBatch,
    last: boolean
  ): Effect.fn.Return<StoredBatch, StoreFailure> {
    if (held !== undefined && !turn.isHeld()) return yield* new Superseded({ agency })
    const { bets, finished } = held ?? (yield* store.progressOf(agency))
    const repeated = Math.min(batch.count, Math.max(0, bets - position))
    const fresh = batch.drop(repeated)
    const comparedBytes = batch.bytes.length - fresh.bytes.length
    yield* compare(batch.bytes.subarray(0, comparedBytes), position)
    const end = position + batch.count
    if (finished && end > bets) return yield* new AlreadyFinished({ agency, bets })
    if (last && end < bets) return yield* new BookMismatch({ agency, bets: end, held: bets })

    if (held === undefined) yield* turn.take
    held = { bets, finished, told: false }
    if (fresh.count > 0) yield* store.append(agency, position + repeated, fresh, last)
    else if (last) yield* store.finish(agency, end)
    position = end
    return { stored: fresh.count, repeated }
  })

  return {
    agency,
    position: () => position,
    store: (batch, last) => Effect.uninterruptible(turn.commit.withPermit(commit(batch, last)))
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
        // While nobody else can commit the held book does not shrink, unless it is discarded.
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
