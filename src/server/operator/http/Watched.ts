/** The server as HTTP sees it: before its store is open, while it serves, and while it stops. */
import { Context, Effect, Layer, Option } from "effect"
import type { Memory } from "../../admission/MessageMemory.ts"
import type { Places } from "../../admission/Places.ts"
import type { Refusals } from "../../admission/Refusals.ts"
import { Lottery } from "../../lottery/Lottery.ts"
import { BetStore, type StoreUnavailable } from "../../store/BetStore.ts"
import type { DrawStanding } from "../DrawStanding.ts"
import * as ServerStanding from "../ServerStanding.ts"
import type { HttpConnections } from "./HttpConnections.ts"
import * as LiveFeed from "./LiveFeed.ts"
import * as Metrics from "./Metrics.ts"
import * as ProcessFigures from "./ProcessFigures.ts"

export interface Serving {
  readonly lottery: Lottery["Service"]
  /** The standing of the draw, at most `LOOK_MILLIS` old. */
  readonly standing: Effect.Effect<DrawStanding, StoreUnavailable>
  readonly metrics: Effect.Effect<string>
  readonly feed: LiveFeed.LiveFeed
  /** Why no bets can be taken; none if they can. */
  readonly problem: Effect.Effect<Option.Option<string>>
  readonly isBroken: () => boolean
}

export class Watched extends Context.Service<
  Watched,
  { readonly http: HttpConnections; state: "opening" | "stopping" | Serving }
>()("lottery/server/Watched") {}

/** The services that are shown. */
export type Shown = Lottery | BetStore | Places | Memory | Refusals

export interface Options {
  readonly version: string
  /** The kind of store, such as `sqlite`. */
  readonly store: string
  /** Whether several servers may share the store. */
  readonly isShared: boolean
}

/** Requests that come within this time get the same answer, which is made once. */
const LOOK_MILLIS = 250
/** How long a store may take to answer before the server counts as not ready. */
const READY_TIMEOUT = "2 seconds"

/** Shows the server over HTTP from now until the scope closes. */
export const layer = ({ isShared, store: kind, version }: Options) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const watched = yield* Watched
      const store = yield* BetStore
      const lottery = yield* Lottery
      const { draw, overview } = lottery
      const info = { version, node: process.version, store: kind, draw: draw.id }
      const standing = yield* Effect.cachedWithTTL(
        yield* ServerStanding.make(isShared),
        LOOK_MILLIS
      )
      const { http } = watched
      let isBroken = false
      yield* store.broken.pipe(
        Effect.catch(() =>
          Effect.sync(() => {
            isBroken = true
          })
        ),
        Effect.forkScoped
      )
      yield* Effect.forkScoped(ProcessFigures.watchEventLoop)
      const reachable = store.draw.pipe(
        Effect.match({
          onSuccess: () => Option.none(),
          onFailure: () => Option.some(LiveFeed.STORE_UNAVAILABLE)
        }),
        Effect.timeoutOrElse({
          duration: READY_TIMEOUT,
          orElse: () => Effect.succeedSome("the store does not answer")
        })
      )
      const problem = Effect.suspend(() => {
        if (isBroken) return Effect.succeedSome("the store is broken")
        const { state } = overview()
        return state === "taking bets" ? reachable : Effect.succeedSome(state)
      })
      watched.state = {
        lottery,
        standing,
        metrics: yield* Effect.cachedWithTTL(yield* Metrics.make(info, http), LOOK_MILLIS),
        feed: yield* LiveFeed.make(standing, version, () => http.boards.size > 0),
        problem: yield* Effect.cachedWithTTL(problem, LOOK_MILLIS),
        isBroken: () => isBroken
      }
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          watched.state = "stopping"
        })
      )
    })
  )
