/** A server in this process on free ports, with a real store in a folder that is then removed. */
import { Context, Effect, Layer, Logger } from "effect"
import { ActionLine } from "../../src/domain/ActionLog.ts"
import { Draw, type ExpectedAgencies } from "../../src/domain/Draw.ts"
import { BetStore } from "../../src/server/BetStore.ts"
import { Lottery } from "../../src/server/Lottery.ts"
import * as Server from "../../src/server/Server.ts"
import { ServerLimits } from "../../src/server/ServerLimits.ts"
import * as StoreUrl from "../../src/server/store/StoreUrl.ts"

/** Limits that tests can wait for. */
export const shortLimits: ServerLimits = {
  firstByteTimeout: "300 millis",
  dialectTimeout: "300 millis",
  lingerTimeout: "200 millis",
  connectionsCloseTimeout: "2 seconds",
  listenerCloseTimeout: "1 second"
}

export interface TestServer extends Server.Listening {
  readonly store: BetStore["Service"]
  readonly lottery: Lottery["Service"]
  /** The log so far, as lines. */
  readonly log: ReadonlyArray<string>
}

/** Starts a server for these agencies; it stops when the scope closes. */
export const start = Effect.fnUntraced(function* (
  store: StoreUrl.StoreUrl,
  agencies: ExpectedAgencies,
  winningNumber = 7574
) {
  const log: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    for (const part of Array.isArray(message) ? message : [message]) {
      log.push(part instanceof ActionLine ? part.toString() : String(part))
    }
  })
  const draw = new Draw({ id: "default", agencies, winningNumber })
  const layer = Lottery.layer(draw).pipe(
    Layer.provideMerge(StoreUrl.layer(store, draw.id)),
    Layer.provideMerge(Logger.layer([logger]))
  )
  const services = yield* Layer.build(layer)
  const options = { host: "127.0.0.1", port: 0, winnersPort: 0, backlog: 511 }
  const listening = yield* Server.listen(options).pipe(
    Effect.tap(Server.start),
    Effect.provideService(ServerLimits, shortLimits),
    Effect.provideContext(services)
  )
  return {
    ...listening,
    log,
    store: Context.get(services, BetStore),
    lottery: Context.get(services, Lottery)
  } satisfies TestServer
})
