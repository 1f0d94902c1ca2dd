/** Looks at how far a draw has got: asks the server that has the store open, or reads the store. */
import { Clock, Context, Effect, Layer, Option, RcRef } from "effect"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import * as ControlClient from "../../server/operator/control/ControlClient.ts"
import * as DrawStanding from "../../server/operator/DrawStanding.ts"
import * as LookActivity from "../../server/operator/LookActivity.ts"
import { BetStoreReader } from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import type { Target } from "./ActPreview.ts"
import * as StoredState from "./StoredState.ts"

/** Makes a look that can be repeated. `isServed` tells whether a server answered. */
export const make = Effect.fnUntraced(function* ({ draw, store }: Target) {
  let liveOf = LookActivity.make()
  // Only a connection to PostgreSQL is worth keeping. A reader of a CSV store shows the store as it
  // was opened, and so does one of an SQLite store that this user may not write to.
  const reader = yield* RcRef.make({
    acquire: Effect.map(
      Layer.build(StoreUrl.layerReader(store, draw)),
      Context.get(BetStoreReader)
    ),
    idleTimeToLive: store._tag === "postgres" ? "Infinity" : undefined
  })
  const readStore = Effect.gen(function* () {
    const stored = yield* RcRef.get(reader).pipe(
      Effect.flatMap((books) => StoredState.read(books, draw)),
      Effect.tapError(() => RcRef.invalidate(reader)),
      Effect.scoped
    )
    const at = yield* Clock.currentTimeMillis
    return DrawStanding.make(stored, at, liveOf(at, yield* monotonicMillis))
  })
  return Effect.gen(function* () {
    const answer = yield* ControlClient.standing(store, draw)
    const isServed = Option.isSome(answer)
    // What earlier looks at the store found is too old for the next one.
    if (isServed) liveOf = LookActivity.make()
    return { standing: isServed ? answer.value : yield* readStore, isServed }
  })
})
