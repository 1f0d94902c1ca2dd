/**
 * Executes an operator's act on a draw: through the server that has the store open, or, if there is
 * none, on the store itself under its lock. PostgreSQL has no such server: an act is a transaction.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Cause, Data, Effect, Layer, Option, Schedule } from "effect"
import * as RpcClient from "effect/rpc/RpcClient"
import type { RpcClientError } from "effect/rpc/RpcClientError"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcTest from "effect/rpc/RpcTest"
import * as Socket from "effect/socket/Socket"
import type { DrawId } from "../../../domain/Draw.ts"
import { StoreOpenError } from "../../store/BetStore.ts"
import * as StoreUrl from "../../store/StoreUrl.ts"
import type { DrawStanding } from "../DrawStanding.ts"
import { type ActFailed, type Acts, Control, Served } from "./Control.ts"
import * as ControlActs from "./ControlActs.ts"
import * as ControlSocket from "./ControlSocket.ts"

/** One act, which can be asked for again if its answer is lost. */
export type Ask<A> = (
  control: RpcClient.RpcClient<Acts, RpcClientError>
) => Effect.Effect<A, ActFailed | RpcClientError>

type EmbeddedUrl = Exclude<StoreUrl.StoreUrl, { readonly _tag: "postgres" }>

/** How long a command tries to reach a process that has the lock. A server listens at once. */
const REACH_TIMEOUT = "5 seconds"
const REACH_INTERVAL = "50 millis"
/** A server answers pings even while it executes an act, but not before its store is open. */
const SERVER_TIMEOUT = "30 seconds"
/** How long a command waits for the standing before it looks at the store itself. */
const STANDING_TIMEOUT = "2 seconds"
/** How often a command asks again after it lost the answer. */
const REPEATS = 3

/** No server answers on the socket, and nothing has been asked. */
class Unreachable extends Data.TaggedError("Unreachable") {}

/** The connection broke after the command had asked. */
class AnswerLost extends Data.TaggedError("AnswerLost")<{ readonly store: string }> {
  override get message(): string {
    return (
      `the server that has ${this.store} open is gone or hangs: ` +
      "it is unknown whether it did what the command asked; " +
      "if lottery status shows that it did not, give the command again"
    )
  }
}

/** Acts on the store itself. Fails with `inUse` if another process has its lock. */
const withoutServer = Effect.fnUntraced(function* <A>(
  url: StoreUrl.StoreUrl,
  draw: DrawId,
  ask: Ask<A>
) {
  const store = yield* StoreUrl.makeExisting(url, draw)
  // The command logs the act itself.
  const acts = ControlActs.make({ draw, store, log: () => Effect.void, changed: Effect.void })
  // In spite of its name: a client whose server is in the same process.
  const control = yield* Effect.provide(RpcTest.makeClient(Control), Control.toLayer(acts))
  // The connection of such a client does not break.
  return yield* Effect.catchTag(ask(control), "RpcClientError", Effect.die)
}, Effect.scoped)

/** Connects to the server that listens on a socket. */
const layerSocket = (path: string) =>
  RpcClient.layerProtocolSocket({ pingTimeout: SERVER_TIMEOUT }).pipe(
    Layer.provide(Layer.effect(Socket.Socket, NodeSocket.makeNet({ path }))),
    Layer.provide(RpcSerialization.layerNdjson)
  )

/** Asks the server that listens on a socket. */
const throughServer = <A>(socket: string, store: string, ask: Ask<A>) =>
  Effect.gen(function* () {
    const control = yield* RpcClient.make(Control)
    yield* Effect.mapError(control.Ready(), () => new Unreachable())
    const lost = Effect.fail(new AnswerLost({ store }))
    return yield* ask(control).pipe(
      Effect.catchTag("RpcClientError", () => lost),
      // A server that stops interrupts what it has not answered.
      Effect.catchCauseIf(Cause.hasInterruptsOnly, () => lost)
    )
  }).pipe(Effect.scoped, Effect.provide(layerSocket(socket)))

/** Acts through the server if one can be reached, and on the store itself otherwise. */
const once = Effect.fnUntraced(function* <A>(url: EmbeddedUrl, draw: DrawId, ask: Ask<A>) {
  const alone = withoutServer(url, draw, ask)
  const socket = yield* ControlSocket.find(url.path)
  if (Option.isNone(socket)) return yield* alone
  const asked = throughServer(socket.value, url.path, ask)
  return yield* Effect.catchTag(asked, "Unreachable", () => alone)
})

const isInUse = (error: { readonly _tag: string }): error is StoreOpenError =>
  error instanceof StoreOpenError && error.inUse === true

const onEmbedded = Effect.fnUntraced(function* <A>(url: EmbeddedUrl, draw: DrawId, ask: Ask<A>) {
  let lost: AnswerLost | undefined
  return yield* once(url, draw, ask).pipe(
    // A server that starts or stops has the lock for a moment without listening.
    Effect.retry({
      while: isInUse,
      schedule: Schedule.upTo(Schedule.spaced(REACH_INTERVAL), { duration: REACH_TIMEOUT })
    }),
    Effect.tapErrorTag("AnswerLost", (error) =>
      Effect.sync(() => {
        lost = error
      })
    ),
    Effect.retry({
      while: (error) => error._tag === "AnswerLost",
      schedule: Schedule.spaced(REACH_INTERVAL),
      times: REPEATS
    }),
    Effect.mapError((error) => {
      if (!isInUse(error)) return error
      const reason = `${error.reason}, which does not answer on its control socket`
      return lost ?? new StoreOpenError({ store: url.path, reason, inUse: true })
    })
  )
})

/** Executes an act on a draw of an existing store, even while a server has the store open. */
export const act = <A>(
  url: StoreUrl.StoreUrl,
  draw: DrawId,
  ask: Ask<A>
): Effect.Effect<A, ActFailed | StoreOpenError | AnswerLost> =>
  url._tag === "postgres" ? withoutServer(url, draw, ask) : onEmbedded(url, draw, ask)

/**
 * Asks the server that has the store open how far the draw has got. None if there is no server, it
 * does not answer in time, or this user may not ask it.
 */
export const standing = (
  url: StoreUrl.StoreUrl,
  draw: DrawId
): Effect.Effect<Option.Option<DrawStanding>> => {
  if (url._tag === "postgres") return Effect.succeedNone
  const ask = Effect.gen(function* () {
    const socket = yield* ControlSocket.find(url.path)
    if (Option.isNone(socket)) return undefined
    // Each time a new connection, because a server bounds what one may send.
    const asked = Effect.flatMap(RpcClient.make(Served), (server) => server.Standing({ draw }))
    return yield* asked.pipe(
      // A server that stops interrupts what it has not answered.
      Effect.catchCauseIf(Cause.hasInterruptsOnly, () => Effect.succeed(null)),
      // A server of another version may not know the question, or answer something else.
      Effect.catchDefect(() => Effect.succeed(null)),
      Effect.scoped,
      Effect.provide(layerSocket(socket.value))
    )
  })
  return ask.pipe(
    Effect.timeoutOption(STANDING_TIMEOUT),
    Effect.map(Option.flatMap(Option.fromNullishOr)),
    Effect.orElseSucceed(() => Option.none())
  )
}
