/**
 * The lottery itself. It accepts the agencies' books, with one writer per agency, waits at the
 * barrier until every agency has finished, holds the draw once and returns each agency's winners.
 */
import { Context, Data, Effect, Latch, Layer, Option, type Scope, Semaphore, Stream } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { type Draw, describeAgencies, type WinningDocuments } from "../../domain/Draw.ts"
import {
  type AgencyProgress,
  BetStore,
  DamagedBet,
  Discarded,
  Excluded,
  NO_PROGRESS,
  type StoreBroken,
  type StoreUnavailable
} from "../store/BetStore.ts"
import type { DrawMismatch, DrawMissed } from "../store/StoredDraw.ts"
import * as Barrier from "./Barrier.ts"
import { type BetCounts, Book, type BookConnection, sumOfCounts } from "./Book.ts"
import { closeIfDue, untilDue } from "./CloseTime.ts"
import { MAX_COMPARISONS } from "./Comparison.ts"
import * as DrawLog from "./DrawLog.ts"
import type { Overview } from "./Overview.ts"
import { Standings } from "./Standing.ts"
import { UNLESS_BROKEN } from "./StoreRetry.ts"
import type * as AgencyEvidence from "./sealed/AgencyEvidence.ts"
import * as Told from "./Told.ts"
import * as Upload from "./Upload.ts"
import { WaitingRoom } from "./WaitingRoom.ts"

export class UnknownAgency extends Data.TaggedError("UnknownAgency")<{
  readonly agency: Agency
  readonly draw: Draw
}> {
  override get message(): string {
    const expected = describeAgencies(this.draw.agencies)
    return `agency ${this.agency} does not take part in the draw, expected one of ${expected}`
  }
}

/** Maximum books that are read for a digest at the same time. Each read takes up to 1 MiB. */
const MAX_DIGESTING = 4

/** An agency's own winners. */
export interface Winners {
  readonly documents: WinningDocuments
  readonly winningNumber: number
  /** The signed result with the agency's own line of winners, in a sealed draw. */
  readonly result: string | undefined
}

export class Lottery extends Context.Service<
  Lottery,
  {
    readonly draw: Draw

    readonly admit: (agency: Agency) => Effect.Effect<void, UnknownAgency>

    /** Begins an upload; `announced` is the size of the whole book, if the agency said it. */
    readonly upload: (
      agency: Agency,
      connection: BookConnection,
      announced?: number
    ) => Effect.Effect<Upload.Upload, StoreUnavailable | Excluded, Scope.Scope>

    /** Adds a connection that only reads; a discard of the book disconnects it. */
    readonly watch: (
      agency: Agency,
      connection: BookConnection
    ) => Effect.Effect<void, Excluded, Scope.Scope>

    /** Which agencies have finished; a discard makes an agency unfinished again. */
    readonly standings: Pick<Standings, "now" | "changedFrom" | "hasFinished" | "isAwaited">

    readonly overview: () => Overview

    /** What an agency does at this server; undefined if it has not connected. */
    readonly activityOf: (
      agency: Agency
    ) => Pick<Book, "activity" | "counts" | "connectionCount"> | undefined

    /** Bets of all agencies that this server has acknowledged since it started. */
    readonly counts: () => BetCounts

    /** What agencies get to keep of a sealed draw; undefined if the draw has no key. */
    readonly evidence: AgencyEvidence.AgencyEvidence | undefined

    /** The connections that wait for the draw. It wakes them when there is a seal or a draw. */
    readonly waitingRoom: WaitingRoom

    /** Whether `winnersOf` returns or fails without waiting. */
    readonly isDecided: () => boolean

    /** Waits for the draw, then returns the agency's own winners. */
    readonly winnersOf: (
      agency: Agency
    ) => Effect.Effect<Winners, DamagedBet | Excluded | DrawMissed>

    /** Records that an agency received its winners; retries while the store is unavailable. */
    readonly told: (agency: Agency) => Effect.Effect<void, StoreBroken>

    /** Completes when every agency has received its winners, in this run or an earlier one. */
    readonly allTold: Effect.Effect<void, DrawMissed>

    /** Reads the store again soon, after an operator has changed it. */
    readonly lookAgain: Effect.Effect<void>
  }
>()("lottery/server/Lottery") {
  /** Opens the draw in the store, or continues the stored draw. */
  static readonly layer = (
    draw: Draw,
    options: Barrier.Options = {}
  ): Layer.Layer<Lottery, DrawMismatch | StoreUnavailable | StoreBroken, BetStore> =>
    Layer.effect(Lottery, make(draw, options))
}

const make = Effect.fnUntraced(function* (draw: Draw, options: Barrier.Options) {
  yield* Barrier.checkKey(draw, options)
  const store = yield* BetStore
  const opened = yield* store.openDraw(draw)
  const expected: ReadonlySet<Agency> = new Set(draw.agencies)
  const standings = new Standings(draw.agencies)
  const waitingRoom = new WaitingRoom(standings)
  /** Agencies that finished in this process since the last read of the store. */
  const finishedMeanwhile = new Set<Agency>()
  const excluded = new Set<Agency>()
  const books = new Map<Agency, Book>()
  /** The latest known edition of each book; absent means 0. */
  const editions = new Map<Agency, number>()
  const reading = {
    comparing: yield* Semaphore.make(MAX_COMPARISONS),
    digesting: yield* Semaphore.make(MAX_DIGESTING)
  }
  /** Opened when the draw may be due or the store may have changed. */
  const lookRequested = yield* Latch.make()
  let { closesAt } = opened
  const { allTold, noteAllTold, takeOff, told, untoldCount } = yield* Told.make(draw.agencies)

  const bookOf = (agency: Agency): Book => {
    const known = books.get(agency)
    if (known !== undefined) return known
    const book = new Book(agency, store, reading)
    books.set(agency, book)
    return book
  }

  const disconnectAll = (agency: Agency, reason: Discarded | Excluded) =>
    Effect.map(books.get(agency)?.disconnectAll(reason) ?? Effect.void, () =>
      waitingRoom.wake(agency)
    )

  const forgetBook = (agency: Agency) =>
    Effect.andThen(standings.discard(agency), disconnectAll(agency, new Discarded({ agency })))

  /** Returns whether the agency was not known to be excluded. */
  const noteExcluded = Effect.fnUntraced(function* (agency: Agency) {
    if (excluded.has(agency)) return false
    excluded.add(agency)
    takeOff(agency)
    yield* standings.exclude(agency)
    yield* disconnectAll(agency, new Excluded({ agency }))
    return true
  })

  const noteEdition = (agency: Agency, edition: number) =>
    Effect.suspend(() => {
      if (edition <= (editions.get(agency) ?? 0)) return Effect.void
      editions.set(agency, edition)
      return forgetBook(agency)
    })

  /** Runs before a connection enters, so that an earlier discard does not disconnect it later. */
  const noteCurrentEdition = (agency: Agency) =>
    Effect.tap(store.progressOf(agency), ({ edition }) => noteEdition(agency, edition))

  const refuseExcluded = (agency: Agency) =>
    excluded.has(agency) ? Effect.fail(new Excluded({ agency })) : Effect.void

  const noteFinished = Effect.fnUntraced(function* (agency: Agency, finishedBets?: number) {
    if (!standings.hasFinished(agency)) {
      finishedMeanwhile.add(agency)
      yield* standings.finish(agency)
      if (standings.allFinished()) yield* lookRequested.open
    }
    if (finishedBets === undefined) return
    yield* DrawLog.finished(agency, finishedBets, standings.now())
  })

  /** Applies the store's progress, which other processes may have changed. */
  const applyProgress = Effect.fnUntraced(function* (
    progress: ReadonlyMap<Agency, AgencyProgress>
  ) {
    for (const agency of draw.agencies) {
      const { bets, edition, finished, ...found } = progress.get(agency) ?? NO_PROGRESS
      if (found.told) takeOff(agency)
      // First the exclusion, which is final and therefore the better reason to disconnect.
      if (found.excluded && (yield* noteExcluded(agency))) yield* DrawLog.excluded(agency, bets)
      yield* noteEdition(agency, edition)
      if (finished) {
        yield* standings.finish(agency)
      } else if (standings.hasFinished(agency) && !finishedMeanwhile.has(agency)) {
        // A discard that failed halfway keeps the bets, but the book is no longer finished.
        yield* forgetBook(agency)
      }
    }
    yield* noteAllTold
  })

  const barrier = yield* Barrier.make({
    ...options,
    draw,
    opened,
    standings,
    applyProgress: Effect.flatMap(store.progress, applyProgress),
    lookAgain: lookRequested.open
  })

  /** Reads the store again and holds the draw if it is due. */
  const look = Effect.gen(function* () {
    finishedMeanwhile.clear()
    const stored = Option.getOrThrow(yield* store.draw)
    closesAt = stored.closesAt
    yield* closeIfDue(store, closesAt)
    yield* applyProgress(yield* store.progress)
    yield* barrier.advance(stored, standings.allFinished())
  }).pipe(
    Effect.tapError((error) => logAction("sorteo", "fail", { error: error.message })),
    Effect.retry(UNLESS_BROKEN),
    Effect.ignore,
    // Only this loop holds the draw, so a defect is logged and the next round tries again.
    Effect.catchDefect((defect) =>
      logAction("sorteo", "fail", { error: `internal error: ${String(defect)}` })
    )
  )

  const upload = Effect.fnUntraced(function* (
    agency: Agency,
    connection: BookConnection,
    announced?: number
  ) {
    yield* refuseExcluded(agency)
    const seen = yield* noteCurrentEdition(agency)
    if (seen.excluded) return yield* new Excluded({ agency })
    const book = bookOf(agency)
    yield* book.enter(connection)
    book.activity.announced = announced
    return Upload.make(book, connection, seen, (bets) => noteFinished(agency, bets))
  })

  const watch = Effect.fnUntraced(function* (agency: Agency, connection: BookConnection) {
    // No book is discarded after the draw, so the store is not read.
    if (!barrier.isHeld()) {
      // An agency may wait for the draw even if the store is unavailable.
      const seen = yield* Effect.option(noteCurrentEdition(agency))
      if (Option.exists(seen, (found) => found.excluded)) return yield* new Excluded({ agency })
    }
    yield* refuseExcluded(agency)
    yield* bookOf(agency).enter(connection)
  })

  // A server that starts after the close time closes the books before it accepts.
  for (const { agency, bets } of yield* closeIfDue(store, closesAt)) {
    yield* DrawLog.excluded(agency, bets)
  }
  const progress = yield* store.progress
  for (const [agency, found] of progress) if (found.excluded) yield* noteExcluded(agency)
  yield* applyProgress(progress)
  yield* DrawLog.opened(draw.id, opened, standings.now(), progress)
  yield* barrier.start
  if (standings.allFinished()) yield* lookRequested.open

  const { wakeAll } = waitingRoom
  yield* Effect.forkScoped(waitingRoom.serve)
  yield* Effect.forkScoped(Effect.andThen(Effect.exit(barrier.held), wakeAll))
  if (barrier.evidence !== undefined) {
    yield* Effect.forkScoped(Effect.andThen(barrier.evidence.sealed, wakeAll))
  }

  yield* Effect.forkScoped(Stream.runForEach(store.changes, () => lookRequested.open))
  /** Waits until a look is requested or a time of the draw comes. */
  const untilNextLook = Effect.suspend(() => {
    const closing = standings.allFinished() ? undefined : closesAt
    const times = [closing, barrier.missedAt()].filter((time) => time !== undefined)
    if (times.length === 0) return lookRequested.await
    return Effect.raceFirst(lookRequested.await, untilDue(Math.min(...times)))
  })
  yield* untilNextLook.pipe(
    Effect.andThen(lookRequested.close),
    Effect.andThen(look),
    Effect.forever,
    Effect.forkScoped
  )

  return Lottery.of({
    draw,
    admit: (agency) =>
      expected.has(agency) ? Effect.void : Effect.fail(new UnknownAgency({ agency, draw })),
    upload,
    watch,
    standings,
    overview: () => ({
      state: barrier.phase(),
      round: barrier.round()?.round,
      roundAt: barrier.round()?.at,
      expected: draw.agencies.length,
      finished: standings.now().finished,
      excluded: excluded.size,
      told: draw.agencies.length - excluded.size - untoldCount(),
      closesAt
    }),
    activityOf: (agency) => books.get(agency),
    counts: () => sumOfCounts(books.values()),
    winnersOf: Effect.fnUntraced(function* (agency) {
      const { documents: all, resultOf, winningNumber } = yield* barrier.held
      // An empty list would mean that the agency took part and has no winners.
      yield* refuseExcluded(agency)
      const documents = all.get(agency) ?? []
      if (documents instanceof DamagedBet) return yield* documents
      return { documents, winningNumber, result: resultOf(agency) }
    }),
    waitingRoom,
    isDecided: barrier.isDecided,
    evidence: barrier.evidence,
    told,
    allTold: Effect.andThen(barrier.held, allTold),
    lookAgain: Effect.asVoid(lookRequested.open)
  })
})
