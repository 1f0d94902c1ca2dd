/**
 * Serves HTTP next to the ports of the agencies (docs/http.md): health, metrics, the standing and
 * the live board. Loaded only if the server is asked for it.
 */
import * as NodeHttp from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import { logAction } from "../../../domain/ActionLog.ts"
import { loggedResource } from "../../../domain/LoggedResource.ts"
import { isLoopback } from "../../../protocol/Loopback.ts"
import { listenErrorOf } from "../../admission/ListenError.ts"
import * as BoardFiles from "./BoardFiles.ts"
import * as HttpConnections from "./HttpConnections.ts"
import { guard } from "./HttpGuard.ts"
import * as HttpRoutes from "./HttpRoutes.ts"
import * as Watched from "./Watched.ts"

export interface Options extends Watched.Options {
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  /** Names of the server besides loopback, in lower case. */
  readonly hosts: ReadonlyArray<string>
  /** The folder with the files of the board. */
  readonly boardFolder?: string
  /** By default `SILENCE_MILLIS`. */
  readonly silenceMillis?: number
}

/** What one connection may cost; times are in milliseconds. */
const LIMITS = {
  maxHeaderSize: 8 * 1024,
  /** From the first byte to the end of the headers, and of the request. */
  headersTimeout: 5000,
  requestTimeout: 5000,
  connectionsCheckingInterval: 1000,
  /** Two `Host` headers become one that names no host. */
  joinDuplicateHeaders: true,
  /** A request to upgrade is answered as an ordinary one. */
  shouldUpgradeCallback: () => false
} satisfies NodeHttp.ServerOptions
/** Closes a connection on which nothing moves, such as that of a board that does not read. */
const SILENCE_MILLIS = 30_000

const CLOSE_TIMEOUT = "1 second"

const warnIfPublic = (host: string) =>
  isLoopback(host)
    ? Effect.void
    : Effect.logWarning(
        `HTTP listens on ${host}: all who can connect to it can watch the draw, without encryption`
      )

const makeServer = (silenceMillis: number): NodeHttp.Server => {
  const server = NodeHttp.createServer(LIMITS)
  server.maxConnections = HttpConnections.MAX_CONNECTIONS
  // Every answer closes its connection (HttpGuard.ts).
  server.maxRequestsPerSocket = 1
  server.on("dropRequest", (_, socket) => socket.destroy())
  server.timeout = silenceMillis
  return server
}

const listen = Effect.fnUntraced(function* (given: Options) {
  const { boardFolder, host, hosts, port, silenceMillis = SILENCE_MILLIS } = given
  const server = makeServer(silenceMillis)
  const http = yield* HttpConnections.make(server)
  const watched = Watched.Watched.of({ http, state: "opening" })
  const routes = yield* HttpRouter.toHttpEffect(
    HttpRoutes.layer(boardFolder ?? BoardFiles.COMMAND_FOLDER)
  ).pipe(Effect.provideService(Watched.Watched, watched))
  // With the library's own shutdown an open board would delay a stop by 20 s.
  const options = { host, port, disablePreemptiveShutdown: true }
  const listening = yield* NodeHttpServer.make(() => server, options).pipe(
    Effect.mapError(({ cause }) => listenErrorOf({ host, port }, cause))
  )
  yield* listening.serve(guard(routes, new Set(hosts)))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of http.sockets) socket.destroy()
    })
  )
  yield* logAction("listen_http", "success", { url: HttpServer.formatAddress(listening.address) })
  yield* warnIfPublic(host)
  return watched
})

/** Serves HTTP around a server: from before it opens its store until after it has closed it. */
export const around = <A, E, R>(server: Layer.Layer<Watched.Shown | A, E, R>, options: Options) =>
  Watched.layer(options).pipe(
    Layer.provideMerge(server),
    Layer.provideMerge(
      Layer.effect(Watched.Watched, loggedResource("http", listen(options), CLOSE_TIMEOUT))
    )
  )
