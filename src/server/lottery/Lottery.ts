/**
 * The lottery itself: takes in the agencies' books, one writer an agency; waits at the barrier
 * until every agency has finished; holds the draw once; tells each agency its own winners.
 */
import {
  Context,
  Data,
  Deferred,
  Effect,
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
  type StoreBroken,
  type StoreUnavailable,
  type Winners
} from "../store/BetStore.ts"
import * as BookDigest from "./BookDigest.ts"
import { MAX_COMPARISONS } from "./Comparison.ts"
import { type Standing, Standings } from "./Standing.ts"
import { type AtBook, makeTurns } from "./Turn.ts"
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

/** Books that are read at the same time to digest them; each takes up to 1 MiB. */
const MAX_DIGESTING = 4

/** How what the store could not record is tried again. */
const WHILE_UNAVAILABLE = {
  schedule: Schedule.spaced("1 second"),
  while: (error: { readonly _tag: string }) => error._tag === "StoreUnavailable"
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

    /** Waits at an agency's book without writing it; a discard sends it away as well. */
    readonly attend: (agency: Agency, connection: AtBook) => Effect.Effect<void, never, Scope.Scope>

    /** How many agencies have finished. */
    readonly standing: Effect.Effect<Standing>

    /** Waits until the standing is another than `known`. */
    readonly standingChangedFrom: (known: Standing) => Effect.Effect<void>

    /** Whether an agency's book is whole; it is no more once it was discarded. */
    readonly hasFinished: (agency: Agency) => boolean

    /** Waits at the barrier until the draw is held, and gives the agency's own winners. */
    readonly winnersOf: (agency: Agency) => Effect.Effect<WinningDocuments, DamagedBet>

    /** Notes that the agency got its winners; goes on trying while the store cannot be used. */
    readonly told: (agency: Agency) => Effect.Effect<void, StoreBroken>

    /** Done when every agency got its winners, in this run or an earlier one. */
    readonly allTold: Effect.Effect<void>
  }
>()("lottery/server/Lottery") {
  /** Opens the draw on the store, or goes on with it where the store is. */
  static readonly layer = (
    draw: Draw
  ): Layer.Layer<Lottery, DrawMismatch | StoreUnavailable | StoreBroken, BetStore> =>
    Layer.effect(Lottery, make(draw))
}

/** The agencies that got their winners. */
const toldIn = (progress: ReadonlyMap<Agency, AgencyProgress>): ReadonlyArray<Agency> =>
  Array.from(progress).flatMap(([agency, { told }]) => (told ? [agency] : []))

const make = Effect.fnUntraced(function* (draw: Draw) {
  const store = yield* BetStore
  const { recorded } = yield* store.openDraw(draw)
  const progress = yield* store.progress
  const expected: ReadonlySet<Agency> = new Set(draw.agencies)
  const standings = new Standings(draw.agencies, progress)
  const untold = new Set(draw.agencies)
  /** Those of them of which it is being recorded, until it is. */
  const recording = new Set<Agency>()
  const turns = makeTurns()
  const editions = new Map(Array.from(progress, ([agency, { edition }]) => [agency, edition]))
  const digests = new Map<Agency, BookDigest.BookDigest>()
  const digesting = yield* Semaphore.make(MAX_DIGESTING)
  const comparing = yield* Semaphore.make(MAX_COMPARISONS)
  const barrier = yield* Deferred.make<ReadonlyMap<Agency, Winners>>()
  const everyoneTold = yield* Deferred.make<void>()
  const scope = yield* Effect.scope
  const drawing = yield* Semaphore.make(1)

  const holdDraw = Effect.gen(function* () {
    if (yield* Deferred.isDone(barrier)) return
    if (yield* store.recordDraw) yield* logAction("sorteo", "success")
    yield* Deferred.succeed(barrier, yield* store.winners(draw.winningNumber))
  }).pipe(
    Effect.tapError((error) => logAction("sorteo", "fail", { error: error.message })),
    Effect.retry(WHILE_UNAVAILABLE),
    drawing.withPermit,
    // An agency that has not finished after all is one whose book is gone: it is waited for again.
    Effect.catchTag("NotAllFinished", () => seeChanges),
    // A broken store ends the server by itself.
    Effect.ignore
  )
  const holdDrawWhenAllFinished = Effect.suspend(() =>
    standings.allFinished() ? Effect.forkIn(holdDraw, scope) : Effect.void
  )

  /** Once an agency's book is whole the draw may be due. */
  const noteFinished = (agency: Agency) =>
    Effect.suspend(() => {
      if (standings.hasFinished(agency)) return Effect.void
      standings.finish(agency)
      return holdDrawWhenAllFinished
    })

  /** Sends those away who are at an earlier edition of a book; it is not whole any more. */
  const noteEdition = (agency: Agency, edition: number) =>
    Effect.suspend(() => {
      if (edition <= (editions.get(agency) ?? 0)) return Effect.void
      editions.set(agency, edition)
      standings.discard(agency)
      return turns.discarded(agency)
    })

  /** Where word of a discard comes late it must not send away who comes with the next book. */
  const noteCurrentEdition = (agency: Agency) =>
    Effect.tap(store.progressOf(agency), ({ edition }) => noteEdition(agency, edition))

  const digestOf = (agency: Agency): BookDigest.BookDigest => {
    const known = digests.get(agency)
    if (known !== undefined) return known
    const digest = BookDigest.make(agency, store, digesting)
    digests.set(agency, digest)
    return digest
  }

  const upload = Effect.fnUntraced(function* (agency: Agency, connection: AtBook) {
    const seen = yield* noteCurrentEdition(agency)
    const turn = yield* turns.of(agency, connection)
    const digest = digestOf(agency)
    const onFinished = noteFinished(agency)
    const { lost } = connection
    return Upload.make({ agency, store, turn, digest, comparing, lost, onFinished }, seen)
  })

  const attend = Effect.fnUntraced(function* (agency: Agency, connection: AtBook) {
    // Once the draw is held nothing is discarded: who asks then costs the store nothing.
    if (!(yield* Deferred.isDone(barrier))) {
      // A store that cannot say it is no reason to refuse an agency that waits for the draw.
      yield* Effect.catchTag(noteCurrentEdition(agency), "StoreUnavailable", () => Effect.void)
    }
    yield* turns.of(agency, connection)
  })

  const noteTold = (agencies: Iterable<Agency>) =>
    Effect.suspend(() => {
      for (const agency of agencies) untold.delete(agency)
      return untold.size === 0 ? Deferred.succeed(everyoneTold, undefined) : Effect.void
    })

  /** What the store says, once those who are at a book that was discarded have left it. */
  const currentProgress = Effect.tap(store.progress, (all) =>
    Effect.forEach(all, ([agency, { edition }]) => noteEdition(agency, edition), { discard: true })
  ).pipe(Effect.tap((all) => noteTold(toldIn(all))))

  /** Somebody else changed who has finished or was told, or recorded the draw. */
  const seeChanges: Effect.Effect<void, StoreUnavailable> = Effect.gen(function* () {
    const undone = yield* standings.refresh(currentProgress)
    // A discard that failed halfway has left the book, but it counts no more as whole.
    yield* Effect.forEach(undone, turns.discarded, { discard: true })
    yield* holdDrawWhenAllFinished
  }).pipe(
    Effect.tapError((error) => logAction("sorteo", "fail", { error: error.message })),
    Effect.retry(WHILE_UNAVAILABLE)
  )

  const recordTold = Effect.fnUntraced(function* (agency: Agency) {
    yield* store.told(agency)
    yield* noteTold([agency])
  })

  const told = Effect.fnUntraced(function* (agency: Agency) {
    // However often an agency asks while the store cannot be used, it is recorded by one of them.
    if (!untold.has(agency) || recording.has(agency)) return
    recording.add(agency)
    yield* Effect.catchTag(recordTold(agency), "StoreUnavailable", (error) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, error: error.message }).pipe(
        // The agency is not kept waiting for it.
        Effect.andThen(Effect.retry(recordTold(agency), WHILE_UNAVAILABLE)),
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
    yield* Deferred.succeed(barrier, yield* store.winners(draw.winningNumber))
  } else {
    yield* holdDrawWhenAllFinished
  }
  yield* noteTold(toldIn(progress))

  yield* Effect.forkScoped(Stream.runForEach(store.changes, () => seeChanges))

  return Lottery.of({
    draw,
    admit: (agency) =>
      expected.has(agency) ? Effect.void : Effect.fail(new UnknownAgency({ agency, draw })),
    upload,
    attend,
    standing: Effect.sync(() => standings.now()),
    standingChangedFrom: standings.changedFrom,
    hasFinished: (agency) => standings.hasFinished(agency),
    winnersOf: (agency) =>
      Effect.flatMap(Deferred.await(barrier), (all) => {
        const winners = all.get(agency) ?? []
        return winners instanceof DamagedBet ? Effect.fail(winners) : Effect.succeed(winners)
      }),
    told,
    allTold: Deferred.await(everyoneTold)
  })
})
