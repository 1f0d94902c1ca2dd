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
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import { type Draw, describeAgencies, type WinningDocuments } from "../domain/Draw.ts"
import {
  type AgencyProgress,
  BetStore,
  type DrawMismatch,
  type StoreBroken,
  type StoreUnavailable
} from "./BetStore.ts"
import * as BookDigest from "./BookDigest.ts"
import * as ResumedUpload from "./ResumedUpload.ts"
import { type Standing, Standings } from "./Standing.ts"
import { makeTurns, type OnLeave } from "./Turn.ts"
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

    /**
     * Begins an agency's upload from the start of its book on a new connection. With its first
     * accepted batch it takes the agency over: whoever had it fails at its `onLeave`.
     */
    readonly upload: (
      agency: Agency,
      onLeave: OnLeave
    ) => Effect.Effect<Upload.Upload, StoreUnavailable, Scope.Scope>

    /** Goes on with an agency's upload where its book ends; takes the agency over at once. */
    readonly resume: (
      agency: Agency,
      onLeave: OnLeave
    ) => Effect.Effect<ResumedUpload.ResumedUpload, StoreUnavailable, Scope.Scope>

    /** Waits at an agency's book without writing it: a discard sends away who does, too. */
    readonly attend: (agency: Agency, onLeave: OnLeave) => Effect.Effect<void, never, Scope.Scope>

    /** How many agencies have finished. */
    readonly standing: Effect.Effect<Standing>

    /** Waits until the standing is another than `known`. */
    readonly standingChangedFrom: (known: Standing) => Effect.Effect<void>

    /** Whether an agency's book is whole; it is no more once it was discarded. */
    readonly hasFinished: (agency: Agency) => boolean

    /** Waits at the barrier until the draw is held, and gives the agency's own winners. */
    readonly winnersOf: (agency: Agency) => Effect.Effect<WinningDocuments>

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
  const turns = makeTurns()
  const editions = new Map(Array.from(progress, ([agency, { edition }]) => [agency, edition]))
  const digests = new Map<Agency, BookDigest.BookDigest>()
  const barrier = yield* Deferred.make<ReadonlyMap<Agency, WinningDocuments>>()
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
    Effect.flatMap(store.progressOf(agency), ({ edition }) => noteEdition(agency, edition))

  const upload = Effect.fnUntraced(function* (agency: Agency, onLeave: OnLeave) {
    yield* noteCurrentEdition(agency)
    const turn = yield* turns.of(agency, onLeave)
    const begun = yield* Upload.make(agency, turn, store)
    const storeAndDraw = (batch: BetBatch, last: boolean) =>
      begun.store(batch, last).pipe(
        Effect.tap(() => (last ? noteFinished(agency) : Effect.void)),
        Effect.uninterruptible
      )
    return { ...begun, store: storeAndDraw } satisfies Upload.Upload
  })

  const attend = Effect.fnUntraced(function* (agency: Agency, onLeave: OnLeave) {
    // Where the store cannot say it, whoever waits for the draw is not refused for that.
    yield* Effect.catchTag(noteCurrentEdition(agency), "StoreUnavailable", () => Effect.void)
    yield* turns.of(agency, onLeave)
  })

  const digestOf = (agency: Agency): BookDigest.BookDigest => {
    const known = digests.get(agency)
    if (known !== undefined) return known
    const digest = BookDigest.make(agency, store)
    digests.set(agency, digest)
    return digest
  }

  const resume = Effect.fnUntraced(function* (agency: Agency, onLeave: OnLeave) {
    yield* noteCurrentEdition(agency)
    const turn = yield* turns.of(agency, onLeave)
    const resumed = yield* ResumedUpload.make(agency, turn, digestOf(agency), store)
    // It may have finished at another server.
    if (resumed.hasFinished()) yield* noteFinished(agency)
    const finishAndDraw = (bets: number, sha256: string) =>
      resumed.finish(bets, sha256).pipe(
        Effect.tap(() => noteFinished(agency)),
        Effect.uninterruptible
      )
    return { ...resumed, finish: finishAndDraw } satisfies ResumedUpload.ResumedUpload
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
    if (!untold.has(agency)) return
    yield* store.told(agency)
    yield* noteTold([agency])
  })

  const told = (agency: Agency) =>
    Effect.catchTag(recordTold(agency), "StoreUnavailable", (error) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, error: error.message }).pipe(
        // The agency is not kept waiting for it.
        Effect.andThen(Effect.retry(recordTold(agency), WHILE_UNAVAILABLE)),
        Effect.ignore,
        Effect.forkIn(scope)
      )
    )

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
    resume,
    attend,
    standing: Effect.sync(() => standings.now()),
    standingChangedFrom: standings.changedFrom,
    hasFinished: (agency) => standings.hasFinished(agency),
    winnersOf: (agency) =>
      Effect.map(Deferred.await(barrier), (winners) => winners.get(agency) ?? []),
    told,
    allTold: Deferred.await(everyoneTold)
  })
})
