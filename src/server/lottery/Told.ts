/** Which agencies have received their winners, and the durable record of it. */
import { Effect, Latch } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { BetStore } from "../store/BetStore.ts"
import { UNLESS_BROKEN } from "./StoreRetry.ts"

export const make = Effect.fnUntraced(function* (agencies: ReadonlyArray<Agency>) {
  const store = yield* BetStore
  const scope = yield* Effect.scope
  const untold = new Set(agencies)
  const recording = new Set<Agency>()
  const everyoneTold = yield* Latch.make()

  const noteAllTold = Effect.suspend(() => (untold.size === 0 ? everyoneTold.open : Effect.void))

  const record = Effect.fnUntraced(function* (agency: Agency) {
    yield* store.told(agency)
    untold.delete(agency)
    yield* noteAllTold
  })

  /** Records that an agency received its winners; retries while the store is unavailable. */
  const told = Effect.fnUntraced(function* (agency: Agency) {
    // An agency may ask again while the store is unavailable, but one fiber is enough to record it.
    if (!untold.has(agency) || recording.has(agency)) return
    recording.add(agency)
    yield* Effect.catchTag(record(agency), "StoreUnavailable", (error) =>
      logAction("consulta_ganadores", "fail", { agencia: agency, error: error.message }).pipe(
        // In the background, so that the agency does not have to wait.
        Effect.andThen(Effect.retry(record(agency), UNLESS_BROKEN)),
        Effect.ignore,
        Effect.forkIn(scope)
      )
    )
  })

  return {
    told,
    allTold: everyoneTold.await,
    untoldCount: () => untold.size,
    /** Takes off an agency that the store knows as told, or that is excluded. */
    takeOff: (agency: Agency) => untold.delete(agency),
    /** Runs after agencies were taken off. */
    noteAllTold
  }
})
