/**
 * The lottery itself: takes in the agencies' books, one writer an agency; waits at the barrier
 * until every agency has finished; holds the draw once; tells each agency its own winners.
 */
import { Context, Data, Deferred, Effect, Layer, Schedule, type Scope, Semaphore } from "effect"
import { logAction } from "../domain/ActionLog.ts"
import type { Agency } from "../domain/Agency.ts"
import type { Draw, WinningDocuments } from "../domain/Draw.ts"
import { BetStore, type DrawMismatch, type StoreBroken, type StoreUnavailable } from "./BetStore.ts"
import * as Upload from "./Upload.ts"

/** The agency does not take part in this draw. */
export class UnknownAgency extends Data.TaggedError("UnknownAgency")<{
  readonly agency: Agency
  readonly draw: Draw
}> {
  override get message(): string {
    const { agencies } = this.draw
    const expected =
      agencies.length > 10
        ? `${agencies.slice(0, 10).join(", ")} and ${agencies.length - 10} more`
        : agencies.join(", ")
    return `agency ${this.agency} does not take part in the draw, expected one of ${expected}`
  }
}

/** How long to wait before a draw that the store could not record is tried again. */
const DRAW_RETRY = Schedule.spaced("1 second")

export class Lottery extends Context.Service<
  Lottery,
  {
    /** Checks that an agency takes part. */
    readonly admit: (agency: Agency) => Effect.Effect<void, UnknownAgency>

    /**
     * Takes over the agency for a new connection: whoever had it fails with `Superseded` at its
     * `onSuperseded`, and the newcomer begins once the other's commit has settled.
     */
    readonly takeOver: (
      agency: Agency,
      onSuperseded: Deferred.Deferred<never, Upload.Superseded>
    ) => Effect.Effect<Upload.Upload, StoreUnavailable, Scope.Scope>

    /** Waits at the barrier until the draw is held, and gives the agency's own winners. */
    readonly winnersOf: (agency: Agency) => Effect.Effect<WinningDocuments>

    /** Notes that the agency got its winners. */
    readonly told: (agency: Agency) => Effect.Effect<void, StoreUnavailable | StoreBroken>

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
    const first = yield* store.recordDraw
    const winners = yield* store.winners(draw.winningNumber)
    if (first) yield* logAction("sorteo", "success")
    yield* Deferred.succeed(barrier, winners)
  }).pipe(
    Effect.tapError((error) => logAction("sorteo", "fail", { error: error.message })),
    // A broken store ends the server by itself, and an agency missing is a store that went back.
    Effect.retry({ schedule: DRAW_RETRY, while: (error) => error._tag === "StoreUnavailable" }),
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

  const takeOver = Effect.fnUntraced(function* (
    agency: Agency,
    onSuperseded: Deferred.Deferred<never, Upload.Superseded>
  ) {
    const writer = writerOf(agency)
    const previous = writer.current
    writer.current = onSuperseded
    if (previous !== undefined) {
      yield* Deferred.fail(previous, new Upload.Superseded({ agency }))
    }
    const turn = { isHeld: () => writer.current === onSuperseded, commit: writer.commit }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (turn.isHeld()) writer.current = undefined
      })
    )
    const upload = yield* Upload.make(agency, turn, store)
    return {
      ...upload,
      finish: Effect.gen(function* () {
        yield* upload.finish
        if (unfinished.delete(agency)) yield* holdDrawWhenAllFinished
      }).pipe(Effect.uninterruptible)
    }
  })

  const told = Effect.fnUntraced(function* (agency: Agency) {
    if (!untold.has(agency)) return
    yield* store.told(agency)
    untold.delete(agency)
    if (untold.size === 0) yield* Deferred.succeed(everyoneTold, undefined)
  })

  if (recorded) {
    yield* Deferred.succeed(barrier, yield* store.winners(draw.winningNumber))
  } else {
    yield* holdDrawWhenAllFinished
  }
  if (untold.size === 0) yield* Deferred.succeed(everyoneTold, undefined)

  return Lottery.of({
    admit: (agency) =>
      expected.has(agency) ? Effect.void : Effect.fail(new UnknownAgency({ agency, draw })),
    takeOver,
    winnersOf: (agency) =>
      Effect.map(Deferred.await(barrier), (winners) => winners.get(agency) ?? []),
    told,
    allTold: Deferred.await(everyoneTold)
  })
})
