/** The server as HTTP sees it: before its store is open, while it serves, and while it stops. */
import { Context, Effect, Layer, Option } from "effect"
import type { Memory } from "../../admission/MessageMemory.ts"
import type { Places } from "../../admission/Places.ts"
import type { Refusals } from "../../admission/Refusals.ts"
import { Lottery } from "../../lottery/Lottery.ts"
import { BetStore, type StoreUnavailable } from "../../store/BetStore.ts"
import type { StoreUrl } from "../../store/StoreUrl.ts"
import * as ServerStanding from "../ServerStanding.ts"
import type { HttpConnections } from "./HttpConnections.ts"
import * as LiveFeed from "./LiveFeed.ts"
import * as Metrics from "./Metrics.ts"
import * as ProcessFigures from "./ProcessFigures.ts"
import * as PublishedFiles from "./PublishedFiles.ts"
import * as SharedLook from "./SharedLook.ts"

export interface Serving {
  readonly lottery: Lottery["Service"]
  /** The standing of the draw as JSON; the bytes are shared by all who ask. */
  readonly standing: Effect.Effect<Uint8Array, StoreUnavailable>
  readonly metrics: Effect.Effect<Uint8Array>
  readonly feed: LiveFeed.LiveFeed
  /** Why no bets can be taken; none if they can. */
  readonly problem: Effect.Effect<Option.Option<string>>
  /** Undefined if nothing is published. */
  readonly published: PublishedFiles.PublishedFiles | undefined
}

export class Watched extends Context.Service<
  Watched,
  { readonly http: HttpConnections; state: "opening" | "stopping" | Serving }
>()("lottery/server/Watched") {}

/** The services that are shown. */
export type Shown = Lottery | BetStore | Places | Memory | Refusals

export interface Options {
  readonly version: string
  readonly store: StoreUrl["_tag"]
  /** Serves the seal and the result to all who can connect, once they exist. */
  readonly publishSeal: boolean
}

/** How long a store may take to answer before the server counts as not ready. */
const READY_TIMEOUT = "2 seconds"

/** Shows the server over HTTP from now until the scope closes. */
export const layer = ({ publishSeal, store: kind, version }: Options) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const watched = yield* Watched
      const store = yield* BetStore
      const lottery = yield* Lottery
      const { draw, overview } = lottery
      const info = { version, node: process.version, store: kind, draw: draw.id }
      const standing = yield* SharedLook.make(yield* ServerStanding.make(kind === "postgres"))
      const metrics = yield* Metrics.make(info, watched.http)
      yield* Effect.forkScoped(ProcessFigures.watchEventLoop)
      const reachable = store.draw.pipe(
        Effect.match({
          onSuccess: () => Option.none(),
          onFailure: () => Option.some(LiveFeed.STORE_UNAVAILABLE)
        }),
        Effect.timeoutOrElse({
          duration: READY_TIMEOUT,
          orElse: () => Effect.succeedSome(LiveFeed.STORE_SILENT)
        })
      )
      const problem = Effect.suspend(() => {
        const { state } = overview()
        return state === "taking bets" ? reachable : Effect.succeedSome(state)
      })
      const about = { version, publishesSeal: publishSeal }
      watched.state = {
        lottery,
        standing: yield* SharedLook.make(
          Effect.map(standing, (found) => Buffer.from(`${JSON.stringify(found)}\n`))
        ),
        metrics: yield* SharedLook.make(Effect.map(metrics, (lines) => Buffer.from(lines))),
        feed: yield* LiveFeed.make(standing, about, () => watched.http.boards.size > 0),
        problem: yield* SharedLook.make(problem),
        published: publishSeal ? yield* PublishedFiles.make(store) : undefined
      }
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          watched.state = "stopping"
        })
      )
    })
  )
