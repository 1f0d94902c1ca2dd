/**
 * The store of one draw: a contract with a layer for each kind of store, and one conformance suite
 * that all of them pass. Whatever it acknowledges is durable: a data sync comes before every
 * success of a write below.
 */
import { Context, Data, Effect, type Option, type Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { describeAgencies, type WinningDocuments } from "../../domain/Draw.ts"

/** How far an agency has come. */
export interface AgencyProgress {
  /** How many of its bets are stored, which is the position of the next one. */
  readonly bets: number
  /** Its book is complete: the agency has said so, and exactly `bets` were stored. */
  readonly finished: boolean
  /** It got its winners. */
  readonly told: boolean
  /**
   * Which book of the agency this is: one more with each discard that this process knows of, from
   * 0 each time an embedded store is opened. What is remembered of a book, such as a running
   * digest, is good for its edition only.
   */
  readonly edition: number
}

/** The progress of an agency of which nothing is stored. */
export const NO_PROGRESS: AgencyProgress = { bets: 0, finished: false, told: false, edition: 0 }

/** What a draw is opened with. Its id comes with the store's layer. */
export interface DrawTerms {
  readonly agencies: ReadonlyArray<Agency>
  readonly winningNumber: number
}

/** A draw as it is stored. */
export interface StoredDraw extends DrawTerms {
  /** It has been drawn: no bet can be added, and its winners are what `winners` says. */
  readonly recorded: boolean
}

/** `position` is not how many bets are stored: another writer was first, or bets are missing. */
export class Conflict extends Data.TaggedError("Conflict")<{
  readonly agency: Agency
  readonly position: number
  readonly held: number
}> {
  override get message(): string {
    const { agency, held, position } = this
    return `agency ${agency}: bets at position ${position} do not follow the ${held} held`
  }
}

/** What to do if the stored book of an agency is not the right one. */
export const ifAnotherBook = (agency: Agency): string =>
  `where that is the wrong book, before the draw: lottery discard --agency ${agency} --yes`

/** The agency's book is complete; nothing can follow. */
export class AlreadyFinished extends Data.TaggedError("AlreadyFinished")<{
  readonly agency: Agency
  readonly bets: number
}> {
  override get message(): string {
    const { agency, bets } = this
    const finished = `agency ${agency} has finished its book with ${bets} bets, no bet can follow`
    return `${finished}; ${ifAnotherBook(agency)}`
  }
}

/** The book that the agency has finished does not have as many bets as are stored. */
export class BookMismatch extends Data.TaggedError("BookMismatch")<{
  readonly agency: Agency
  readonly bets: number
  readonly held: number
}> {
  override get message(): string {
    const { agency, bets, held } = this
    const differs = `agency ${agency}: the book ends after ${bets} bets, but ${held} are held`
    return `${differs}; ${ifAnotherBook(agency)}`
  }
}

/** The stored book was discarded while the agency was sending it. */
export class Discarded extends Data.TaggedError("Discarded")<{ readonly agency: Agency }> {
  override get message(): string {
    return `the held book of agency ${this.agency} was discarded; start again to send a book`
  }
}

/** The draw cannot be recorded: these agencies have not finished. */
export class NotAllFinished extends Data.TaggedError("NotAllFinished")<{
  readonly missing: ReadonlyArray<Agency>
}> {
  override get message(): string {
    return `the draw waits for agencies ${describeAgencies(this.missing)}`
  }
}

/** The draw has been held: its winners are among the stored bets, so these must stay. */
export class DrawAlreadyHeld extends Data.TaggedError("DrawAlreadyHeld")<{
  readonly agency: Agency
  readonly drawId: string
}> {
  override get message(): string {
    const { agency, drawId } = this
    return `the draw ${drawId} has been held: the book of agency ${agency} cannot be discarded`
  }
}

/** A stored bet is not valid any more: another program changed it. */
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

/** An agency's winning documents, or the winning bet that has none. */
export type Winners = WinningDocuments | DamagedBet

/**
 * A write or a read failed and stored nothing; it may work later. If the answer of another machine
 * was lost, the write may have been stored: the progress of the agency tells.
 */
export class StoreUnavailable extends Data.TaggedError("StoreUnavailable")<{
  readonly reason: string
}> {
  override get message(): string {
    return `the store cannot be used now: ${this.reason}`
  }
}

/**
 * A data sync failed. What is on the disk is unknown and a later success proves nothing, so nothing
 * more is committed: the server must end, and recover from the disk when it starts again.
 */
export class StoreBroken extends Data.TaggedError("StoreBroken")<{
  readonly reason: string
}> {
  override get message(): string {
    return `a sync of the store failed, start the server again: ${this.reason}`
  }
}

/** The store cannot be opened: in use by another server, damaged, of another draw, not readable. */
export class StoreOpenError extends Data.TaggedError("StoreOpenError")<{
  readonly store: string
  readonly reason: string
  /** Another process has the store open to write it. */
  readonly inUse?: boolean
}> {
  override get message(): string {
    return `cannot open ${this.store}: ${this.reason}`
  }
}

/** The draw was opened before with other agencies or another number. */
export class DrawMismatch extends Data.TaggedError("DrawMismatch")<{
  readonly drawId: string
  readonly stored: DrawTerms
  readonly asked: DrawTerms
}> {
  override get message(): string {
    const describe = ({ agencies, winningNumber }: DrawTerms) =>
      `agencies ${describeAgencies(agencies)} and winning number ${winningNumber}`
    return (
      `the draw ${this.drawId} was opened with ${describe(this.stored)}, ` +
      `this server was started with ${describe(this.asked)}; ` +
      "start it as before, or another draw with --draw or --store"
    )
  }
}

/** Gives the stored draw, unless it was opened with other terms than those asked for. */
export const ensureSameTerms = (
  drawId: string,
  stored: StoredDraw,
  asked: DrawTerms
): Effect.Effect<StoredDraw, DrawMismatch> =>
  stored.winningNumber === asked.winningNumber && stored.agencies.join() === asked.agencies.join()
    ? Effect.succeed(stored)
    : Effect.fail(new DrawMismatch({ drawId, stored, asked }))

/** What can be read of a store, also while another process writes it: no lock, no repair. */
export interface StoredBooks {
  /** The draw, once `openDraw` has written it. */
  readonly draw: Effect.Effect<Option.Option<StoredDraw>, StoreUnavailable>
  /**
   * Every agency that something is stored of, or was until a discard, in ascending order. The
   * reader of an embedded store knows of no discards: it says edition 0.
   */
  readonly progress: Effect.Effect<ReadonlyMap<Agency, AgencyProgress>, StoreUnavailable>
  /**
   * The bets of an agency in the order of its book, from a position to the last that is stored now.
   * Memory is bounded by a batch of the stream (at most about 1 MiB), not by the book. If the book
   * is discarded meanwhile, the stream gives the rest of it all the same or fails.
   */
  readonly book: (agency: Agency, from: number) => Stream.Stream<BetBatch, StoreUnavailable>
}

/** Some of the bets of an agency's book, of this edition. */
export interface PageOf {
  /** The position of the first bet, and the one behind the last. */
  readonly from: number
  readonly until: number
  readonly edition: number
}

/** What is known of a complete book. */
export interface WholeBook {
  /** The SHA-256 of all its canonical rows, as 64 hex digits in lower case. */
  readonly sha256: string
}

export interface AppendOptions {
  /** The edition of the book that the write is for; any, if it is left out. */
  readonly edition?: number
  /** The agency's book is complete with this batch. */
  readonly last?: WholeBook | undefined
}

export type FinishOptions = WholeBook & Pick<AppendOptions, "edition">

/**
 * Reads a store that another process may be writing: as it is when it is asked, or, if it is a CSV
 * store, as it was when it was opened.
 */
export class BetStoreReader extends Context.Service<BetStoreReader, StoredBooks>()(
  "lottery/server/BetStoreReader"
) {}

/** Writes a store; an embedded one has a single writer. */
export class BetStore extends Context.Service<
  BetStore,
  StoredBooks & {
    /** How far one agency has come; `NO_PROGRESS` except its edition if nothing is stored. */
    readonly progressOf: (agency: Agency) => Effect.Effect<AgencyProgress, StoreUnavailable>

    /**
     * Some of an agency's bets, from `from` on: at least one of those that are stored, at most
     * about 1 MiB, none of another edition. Costs time and memory in proportion to what it gives,
     * whatever else is stored.
     */
    readonly page: (agency: Agency, page: PageOf) => Effect.Effect<BetBatch, StoreUnavailable>

    /**
     * Adds a batch at `position`, which must be how many bets are stored; with `last` the agency
     * has finished, in the same step. All rows or none, durable when it succeeds; not interrupted
     * once begun. A batch of a discarded edition is refused however far the next edition is.
     */
    readonly append: (
      agency: Agency,
      position: number,
      batch: BetBatch,
      options?: AppendOptions
    ) => Effect.Effect<
      void,
      Conflict | AlreadyFinished | Discarded | StoreUnavailable | StoreBroken
    >

    /**
     * Records that the agency's book is complete, if exactly `bets` are stored. Doing it again with
     * the same number changes nothing and succeeds.
     */
    readonly finish: (
      agency: Agency,
      bets: number,
      options: FinishOptions
    ) => Effect.Effect<void, BookMismatch | Discarded | StoreUnavailable | StoreBroken>

    /** Stores the draw when it is first opened; afterwards it must be the same. */
    readonly openDraw: (
      terms: DrawTerms
    ) => Effect.Effect<StoredDraw, DrawMismatch | StoreUnavailable | StoreBroken>

    /**
     * Records that the draw is held, in one step with the check that every expected agency has
     * finished. True for the one that recorded it, false if it had been recorded.
     */
    readonly recordDraw: Effect.Effect<boolean, NotAllFinished | StoreUnavailable | StoreBroken>

    /**
     * The documents of the winning bets of every agency that has one, in book order; found by the
     * store itself, not by loading every bet.
     */
    readonly winners: (
      winningNumber: number
    ) => Effect.Effect<ReadonlyMap<Agency, Winners>, StoreUnavailable>

    /** Records that the agency got its winners. */
    readonly told: (agency: Agency) => Effect.Effect<void, StoreUnavailable | StoreBroken>

    /**
     * Drops an agency's book before the draw, so that it can be sent anew: its bets, that it has
     * finished and that it was told. Durable; gives how many bets were dropped. After a
     * StoreUnavailable all bets are still there, but perhaps the book is not finished any more.
     */
    readonly discard: (
      agency: Agency
    ) => Effect.Effect<number, DrawAlreadyHeld | StoreUnavailable | StoreBroken>

    /**
     * Ticks after another process changed which agencies have finished, or recorded the draw; an
     * embedded store ticks after a discard that another process asked for. A late or slow
     * subscriber may miss ticks, but never the last one.
     */
    readonly changes: Stream.Stream<void>

    /** Fails when a sync has failed, for any caller; the server ends with it. */
    readonly broken: Effect.Effect<never, StoreBroken>
  }
>()("lottery/server/BetStore") {}
