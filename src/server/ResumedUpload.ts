/**
 * One connection's upload of an agency's book in the native dialect, which goes on from what is
 * held (wire: "Native"). It takes the agency over as it begins.
 */
import { Data, Effect, type Scope } from "effect"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import {
  type AgencyProgress,
  AlreadyFinished,
  type BetStore,
  BookMismatch,
  Conflict,
  type Discarded,
  ifAnotherBook,
  type StoreBroken,
  type StoreUnavailable
} from "./BetStore.ts"
import type { BookDigest } from "./BookDigest.ts"
import { type Comparison, compareWith } from "./Comparison.ts"
import { Superseded, type Turn } from "./Turn.ts"

/** The book that the agency says is whole has other bets than the one that is held. */
export class DigestMismatch extends Data.TaggedError("DigestMismatch")<{
  readonly agency: Agency
  readonly bets: number
}> {
  override get message(): string {
    const { agency, bets } = this
    const differs = `agency ${agency}: the ${bets} bets held are not those that were sent`
    return `${differs}; ${ifAnotherBook(agency)}`
  }
}

/** Why an upload does not go on. */
export type ResumeFailure =
  | Superseded
  | Discarded
  | Conflict
  | AlreadyFinished
  | BookMismatch
  | DigestMismatch
  | StoreUnavailable
  | StoreBroken

export interface ResumedUpload {
  readonly agency: Agency
  /** How many bets are held: the position of the next. */
  readonly position: () => number
  readonly hasFinished: () => boolean
  /** The SHA-256 of the rows that were held when it began. */
  readonly sha256: string
  /** Why bets for `position` are refused, where `pending` others are to be stored before them. */
  readonly refusal: (position: number, pending: number) => AlreadyFinished | Conflict | undefined
  /** Stores bets behind those that are held. Once begun it runs to its end. */
  readonly store: (batch: BetBatch) => Effect.Effect<void, ResumeFailure>
  /** The agency's book is whole; saying it again is harmless. */
  readonly finish: (bets: number, sha256: string) => Effect.Effect<void, ResumeFailure>
  /** Compares a book with the held one, from its start on. */
  readonly compare: Effect.Effect<Comparison, never, Scope.Scope>
}

/** Takes the agency over once whoever had it has committed, and sees what is held. */
export const make = Effect.fnUntraced(function* (
  agency: Agency,
  turn: Turn,
  digest: BookDigest,
  store: BetStore["Service"]
): Effect.fn.Return<ResumedUpload, StoreUnavailable> {
  const begin = Effect.gen(function* () {
    const progress = yield* store.progressOf(agency)
    const sha256 = yield* digest.of(progress)
    // A book that is whole is not written any more, and whoever waits for the draw goes on waiting.
    if (!progress.finished) yield* turn.take
    return { progress, sha256 }
  })
  const { progress, sha256 } = yield* turn.commit.withPermit(begin)
  let held: AgencyProgress = progress

  const checkTurn = Effect.suspend(() =>
    held.finished || turn.isHeld() ? Effect.void : Effect.fail(new Superseded({ agency }))
  )

  const storeBehind = Effect.fnUntraced(function* (batch: BetBatch) {
    const { bets: position, edition } = held
    yield* store.append(agency, position, batch, { edition }).pipe(
      // It had not finished when this upload began: another server was sent the rest, and whoever
      // begins again is told whether that is the same book.
      Effect.catchTag("AlreadyFinished", ({ bets }) =>
        Effect.fail(new Conflict({ agency, position, held: bets }))
      )
    )
    digest.add(position, batch)
    held = { ...held, bets: position + batch.count }
  })

  const finishBook = Effect.fnUntraced(function* (
    bets: number,
    sha256: string
  ): Effect.fn.Return<
    void,
    BookMismatch | DigestMismatch | Discarded | StoreUnavailable | StoreBroken
  > {
    if (bets !== held.bets) return yield* new BookMismatch({ agency, bets, held: held.bets })
    if (sha256 !== (yield* digest.of(held))) return yield* new DigestMismatch({ agency, bets })
    yield* store.finish(agency, bets, { sha256, edition: held.edition })
    held = { ...held, finished: true }
    yield* turn.release
  })

  const commit = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.uninterruptible(turn.commit.withPermit(Effect.andThen(checkTurn, effect)))

  return {
    agency,
    position: () => held.bets,
    hasFinished: () => held.finished,
    sha256,
    refusal: (position, pending) => {
      if (held.finished) return new AlreadyFinished({ agency, bets: held.bets })
      const next = held.bets + pending
      return position === next ? undefined : new Conflict({ agency, position, held: next })
    },
    store: (batch) => commit(storeBehind(batch)),
    finish: (bets, sha256) => commit(finishBook(bets, sha256)),
    compare: compareWith(agency, store.book(agency, 0))
  }
})
