/**
 * One connection's upload of an agency's book, in the dialects that know only how to start over
 * (wire: "Exactly once, in every dialect"). It begins at position 0: rows that the store holds are
 * compared in step with what arrives, byte for byte, and not stored again; what comes after them
 * is appended. So sending the same book again is always safe, and no bet is counted twice.
 */
import { createHash } from "node:crypto"
import { Effect, type Scope } from "effect"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  type BetStore,
  BookMismatch,
  type Conflict,
  type Discarded,
  type StoreBroken,
  type StoreUnavailable
} from "./BetStore.ts"
import { type BookDiffers, compareWith } from "./Comparison.ts"
import { Superseded, type Turn } from "./Turn.ts"

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
  | Discarded
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

/**
 * Begins an upload; what it reads of the held book is given back when the scope closes. It takes
 * the turn with its first batch, and only if that batch is accepted: a book that is refused costs
 * the agency's rightful upload nothing. A book that is whole already is only compared, which needs
 * no turn, and one that has become whole needs it no more.
 */
export const make = Effect.fnUntraced(function* (
  agency: Agency,
  turn: Turn,
  store: BetStore["Service"]
): Effect.fn.Return<Upload, never, Scope.Scope> {
  const compare = yield* compareWith(agency, store.book(agency, 0))
  let position = 0
  let hash = createHash("sha256")
  let held: AgencyProgress | undefined
  const hasLostTurn = () => held !== undefined && !held.finished && !turn.isHeld()

  const commit = Effect.fnUntraced(function* (
    batch: BetBatch,
    last: boolean
  ): Effect.fn.Return<StoredBatch, StoreFailure> {
    if (hasLostTurn()) return yield* new Superseded({ agency })
    const progress = held ?? (yield* store.progressOf(agency))
    const { bets, edition, finished } = progress
    const repeated = Math.min(batch.count, Math.max(0, bets - position))
    const fresh = batch.drop(repeated)
    // Most often there is nothing to compare, and no need of the rows in one run.
    if (repeated > 0) {
      yield* compare(batch.bytes.subarray(0, batch.byteLength - fresh.byteLength), position)
    }
    const end = position + batch.count
    if (finished && end > bets) return yield* new AlreadyFinished({ agency, bets })
    if (last && end < bets) return yield* new BookMismatch({ agency, bets: end, held: bets })

    if (held === undefined && !finished) yield* turn.take
    held = progress
    const hashed = hash.copy()
    for (const run of batch.runs) hashed.update(run)
    const whole = last ? { sha256: hashed.copy().digest("hex") } : undefined
    if (fresh.count > 0) {
      yield* store.append(agency, position + repeated, fresh, { last: whole, edition })
    } else if (whole !== undefined) {
      yield* store.finish(agency, end, { ...whole, edition })
    }
    position = end
    hash = hashed
    if (last) yield* turn.release
    return { stored: fresh.count, repeated }
  })

  return {
    agency,
    position: () => position,
    store: (batch, last) => Effect.uninterruptible(turn.commit.withPermit(commit(batch, last)))
  }
})
