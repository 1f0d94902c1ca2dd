/**
 * Where the central keeps its bets: one contract, one layer a kind of store in `store/`, one
 * conformance suite that all of them pass.
 *
 * A store belongs to one draw; its layer is made for a draw's id. What it acknowledges is durable:
 * a data sync comes before every success below.
 */
import { Context, Data, type Effect, type Option, type Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { type Draw, describeAgencies, type WinningDocuments } from "../../domain/Draw.ts"

/** How far an agency has come. */
export interface AgencyProgress {
  /** How many bets of its book are held, which is the position of the next. */
  readonly bets: number
  /** Its book is whole: it has said so, and exactly `bets` were held. */
  readonly finished: boolean
  /** It got its winners. */
  readonly told: boolean
  /**
   * Which book of the agency this is: one more with each discard that this process knows of, so
   * it begins at 0 again when an embedded store is opened. What is remembered of a book, such as
   * a running digest, is good for its edition only.
   */
  readonly edition: number
}

/** The progress of an agency that nothing is held of. */
export const NO_PROGRESS: AgencyProgress = {
  bets: 0,
  finished: false,
  told: false,
  edition: 0
}

/** A draw as it is stored. */
export interface StoredDraw {
  readonly draw: Draw
  /** It has been held: no bet can be added, and its winners are what `winners` says. */
  readonly recorded: boolean
}

/** `position` is not what is held: another writer came first, or rows are missing between. */
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

/** What helps an agency whose book is not the one that is held. */
export const ifAnotherBook = (agency: Agency): string =>
  `where that is the wrong book, before the draw: lottery discard --agency ${agency} --yes`

/** The agency's book is whole; nothing can follow. */
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

/** The book that the agency says is whole is not the one that is held. */
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

/** Somebody dropped the held book while the agency was at it. */
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

/** The draw has been held: its winners were found among the bets that are held, and these stay. */
export class DrawAlreadyHeld extends Data.TaggedError("DrawAlreadyHeld")<{
  readonly agency: Agency
  readonly drawId: string
}> {
  override get message(): string {
    const { agency, drawId } = this
    return `the draw ${drawId} has been held: the book of agency ${agency} cannot be discarded`
  }
}

/** A stored bet that is no longer valid: another program changed it. */
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

/** An agency's winning documents, or which of its winning bets has none. */
export type Winners = WinningDocuments | DamagedBet

/**
 * A write or a read failed and nothing of it was stored; it may work later. Of a write whose
 * answer was lost on the way from another machine it is not known: whoever comes again is told
 * what is held.
 */
export class StoreUnavailable extends Data.TaggedError("StoreUnavailable")<{
  readonly reason: string
}> {
  override get message(): string {
    return `the store cannot be used now: ${this.reason}`
  }
}

/**
 * A data sync failed. Nobody can know what is on the disk, and a later success proves nothing, so
 * nothing more is committed: the server must end, and recover from the disk when it starts again.
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
  readonly stored: Draw
  readonly asked: Draw
}> {
  override get message(): string {
    const describe = ({ agencies, winningNumber }: Draw) =>
      `agencies ${describeAgencies(agencies)} and winning number ${winningNumber}`
    return (
      `the draw ${this.stored.id} was opened with ${describe(this.stored)}, ` +
      `this server was started with ${describe(this.asked)}; ` +
      "start it as before, or another draw with --draw or --store"
    )
  }
}

/** What can be read of a store, also beside a running server: no lock, no repair. */
export interface StoredBooks {
  /** The draw, once `openDraw` has written it. */
  readonly draw: Effect.Effect<Option.Option<StoredDraw>, StoreUnavailable>
  /**
   * Every agency that something is held of, or was until it was discarded, in ascending order.
   * Whoever only reads beside the one who writes knows of no discard, and says edition 0.
   */
  readonly progress: Effect.Effect<ReadonlyMap<Agency, AgencyProgress>, StoreUnavailable>
  /**
   * The bets of an agency in the order of its book, from a position on: what was held when it was
   * asked for. Memory is bounded by a batch of the stream (at most about 1 MiB), not by the book.
   * Where the book is discarded meanwhile, it gives the rest of it all the same or fails.
   */
  readonly book: (agency: Agency, from: number) => Stream.Stream<BetBatch, StoreUnavailable>
}

/** Some of the bets of an agency's book, of the edition that is given. */
export interface PageOf {
  /** The position of the first bet, and the one behind the last. */
  readonly from: number
  readonly until: number
  readonly edition: number
}

/** What is known of a book that is whole. */
export interface WholeBook {
  /** The SHA-256 of all its canonical rows, as 64 hex digits in lower case. */
  readonly sha256: string
}

/** What else is said of a book that is whole. */
export interface FinishOptions extends WholeBook {
  /** The edition of the book; any, where it is left out. */
  readonly edition?: number
}

/** What else a batch says beside its bets. */
export interface AppendOptions {
  /** The agency's book is whole with this batch. */
  readonly last?: WholeBook | undefined
  /** The edition of the book that the batch belongs to; any, where it is left out. */
  readonly edition?: number
}

/** Reads a store beside whoever writes it. */
export class BetStoreReader extends Context.Service<BetStoreReader, StoredBooks>()(
  "lottery/server/BetStoreReader"
) {}

/** The one who writes a store; for an embedded store there is one on a machine. */
export class BetStore extends Context.Service<
  BetStore,
  StoredBooks & {
    /** What is held of one agency; `NO_PROGRESS` but for its edition where nothing is. */
    readonly progressOf: (agency: Agency) => Effect.Effect<AgencyProgress, StoreUnavailable>

    /**
     * Some of an agency's stored bets, from `from` on: at least one of those that are stored, at
     * most about 1 MiB, none of another edition. Costs time and memory in proportion to what it
     * gives, whatever else is stored.
     */
    readonly page: (agency: Agency, page: PageOf) => Effect.Effect<BetBatch, StoreUnavailable>

    /**
     * Adds a batch at `position`, which must be what is held; with `last` the agency's book is
     * whole with it, in the same step. All rows or none, durable when it succeeds. Once begun it
     * runs to its end. A batch of an edition that was discarded is refused wherever the next
     * edition has come to.
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
     * Records that the agency's book is whole. Succeeds only if exactly `bets` are held, of this
     * edition where one is given; saying it again with the same number changes nothing and
     * succeeds.
     */
    readonly finish: (
      agency: Agency,
      bets: number,
      options: FinishOptions
    ) => Effect.Effect<void, BookMismatch | Discarded | StoreUnavailable | StoreBroken>

    /** Writes the draw down when it is first opened; afterwards it must be the same. */
    readonly openDraw: (
      draw: Draw
    ) => Effect.Effect<StoredDraw, DrawMismatch | StoreUnavailable | StoreBroken>

    /**
     * Records that the draw is held, in one step with the check that every expected agency has
     * finished. True for the one who recorded it, false where it had been recorded.
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
     * Drops the book that is held of the agency, before the draw, so that it may be sent anew: its
     * bets, that it has finished and that it was told. Durable; gives how many bets were dropped,
     * 0 where nothing was held. Where it fails with StoreUnavailable the bets are all still there,
     * but perhaps no longer as a book that is finished.
     */
    readonly discard: (
      agency: Agency
    ) => Effect.Effect<number, DrawAlreadyHeld | StoreUnavailable | StoreBroken>

    /**
     * Ticks after another process changed who has finished, or recorded the draw; with an embedded
     * store: after a discard that another process asked for. Whoever subscribes late or is slow
     * may miss ticks, but never the last one.
     */
    readonly changes: Stream.Stream<void>

    /** Fails when a sync has failed, whoever asked for it; the server ends with it. */
    readonly broken: Effect.Effect<never, StoreBroken>
  }
>()("lottery/server/BetStore") {}
