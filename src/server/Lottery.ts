/**
 * The lottery itself: takes in the agencies' books, one writer an agency; waits at the barrier
 * until every agency has finished; holds the draw once; tells each agency its own winners.
 */
import { Context, Data, Deferred, Effect, Layer, Schedule, type Scope, Semaphore } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import { type Draw, describeAgencies, type WinningDocuments } from "../domain/Draw.ts"
import { BetStore, type DrawMismatch, type StoreBroken, type StoreUnavailable } from "./BetStore.ts"
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
    /** Checks that an agency takes part. */
    readonly admit: (agency: Agency) => Effect.Effect<void, UnknownAgency>

    /**
     * Begins an agency's upload on a new connection. With its first accepted batch it takes the
     * agency over: whoever had it fails with `Superseded` at its `onSuperseded`.
     */
    readonly upload: (
      agency: Agency,
      onSuperseded: Deferred.Deferred<never, Upload.Superseded>
    ) => Effect.Effect<Upload.Upload, never, Scope.Scope>

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

/** The upload that has an agency's turn. */
interface Writer {
  current: Deferred.Deferred<never, Upload.Superseded> | undefined
  readonly commit: Semaphore.Semaphore
}

const make = Effect.fnUntraced(function* (draw: Draw) {
  const store = yield* BetStore
  const { recorded } = yield* store.openDraw(draw)
  const progress = yield* store.progress
  const expected: ReadonlySet<Agency> = new Set(draw.agencies)
  const unfinished = new Set(draw.agencies.filter((agency) => !progress.get(agency)?.finished))
  const untold = new Set(draw.agencies.filter((agency) => !progress.get(agency)?.told))
  const writers = new Map<Agency, Writer>()
  const barrier = yield* Deferred.make<ReadonlyMap<Agency, WinningDocuments>>()
  const everyoneTold = yield* Deferred.make<void>()
  const scope = yield* Effect.scope

  const holdDraw = Effect.gen(function* () {
    if (yield* store.recordDraw) yield* logAction("sorteo", "success")
    yield* Deferred.succeed(barrier, yield* store.winners(draw.winningNumber))
  }).pipe(
    Effect.tapError((error) => logAction("sorteo", "fail", { error: error.message })),
    // An agency that has not finished after all is one whose book is gone: it is waited for again.
    Effect.tapErrorTag("NotAllFinished", ({ missing }) =>
      Effect.sync(() => {
        for (const agency of missing) unfinished.add(agency)
      })
    ),
    // A broken store ends the server by itself.
    Effect.retry(WHILE_UNAVAILABLE),
    Effect.ignore
  )
  const holdDrawWhenAllFinished = Effect.suspend(() =>
    unfinished.size === 0 ? Effect.forkIn(holdDraw, scope) : Effect.void
  )

  const writerOf = (agency: Agency): Writer => {
    const known = writers.get(agency)
    if (known !== undefined) return known
    const writer = { current: undefined, commit: Semaphore.makeUnsafe(1) }
    writers.set(agency, writer)
    return writer
  }

  const upload = Effect.fnUntraced(function* (
    agency: Agency,
    onSuperseded: Deferred.Deferred<never, Upload.Superseded>
  ) {
    const writer = writerOf(agency)
    const isHeld = () => writer.current === onSuperseded
    const take = Effect.suspend(() => {
      const previous = writer.current
      writer.current = onSuperseded
      return previous === undefined
        ? Effect.void
        : Deferred.fail(previous, new Upload.Superseded({ agency }))
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (isHeld()) writer.current = undefined
      })
    )
    const begun = yield* Upload.make(agency, { take, isHeld, commit: writer.commit }, store)
    const storeAndDraw = (batch: BetBatch, last: boolean) =>
      Effect.tap(begun.store(batch, last), () =>
        last && unfinished.delete(agency) ? holdDrawWhenAllFinished : Effect.void
      ).pipe(Effect.uninterruptible)
    return { ...begun, store: storeAndDraw } satisfies Upload.Upload
  })

  const recordTold = Effect.fnUntraced(function* (agency: Agency) {
    if (!untold.has(agency)) return
    yield* store.told(agency)
    untold.delete(agency)
    if (untold.size === 0) yield* Deferred.succeed(everyoneTold, undefined)
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
  if (untold.size === 0) yield* Deferred.succeed(everyoneTold, undefined)

  return Lottery.of({
    admit: (agency) =>
      expected.has(agency) ? Effect.void : Effect.fail(new UnknownAgency({ agency, draw })),
    upload,
    winnersOf: (agency) =>
      Effect.map(Deferred.await(barrier), (winners) => winners.get(agency) ?? []),
    told,
    allTold: Deferred.await(everyoneTold)
  })
})
