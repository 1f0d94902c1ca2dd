/** An in-process server on free ports with a real store. */
import { Context, Duration, Effect, Layer, Logger } from "effect"
import { ActionLine } from "../../../src/domain/ActionLog.ts"
import {
  Draw,
  type ExpectedAgencies,
  fixedNumber,
  type NumberSource
} from "../../../src/domain/Draw.ts"
import type { FileUnavailable } from "../../../src/domain/FileUnavailable.ts"
import { type SealKey, showKey } from "../../../src/protocol/notes/SignedNote.ts"
import { CurrentTls, type ServerTls } from "../../../src/server/admission/Certificates.ts"
import { Identity } from "../../../src/server/admission/Identity.ts"
import type { ListenError } from "../../../src/server/admission/ListenError.ts"
import type { Memory } from "../../../src/server/admission/MessageMemory.ts"
import type { Places } from "../../../src/server/admission/Places.ts"
import type { Refusals } from "../../../src/server/admission/Refusals.ts"
import { defaultLimits, ServerLimits } from "../../../src/server/admission/ServerLimits.ts"
import { Lottery } from "../../../src/server/lottery/Lottery.ts"
import { Server } from "../../../src/server/Server.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"

/** What `Http.around` needs, and what it leaves in place. */
type Serving = Server | Lottery | BetStore | Places | Memory | Refusals
type Wrap = <E, R>(
  server: Layer.Layer<Serving, E, R>
) => Layer.Layer<Serving, E | FileUnavailable | ListenError, R>

/** Limits short enough for tests. */
export const shortLimits: ServerLimits = {
  ...defaultLimits,
  firstByteTimeout: Duration.millis(300),
  dialectTimeout: Duration.millis(300),
  farewellTimeout: Duration.seconds(2),
  lingerTimeout: Duration.millis(200),
  connectionsCloseTimeout: Duration.seconds(2),
  listenerCloseTimeout: Duration.seconds(1)
}

export interface TestServer extends Readonly<Context.Service.Shape<typeof Server>> {
  readonly store: BetStore["Service"]
  readonly lottery: Lottery["Service"]
  readonly log: ReadonlyArray<string>
}

export interface Options {
  /** Overrides of `shortLimits`. */
  readonly limits?: Partial<ServerLimits>
  readonly host?: string
  readonly tls?: ServerTls
  /** By default peers need no identity. */
  readonly identity?: Identity["Service"]
  /** By default the winning number is fixed. */
  readonly source?: NumberSource
  /** By default the draw has no close time. */
  readonly closeAt?: number
  readonly drawId?: string
  /** Seals the draw. */
  readonly sealKey?: SealKey
  /** Wraps the store to add a deliberate bug. */
  readonly flaw?: (store: BetStore["Service"]) => BetStore["Service"]
  /** Puts something around the server, such as HTTP. */
  readonly wrap?: Wrap
}

/** Starts a server; it stops when the scope closes. */
export const start = Effect.fnUntraced(function* (
  store: StoreUrl.StoreUrl,
  agencies: ExpectedAgencies,
  winningNumber = 7574,
  {
    closeAt,
    drawId = "default",
    flaw = (flawless) => flawless,
    host = "127.0.0.1",
    identity = { certificates: false, tokens: undefined },
    limits = {},
    sealKey,
    source = fixedNumber(winningNumber),
    tls,
    wrap = (server) => server
  }: Options = {}
) {
  const log: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    for (const part of Array.isArray(message) ? message : [message]) {
      log.push(part instanceof ActionLine ? part.toString() : String(part))
    }
  })
  const sealed = sealKey && { sealKey: showKey(sealKey.verifier) }
  const terms = { agencies, source, ...(closeAt !== undefined && { closeAt }), ...sealed }
  const draw = new Draw({ id: drawId, ...terms })
  const options = { host, port: 0, winnersPort: 0, backlog: 511 }
  const serving = Server.layer(options).pipe(
    Layer.provideMerge(Lottery.layer(draw, { sealKey, drandUrls: [] })),
    Layer.provideMerge(Layer.effect(BetStore, Effect.map(BetStore, flaw))),
    Layer.provide(StoreUrl.layer(store, draw.id))
  )
  const layer = wrap(serving).pipe(
    Layer.provide(Layer.succeed(Identity, identity)),
    Layer.provide(Layer.succeed(CurrentTls, tls)),
    Layer.provide(Layer.succeed(ServerLimits, { ...shortLimits, ...limits })),
    Layer.provideMerge(Logger.layer([logger]))
  )
  const services = yield* Layer.build(layer)
  return {
    ...Context.get(services, Server),
    log,
    store: Context.get(services, BetStore),
    lottery: Context.get(services, Lottery)
  } satisfies TestServer
})
