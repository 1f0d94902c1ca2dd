/**
 * The lottery itself: takes in the agencies' books, one writer an agency; waits at the barrier
 * until every agency has finished; holds the draw once; tells each agency its own winners.
 */
import {
  Context,
  Data,
  Deferred,
  Effect,
  Latch,
  Layer,
  Schedule,
  type Scope,
  Semaphore,
  Stream
} from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { type Draw, describeAgencies, type WinningDocuments } from "../../domain/Draw.ts"
import {
  type AgencyProgress,
  BetStore,
  DamagedBet,
  type DrawMismatch,
  NO_PROGRESS,
  type StoreBroken,
  type StoreUnavailable,
  type Winners
} from "../store/BetStore.ts"
import { type AtBook, Book } from "./Book.ts"
import { MAX_COMPARISONS } from "./Comparison.ts"
import { Standings } from "./Standing.ts"
import * as Upload from "./Upload.ts"

/** The agency does not take part in this draw. */
export class UnknownAgency extends Data.TaggedError("UnknownAgency")<{
  readonly agency: Agency
  readonly draw: Draw
}> {
  override get message(): string {
    const expected = describeAgencies(this.draw.agencies)
    return `agency ${this.agency} does not take part in the draw, expected one of ${expected}`
  }
}

/** How many books may be read at once to digest them; each takes up to 1 MiB. */
const MAX_DIGESTING = 4

/** Retries what the store could not do; a broken store ends the server by itself. */
const UNLESS_BROKEN = {
  schedule: Schedule.spaced("1 second"),
  while: (error: { readonly _tag: string }) => error._tag !== "StoreBroken"
}

export class Lottery extends Context.Service<
  Lottery,
  {
    readonly draw: Draw

    /** Checks that an agency takes part. */
    readonly admit: (agency: Agency) => Effect.Effect<void, UnknownAgency>

    /** Begins an agency's upload on a new connection. */
    readonly upload: (
      agency: Agency,
      connection: AtBook
    ) => Effect.Effect<Upload.Upload, StoreUnavailable, Scope.Scope>

    /** Lets a connection that writes nothing stay at an agency's book until a discard. */
    readonly watch: (agency: Agency, connection: AtBook) => Effect.Effect<void, never, Scope.Scope>

    /** Which agencies have finished; a discard makes an agency unfinished again. */
    readonly standings: Pick<Standings, "now" | "changedFrom" | "hasFinished">

    /** Waits at the barrier for the draw, and gives the agency's own winners. */
    readonly winnersOf: (agency: Agency) => Effect.Effect<WinningDocuments, DamagedBet>

    /** Records that the agency got its winners; retries while the store is unavailable. */
    readonly told: (agency: Agency) => Effect.Effect<void, StoreBroken>

    /** Done when every agency got its winners, in this run or an earlier one. */
    readonly allTold: Effect.Effect<void>
  }
>()("lottery/server/Lottery") {
  /** Opens the draw in the store, or continues the one that is there. */
  static readonly layer = (
    draw: Draw
  ): Layer.Layer<Lottery, DrawMismatch | StoreUnavailable | StoreBroken, BetStore> =>
    Layer.effect(Lottery, make(draw))
}

const make = Effect.fnUntraced(function* (draw: Draw) {
  const store = yield* BetStore
  const { recorded } = yield* store.openDraw(draw)
  const expected: ReadonlySet<Agency> = new Set(draw.agencies)
  const standings = new Standings(draw.agencies)
  /** Agencies that have finished here since the store was last read. */
  const finishedMeanwhile = new Set<Agency>()
  const untold = new Set(draw.agencies)
  /** Untold agencies that are being recorded as told. */
  const recording = new Set<Agency>()
  const books = new Map<Agency, Book>()
  /** The latest edition of each book that this process knows of; 0 if it is not here. */
  const editions = new Map<Agency, number>()
  const reading = {
    comparing: yield* Semaphore.make(MAX_COMPARISONS),
    digesting: yield* Semaphore.make(MAX_DIGESTING)
  }
  /** Open when the draw may be due or the store may have changed. */
  const lookAgain = yield* Latch.make()
  const barrier = yield* Deferred.make<ReadonlyMap<Agency, Winners>>()
  const everyoneTold = yield* Latch.make()
  const scope = yield* Effect.scope

  const bookOf = (agency: Agency): Book => {
    const known = books.get(agency)
    if (known !== undefined) return known
    const book = new Book(agency, store, reading)
    books.set(agency, book)
    return book
  }

  /** Makes an agency whose book is gone unfinished again, and empties the book of connections. */
  const forgetBook = (agency: Agency) =>
    Effect.andThen(standings.discard(agency), books.get(agency)?.sendAllAway ?? Effect.void)

  const noteEdition = (agency: Agency, edition: number) =>
    Effect.suspend(() => {
      if (edition <= (editions.get(agency) ?? 0)) return Effect.void
      editions.set(agency, edition)
      return forgetBook(agency)
    })

  /** Run before a connection enters, so that late news of a discard does not send it away. */
  const noteCurrentEdition = (agency: Agency) =>
    Effect.tap(store.progressOf(agency), ({ edition }) => noteEdition(agency, edition))

  const noteAllTold = Effect.suspend(() => (untold.size === 0 ? everyoneTold.open : Effect.void))

  /** Notes that an agency's book is complete: the draw may be due. */
  const noteFinished = Effect.fnUntraced(function* (agency: Agency) {
    if (standings.hasFinished(agency)) return
    finishedMeanwhile.add(agency)
    yield* standings.finish(agency)
    if (standings.allFinished()) yield* lookAgain.open
  })

  /** Takes over what the store says, which other processes may have changed. */
  const takeOver = Effect.fnUntraced(function* (progress: ReadonlyMap<Agency, AgencyProgress>) {
    for (const agency of draw.agencies) {
      const { edition, finished, told } = progress.get(agency) ?? NO_PROGRESS
      if (told) untold.delete(agency)
      yield* noteEdition(agency, edition)
      if (finished) {
        yield* standings.finish(agency)
      } else if (standings.hasFinished(agency) && !finishedMeanwhile.has(agency)) {
        // A discard that failed halfway left the bets, but the book is no longer complete.
        yield* forgetBook(agency)
      }
    }
    yield* noteAllTold
  })

  const openBarrier = Effect.flatMap(store.winners(draw.winningNumber), (winners) =>
    Deferred.succeed(barrier, winners)
  )

  const holdDraw = Effect.fn("Lottery.draw")(function* () {
    if (yield* store.recordDraw) yield* logAction("sorteo", "success")
    yield* openBarrier
  })

  /** Reads the store anew, and holds the draw if it is due. */
  const look = Effect.gen(function* () {
    finishedMeanwhile.clear()
    yield* takeOver(yield* store.progress)
    if (standings.allFinished() && !(yield* Deferred.isDone(barrier))) yield* holdDraw()
  }).pipe(
    Effect.tapError((error) => logAction("sorteo", "fail", { error: error.message })),
    Effect.retry(UNLESS_BROKEN),
    Effect.ignore,
    // Without this loop there is no draw: a mistake in it is told, and the next look tries again.
    Effect.catchDefect((defect) =>
      logAction("sorteo", "fail", { error: `internal error: ${String(defect)}` })
    )
  )

  const upload = Effect.fnUntraced(function* (agency: Agency, connection: AtBook) {
    const seen = yield* noteCurrentEdition(agency)
    const book = bookOf(agency)
    yield* book.enter(connection)
    return Upload.make(book, connection, seen, noteFinished(agency))
  })

  const watch = Effect.fnUntraced(function* (agency: Agency, connection: AtBook) {
    // After the draw nothing is discarded: a question then costs the store nothing.
    if (!(yield* Deferred.isDone(barrier))) {
      // A store that is unavailable is no reason to refuse an agency that waits for the draw.
      yield* Effect.ignore(noteCurrentEdition(agency))
    }
    yield* bookOf(agency).enter(connection)
  })

  const recordTold = Effect.fnUntraced(function* (agency: Agency) {
    yield* store.told(agency)
    untold.delete(agency)
    yield* noteAllTold
  })

  const told = Effect.fnUntraced(function* (agency: Agency) {
    // An agency may ask again and again while the store is unavailable: one of them records it.
    if (!untold.has(agency) || recording.has(agency)) return
    recording.add(agency)
    yield* Effect.catchTag(recordTold(agency), "StoreUnavailable", (error) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, error: error.message }).pipe(
        // The agency is not kept waiting for it.
        Effect.andThen(Effect.retry(recordTold(agency), UNLESS_BROKEN)),
        Effect.ignore,
        Effect.forkIn(scope)
      )
    )
  })

  if (recorded) {
    yield* logAction("draw_held", "success", {
      draw: draw.id,
      hint: "books are only compared and winners told; for another draw give --draw or --store"
    })
    yield* openBarrier
  }
  yield* takeOver(yield* store.progress)
  if (standings.allFinished()) yield* lookAgain.open

  yield* Effect.forkScoped(Stream.runForEach(store.changes, () => lookAgain.open))
  yield* lookAgain.await.pipe(
    Effect.andThen(lookAgain.close),
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
    winnersOf: (agency) =>
      Effect.flatMap(Deferred.await(barrier), (all) => {
        const winners = all.get(agency) ?? []
        return winners instanceof DamagedBet ? Effect.fail(winners) : Effect.succeed(winners)
      }),
    told,
    allTold: everyoneTold.await
  })
})
