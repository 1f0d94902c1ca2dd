/**
 * The store of one draw: a contract with a layer for each kind of store, and one conformance suite
 * that all of them pass. What a write acknowledges is durable: its data is synced before it
 * succeeds.
 */
import { Context, Data, type Effect, type Option, type Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import type { BookDigest } from "../../domain/seal/MarkedDigest.ts"
import type { Beacon } from "../../domain/seal/Quicknet.ts"
import type { Seal } from "../../domain/seal/Seal.ts"
import type { AppendOptions, FinishOptions, PageRange } from "./BookOptions.ts"
import type {
  BookKept,
  CloseNotMoved,
  DrawMismatch,
  DrawMissed,
  DrawTerms,
  EntriesOutdated,
  Exclusion,
  NotAllFinished,
  NotExcluded,
  NotNumbered,
  NotSealed,
  OtherNumber,
  StoredDraw
} from "./StoredDraw.ts"

export interface AgencyProgress {
  /** The number of stored bets, which is the position of the next one. */
  readonly bets: number
  /** The agency has declared its book complete, with exactly `bets` bets. */
  readonly finished: boolean
  /** The draw goes without the agency: its stored bets are kept, and none of them can win. */
  readonly excluded: boolean
  /** The agency received its winners. */
  readonly told: boolean
  /**
   * Increases by one with each discard that this process knows of; starts at 0 each time an
   * embedded store is opened. Anything cached about a book, such as a running digest, is valid
   * for one edition only.
   */
  readonly edition: number
}

/** The progress of an agency with nothing stored. */
export const NO_PROGRESS: AgencyProgress = {
  bets: 0,
  finished: false,
  excluded: false,
  told: false,
  edition: 0
}

/** Looks agencies up in what `progress` of a store returned. */
export const progressIn =
  (progress: ReadonlyMap<Agency, AgencyProgress>) =>
  (agency: Agency): AgencyProgress =>
    progress.get(agency) ?? NO_PROGRESS

/** `position` is not the number of stored bets: another writer was first, or bets are missing. */
export class Conflict extends Data.TaggedError("Conflict")<{
  readonly agency: Agency
  readonly position: number
  /** The position at which the next bets must begin. */
  readonly expected: number
}> {
  override get message(): string {
    const { agency, expected, position } = this
    return `agency ${agency}: expected bets at position ${expected}, got position ${position}`
  }
}

/** Says what to do if the stored book is the wrong one. */
export const wrongBookHint = (agency: Agency): string =>
  "if the stored book is the wrong one, discard it before the draw: " +
  `lottery discard --agency ${agency} --yes`

/** The agency's book is finished, so no bets can be added. */
export class AlreadyFinished extends Data.TaggedError("AlreadyFinished")<{
  readonly agency: Agency
  readonly bets: number
}> {
  override get message(): string {
    const { agency, bets } = this
    const finished = `agency ${agency} has already finished its book with ${bets} bets`
    return `${finished}, so no bets can be added; ${wrongBookHint(agency)}`
  }
}

/** The draw goes without the agency, so its bets are refused. */
export class Excluded extends Data.TaggedError("Excluded")<{ readonly agency: Agency }> {
  override get message(): string {
    return `agency ${this.agency} is excluded from the draw: its book was not finished in time`
  }
}

/** The agency finished a book whose size differs from the number of stored bets. */
export class BookMismatch extends Data.TaggedError("BookMismatch")<{
  readonly agency: Agency
  readonly bets: number
  readonly stored: number
}> {
  override get message(): string {
    const { agency, bets, stored } = this
    const differs = `agency ${agency}: the book ends after ${bets} bets, but ${stored} are stored`
    return `${differs}; ${wrongBookHint(agency)}`
  }
}

/** The stored book was discarded while the agency was sending it. */
export class Discarded extends Data.TaggedError("Discarded")<{ readonly agency: Agency }> {
  override get message(): string {
    const discarded = `the stored book of agency ${this.agency} was discarded`
    return `${discarded}; start the client again with the right book`
  }
}

/** A stored bet is no longer valid: another program changed it. */
export class DamagedBet extends Data.TaggedError("DamagedBet")<{
  readonly agency: Agency
  readonly position: number
  readonly reason: string
}> {
  override get message(): string {
    const { agency, position, reason } = this
    return `agency ${agency}: the stored bet at position ${position} was changed: ${reason}`
  }
}

/** An agency's winning bets in book order, or one of them that has no valid document. */
export type WinningBets = BetBatch | DamagedBet

/**
 * A read or a write failed and stored nothing. It may succeed later. If the answer of a database on
 * another machine was lost, the write may have been stored; the agency's progress shows if it was.
 */
export class StoreUnavailable extends Data.TaggedError("StoreUnavailable")<{
  readonly reason: string
}> {
  override get message(): string {
    return `the store is unavailable: ${this.reason}`
  }
}

/**
 * A data sync failed. The state of the disk is unknown and a later success proves nothing, so
 * nothing more is committed: the server must exit, and recover from the disk when it starts again.
 */
export class StoreBroken extends Data.TaggedError("StoreBroken")<{
  readonly reason: string
}> {
  override get message(): string {
    return `a sync of the store failed; start the server again: ${this.reason}`
  }
}

/** The store is in use by another server, is damaged or unreadable, or holds another draw. */
export class StoreOpenError extends Data.TaggedError("StoreOpenError")<{
  readonly store: string
  readonly reason: string
  /** Another process has the store open for writing. */
  readonly inUse?: boolean
}> {
  override get message(): string {
    return `cannot open ${this.store}: ${this.reason}`
  }
}

/** The readable side of a store, without locks or repairs, even while another process writes. */
export interface StoredBooks {
  /** The draw, once `openDraw` has written it. */
  readonly draw: Effect.Effect<Option.Option<StoredDraw>, StoreUnavailable>
  /**
   * Every agency that has stored data or whose data was discarded, in ascending order. The reader
   * of an embedded store does not see discards and reports edition 0.
   */
  readonly progress: Effect.Effect<ReadonlyMap<Agency, AgencyProgress>, StoreUnavailable>
  /**
   * Streams the bets of an agency in book order, from a position to the last bet that is stored
   * when the stream begins. Memory is bounded by one batch (at most about 1 MiB), not by the
   * book. If the book is discarded meanwhile, the stream returns the rest of the old book or fails.
   */
  readonly book: (agency: Agency, from: number) => Stream.Stream<BetBatch, StoreUnavailable>
  /** The recorded winners of each agency with a winning bet, by agency. Empty before the draw. */
  readonly winners: Effect.Effect<ReadonlyMap<Agency, WinningBets>, StoreUnavailable>
  /**
   * The digests of finished books, in ascending order of agencies, as they were stored. A book that
   * was finished by a release that stored no digest is missing; a CSV store computes its digest.
   */
  readonly digests: Effect.Effect<ReadonlyMap<Agency, FinishedDigest>, StoreUnavailable>
  /** What proves the draw, as far as it is recorded. */
  readonly evidence: Effect.Effect<Evidence, StoreUnavailable>
}

/** The digest of a finished book, as it was stored. */
export interface FinishedDigest extends BookDigest {
  readonly bets: number
}

/** Texts that prove a draw; undefined until they are recorded. */
export interface Evidence {
  /** The entries of the seal, concatenated. */
  readonly entries: string | undefined
  /** The signed note of the seal's checkpoint. */
  readonly seal: string | undefined
  /** The signed note of the result. */
  readonly result: string | undefined
}

/**
 * Reads a store that another process may be writing. Answers show the store as it was at the time
 * of the call, or for a CSV store at the time when it was opened.
 */
export class BetStoreReader extends Context.Service<BetStoreReader, StoredBooks>()(
  "lottery/server/BetStoreReader"
) {}

/** Writes a store. An embedded store has a single writer. */
export class BetStore extends Context.Service<
  BetStore,
  StoredBooks & {
    /** The progress of one agency; `NO_PROGRESS`, except for its edition, if nothing is stored. */
    readonly progressOf: (agency: Agency) => Effect.Effect<AgencyProgress, StoreUnavailable>

    /**
     * Reads an agency's bets starting at `from`: at least one if any is stored, at most about
     * 1 MiB, and none of another edition. Time and memory are proportional to the result, no
     * matter what else is stored.
     */
    readonly page: (agency: Agency, page: PageRange) => Effect.Effect<BetBatch, StoreUnavailable>

    /**
     * Adds a batch at `position`, which must be the number of stored bets. With `last`, also
     * finishes the book in the same step. Stores all rows or none, and cannot be interrupted once
     * it has begun. A batch for a discarded edition is refused, whatever the next edition contains.
     * A store that several servers share also refuses bets as `Excluded` once the draw is closed.
     */
    readonly append: (
      agency: Agency,
      position: number,
      batch: BetBatch,
      options?: AppendOptions
    ) => Effect.Effect<
      void,
      Conflict | AlreadyFinished | Excluded | Discarded | StoreUnavailable | StoreBroken
    >

    /**
     * Finishes the book if exactly `bets` are stored, and stores its digest in the same step.
     * Repeating it with the same number succeeds and changes nothing, but a finished book without a
     * stored digest gets one.
     */
    readonly finish: (
      agency: Agency,
      bets: number,
      options: FinishOptions
    ) => Effect.Effect<void, BookMismatch | Excluded | Discarded | StoreUnavailable | StoreBroken>

    /** Stores the draw when it is first opened. On later calls the terms must be the same. */
    readonly openDraw: (
      terms: DrawTerms
    ) => Effect.Effect<StoredDraw, DrawMismatch | StoreUnavailable | StoreBroken>

    /**
     * Excludes agencies, or none of them if one has finished, does not take part or is the last one
     * of the draw. An agency that is excluded already counts as done, even after the draw. Returns
     * the agencies that this call excluded.
     */
    readonly exclude: (
      agencies: ReadonlyArray<Agency>
    ) => Effect.Effect<ReadonlyArray<Exclusion>, NotExcluded | StoreUnavailable | StoreBroken>

    /**
     * Excludes every unfinished agency if the close time has come, by the store's clock, and at
     * least one book is finished. Returns the agencies that this call excluded.
     */
    readonly closeIfDue: Effect.Effect<ReadonlyArray<Exclusion>, StoreUnavailable | StoreBroken>

    /** Moves the close time, or removes it, unless it has come. The same time again succeeds. */
    readonly moveClose: (
      closesAt: number | undefined
    ) => Effect.Effect<void, CloseNotMoved | StoreUnavailable | StoreBroken>

    /**
     * Records the entries of the seal, and with them that no book changes any more, atomically with
     * the check that every expected agency has finished or is excluded, as in `seal`: each with the
     * same number of bets and the same SHA-256. Fails with `DrawMissed` if the round of the seal is
     * published already, by the store's clock. Returns true if this call recorded them, false if
     * entries were already recorded, which then stand.
     */
    readonly recordEntries: (
      seal: Seal
    ) => Effect.Effect<
      boolean,
      NotAllFinished | EntriesOutdated | DrawMissed | StoreUnavailable | StoreBroken
    >

    /** Records the signed seal, or the signed result; the first one stands. */
    readonly recordNote: (
      kind: "seal" | "result",
      note: string
    ) => Effect.Effect<void, StoreUnavailable | StoreBroken>

    /**
     * Records the winning number, atomically with the check that every expected agency has finished
     * or is excluded. A draw with a key must be sealed; one whose number comes from drand must have
     * its entries recorded. Returns true if this call recorded it, false if it already was.
     */
    readonly recordNumber: (
      winningNumber: number,
      beacon?: Beacon
    ) => Effect.Effect<
      boolean,
      NotAllFinished | NotSealed | OtherNumber | StoreUnavailable | StoreBroken
    >

    /**
     * Finds the winners, without loading every bet, and records them and the draw in one step.
     * Returns true if this call recorded them, false if they were already recorded.
     */
    readonly recordDraw: Effect.Effect<boolean, NotNumbered | StoreUnavailable | StoreBroken>

    /** Records that the agency received its winners. */
    readonly told: (agency: Agency) => Effect.Effect<void, StoreUnavailable | StoreBroken>

    /**
     * Discards an agency's book (its bets, `finished` and `told`) before the winning number is
     * known, so that it can be sent again. Returns the number of discarded bets, which is stored
     * with `act`: the same act again discards nothing and returns the same number. After a
     * StoreUnavailable all bets are still stored, but the book may no longer be finished.
     */
    readonly discard: (
      agency: Agency,
      act: string
    ) => Effect.Effect<number, BookKept | StoreUnavailable | StoreBroken>

    /**
     * Emits after another process changes the draw or which agencies have finished. An embedded
     * store has a single process and never emits. A late or slow subscriber may miss events, but
     * never the last one.
     */
    readonly changes: Stream.Stream<void>

    /** Fails once any sync has failed. The server then exits. */
    readonly broken: Effect.Effect<never, StoreBroken>
  }
>()("lottery/server/BetStore") {}
