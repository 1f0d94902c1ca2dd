/** `lottery server`: takes the bets, holds the draw and sends the winners. */
import { setFlagsFromString } from "node:v8"
import { Effect, Layer, Option, References } from "effect"
import { CliError, Command } from "effect/cli"
import packageJson from "../../../package.json" with { type: "json" }
import { logAction } from "../../domain/ActionLog.ts"
import { Draw } from "../../domain/Draw.ts"
import { loggedResource } from "../../domain/LoggedResource.ts"
import { type SealKey, showKey } from "../../protocol/notes/SignedNote.ts"
import { CurrentTls } from "../../server/admission/Certificates.ts"
import { Identity } from "../../server/admission/Identity.ts"
import { defaultLimits, ServerLimits } from "../../server/admission/ServerLimits.ts"
import { Lottery } from "../../server/lottery/Lottery.ts"
import { EXPECTED_COLLECTOR, parseCollector } from "../../server/operator/Collector.ts"
import * as ControlServer from "../../server/operator/control/ControlServer.ts"
import { ControlSocket } from "../../server/operator/control/ControlSocket.ts"
import * as Server from "../../server/Server.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import { withinOpenFiles } from "../process/OpenFiles.ts"
import { LogLevelFlag } from "../settings/LogSettings.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as DrawSettings from "../settings/server/DrawSettings.ts"
import * as HttpSettings from "../settings/server/HttpSettings.ts"
import * as LimitSettings from "../settings/server/LimitSettings.ts"
import * as SealSettings from "../settings/server/SealSettings.ts"
import * as ServerIdentity from "../settings/server/ServerIdentity.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const MAX_BACKLOG = 65_535
/**
 * Time for the store to clean up when the server stops; acknowledged bets are already durable. With
 * the timeouts for connections and ports it fits in the 10 s before Docker kills a container.
 */
export const STORE_CLOSE_TIMEOUT = "3 seconds"

export const settings = {
  host: Setting.withDefault("host", "<host>", {
    description: "Address to listen on",
    schema: SettingText.Host,
    default: "0.0.0.0"
  }),
  port: Setting.withDefault("port", "<port>", {
    description: "Port for the agencies; 0 picks a free one",
    schema: SettingText.Port,
    keys: ["SERVER_PORT"],
    default: sharedSettings.DEFAULT_PORT
  }),
  winnersPort: Setting.optional("winners-port", "<port>", {
    description: "Port where JSON clients ask for their winners",
    shownDefault: "port + 1",
    schema: SettingText.Port,
    keys: ["CONSULT_SERVER_PORT"]
  }),
  backlog: Setting.withDefault("backlog", "<number>", {
    description: "Maximum pending connections per port",
    schema: SettingText.intBetween(1, MAX_BACKLOG),
    keys: ["SERVER_LISTEN_BACKLOG"],
    default: 4096
  }),
  serverIp: Setting.optional("server-ip", "<host>", {
    description: "Server name in the course's settings file; logged but not used otherwise",
    schema: SettingText.Text,
    keys: ["SERVER_IP"]
  }),
  agencies: sharedSettings.agencies,
  store: StoreSetting.store,
  terms: DrawSettings.settings,
  seal: SealSettings.settings,
  once: Setting.flag("once", "Exit when every agency has its winners"),
  http: HttpSettings.settings,
  otlp: Setting.optional("otlp", "<url>", {
    description: "Export traces to the OpenTelemetry collector at this URL, by OTLP over HTTP",
    schema: SettingText.fromText(EXPECTED_COLLECTOR, parseCollector),
    keys: ["OTEL_EXPORTER_OTLP_ENDPOINT"],
    secret: true
  }),
  identity: ServerIdentity.settings,
  limits: LimitSettings.settings
}

/**
 * How far V8 lets the heap grow before it collects garbage again, as a percentage of what was in
 * use after the last collection. By default that is 8 MiB for a heap as small as the server's,
 * whose garbage is buffers of bets: marking it that often takes 8 % more of the server's time.
 * Higher values save little more, and take more memory.
 *
 * Node warns that a flag which is set after V8 has started may do anything. V8 reads this one each
 * time that it computes the limit, and keeps nothing that depends on it.
 */
const HEAP_GROWING_PERCENT = 300

type Given = Command.Command.Config.Infer<typeof settings>

/** Where to listen. If the system chooses the port, it chooses the winners port too. */
const portsOf = Effect.fnUntraced(function* ({ backlog, host, port, ...given }: Given) {
  const next = port === 0 ? Effect.succeed(0) : sharedSettings.nextPort(port, "winners-port")
  const winnersPort = yield* Option.match(given.winnersPort, {
    onNone: () => next,
    onSome: Effect.succeed
  })
  const http = Option.getOrUndefined(given.http.http)?.port ?? 0
  const named = Object.entries({ port, "winners-port": winnersPort, http })
  const ports = named.filter(([, number]) => number !== 0)
  for (const [name, number] of ports) {
    const first = ports.find(([, other]) => other === number)?.[0]
    if (first === name) continue
    const message = `${first} and ${name} are both ${number}: expected two different ports`
    return yield* new CliError.ValidationError({ message })
  }
  return { host, port, winnersPort, backlog }
})

/** The lottery, what it answers to operators, and its store, which closes last. */
const lotteryLayer = (draw: Draw, sealKey: SealKey | undefined, { store, terms }: Given) => {
  const { drandUrl } = terms
  const options = { sealKey, ...(Option.isSome(drandUrl) && { drandUrls: drandUrl.value }) }
  const layer = ControlServer.layer.pipe(
    Layer.provideMerge(Lottery.layer(draw, options)),
    Layer.provideMerge(StoreUrl.layerLocked(draw.id)),
    Layer.provideMerge(ControlSocket.layer),
    Layer.provideMerge(StoreUrl.layerLock(store))
  )
  return Layer.effectContext(loggedResource("store", Layer.build(layer), STORE_CLOSE_TIMEOUT))
}

/** Loaded on demand: Effect's HTTP server is slow to load. */
const loadHttp = Effect.promise(() => import("../../server/operator/http/Http.ts"))

/** Spans that nobody collects would take 0.4 KB of each connection. */
const NO_TRACES = {
  tracer: Layer.succeed(References.TracerEnabled, false),
  flush: Layer.empty
}

/** Loads the exporter only if there is a collector: it is large. */
const tracesOf = Effect.fnUntraced(function* ({ otlp }: Given, draw: Draw) {
  if (Option.isNone(otlp)) return NO_TRACES
  const { make } = yield* Effect.promise(() => import("../../server/operator/Traces.ts"))
  return yield* make(otlp.value, draw.id)
})

export const server = Command.make(
  "server",
  settings,
  Effect.fnUntraced(function* (given) {
    const { agencies, host, once, store, terms } = given
    yield* Effect.sync(() => setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`))
    const opened = yield* DrawSettings.read(agencies, terms)
    const ports = yield* portsOf(given)
    const http = yield* HttpSettings.read(given.http)
    const sealKey = yield* SealSettings.read(given.seal, {
      hasDraw: Option.isSome(terms.draw),
      hasHttp: http !== undefined
    })
    const draw = sealKey ? new Draw({ ...opened, sealKey: showKey(sealKey.verifier) }) : opened
    const { identity, tls } = yield* ServerIdentity.make(given.identity)
    const limits = yield* withinOpenFiles({ ...defaultLimits, ...given.limits }, http !== undefined)
    yield* logAction("config", "success", {
      port: ports.port,
      listen_backlog: ports.backlog,
      logging_level: yield* LogLevelFlag,
      server_ip: Option.getOrUndefined(given.serverIp),
      winners_port: ports.winnersPort,
      host,
      agencies: SettingText.showAgencies(agencies),
      store: StoreUrl.show(store),
      ...DrawSettings.fieldsOf(draw, terms),
      once,
      http: http && SettingText.showAddress(http),
      tls: tls !== undefined,
      certificates: identity.certificates,
      tokens: identity.tokens !== undefined,
      publish_seal: given.seal.publishSeal || undefined,
      otlp: Option.getOrUndefined(given.otlp)?.url
    })
    yield* ServerIdentity.warnIfOpen(host, { identity, tls })
    yield* Server.tryPorts(ports)
    const admission = Layer.mergeAll(
      Layer.succeed(Identity, identity),
      Layer.succeed(CurrentTls, tls),
      Layer.succeed(ServerLimits, limits)
    )
    const traces = yield* tracesOf(given, draw)
    const listening = Server.Server.layer(ports).pipe(
      // The last spans are sent while the store closes, which has the longest timeout.
      Layer.provideMerge(traces.flush),
      Layer.provideMerge(lotteryLayer(draw, sealKey, given)),
      Layer.provide([admission, traces.tracer])
    )
    const watched =
      http === undefined
        ? listening
        : (yield* loadHttp).around(listening, {
            ...http,
            version: packageJson.version,
            store: store._tag,
            publishSeal: given.seal.publishSeal
          })
    yield* Effect.provide(Server.untilDone(once), watched)
  }, Effect.scoped)
).pipe(
  Command.withExamples([
    {
      command: "lottery server --agencies 5 --store sqlite:lottery.db --once",
      description: "Serve five agencies and exit when each has its winners"
    }
  ])
)
