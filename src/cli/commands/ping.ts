/** `lottery ping`: sends a text line and expects it back. Compose runs it as the health check. */
import { Data, Duration, Effect, Option, Runtime, Schedule, Schema } from "effect"
import { Command } from "effect/cli"
import { open } from "../../client/ServerConnection.ts"
import type { ServerAddress } from "../../client/ServerFailure.ts"
import { logAction } from "../../domain/ActionLog.ts"
import { MAX_AGENCY } from "../../domain/Agency.ts"
import { MAX_LINE_BYTES } from "../../protocol/Limits.ts"
import { encodeTextLine, LineText, readTextLine } from "../../protocol/line/TextLine.ts"
import * as ClientTls from "../settings/ClientTls.ts"
import { LogLevelFlag } from "../settings/LogSettings.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const ANSWER_TIMEOUT = Duration.seconds(5)
/** The time between two attempts with `--wait`. */
const RETRY_DELAY = "200 millis"

/** The server recognizes a shorter line only at the end of the stream. */
const MIN_MESSAGE_BYTES = 2

const Message: SettingText.TextSchema<string> = LineText.check(
  Schema.makeFilter((text: string) => {
    const length = Buffer.byteLength(text)
    return (
      (length >= MIN_MESSAGE_BYTES && length < MAX_LINE_BYTES) ||
      `expected ${MIN_MESSAGE_BYTES} to ${MAX_LINE_BYTES - 1} bytes`
    )
  })
)

class EchoFailed extends Data.TaggedError("EchoFailed")<{
  readonly server: string
  readonly reason: string
}> {
  // The log line `test_echo_server` has already reported it.
  override readonly [Runtime.errorReported] = false

  override get message(): string {
    return `${this.server}: ${this.reason}`
  }
}

/** Sends a message on a new connection and checks that it comes back. */
const echo = Effect.fn("ping.echo")(
  function* (server: ServerAddress, message: string) {
    const failed = (reason: string) =>
      new EchoFailed({ server: SettingText.showAddress(server), reason })
    const exchange = Effect.gen(function* () {
      const { reader, write } = yield* open(server)
      yield* write(yield* Effect.fromResult(encodeTextLine(message)))
      return yield* readTextLine(reader)
    })
    const received = yield* exchange.pipe(
      Effect.mapError((error) => failed("server" in error ? error.reason : error.message)),
      Effect.timeoutOrElse({
        duration: ANSWER_TIMEOUT,
        orElse: () =>
          Effect.fail(failed(`no answer in ${SettingText.showDuration(ANSWER_TIMEOUT)}`))
      })
    )
    if (received !== message) {
      return yield* failed(`expected the same line back, got ${JSON.stringify(received)}`)
    }
  },
  Effect.onInterrupt(() => logAction("close_resource", "success", { resource: "connection" })),
  Effect.scoped
)

const MAX_COUNT = 1_000_000_000

export const settings = {
  server: sharedSettings.optionalServer,
  port: Setting.whenUsed("port", "<port>", {
    description: "Port on this machine, used without --server",
    schema: SettingText.intBetween(1, SettingText.MAX_PORT),
    keys: ["SERVER_PORT"],
    default: sharedSettings.DEFAULT_PORT
  }),
  count: Setting.withDefault("count", "<number>", {
    description: "Number of messages to send",
    schema: SettingText.intBetween(1, MAX_COUNT),
    keys: ["CLI_LOOP_AMOUNT"],
    fileKeys: ["loop.amount"],
    default: 1
  }),
  period: Setting.withDefault("period", "<duration>", {
    description: "Time between messages",
    schema: SettingText.DurationFromText,
    keys: ["CLI_LOOP_PERIOD"],
    fileKeys: ["loop.period"],
    default: Duration.seconds(1),
    shownDefault: "1s"
  }),
  wait: Setting.withDefault("wait", "<duration>", {
    description: "How long to keep trying until the server answers",
    schema: SettingText.DurationFromText,
    default: Duration.zero,
    shownDefault: "0s"
  }),
  message: Setting.optional("message", "<text>", {
    description: "Text to send; default PING, or a numbered line with --client-id",
    schema: Message
  }),
  clientId: Setting.optional("client-id", "<number>", {
    description: "Number of this client, for the log and numbered lines",
    schema: SettingText.intBetween(0, MAX_AGENCY),
    keys: ["CLI_ID"],
    fileKeys: ["id"]
  }),
  tls: ClientTls.settings
}

type Given = Command.Command.Config.Infer<typeof settings>

/**
 * Returns the text of message `index`, counted from 1. With a client id, it is the line that the
 * course's client sends.
 */
const messageAt = ({ clientId, message }: Given, index: number): string =>
  Option.getOrElse(message, () =>
    Option.match(clientId, {
      onNone: () => "PING",
      onSome: (id) => `[CLIENT ${id}] Message N°${index}`
    })
  )

/** Tries again as long as `wait` has not passed; a schedule of no duration would try twice. */
const retryFor = <A, E, R>(wait: Duration.Duration, exchange: Effect.Effect<A, E, R>) =>
  Duration.isZero(wait)
    ? exchange
    : Effect.retry(exchange, Schedule.upTo(Schedule.spaced(RETRY_DELAY), { duration: wait }))

const sendAll = Effect.fnUntraced(function* (
  given: Given,
  server: ServerAddress,
  client_id: number
) {
  for (let index = 1; index <= given.count; index++) {
    if (index > 1) yield* Effect.sleep(given.period)
    const message = messageAt(given, index)
    const exchange = echo(server, message)
    yield* index === 1 ? retryFor(given.wait, exchange) : exchange
    yield* logAction("receive_message", "success", { client_id, msg: message })
  }
  yield* logAction("loop_finished", "success", { client_id })
  yield* logAction("test_echo_server", "success")
})

export const ping = Command.make(
  "ping",
  settings,
  Effect.fnUntraced(function* (given) {
    const client_id = Option.getOrElse(given.clientId, () => 0)
    const server = Option.isSome(given.server)
      ? given.server.value
      : { host: "localhost", port: yield* given.port.value }
    const tls = yield* ClientTls.make(given.tls)
    yield* logAction("config", "success", {
      client_id,
      server_address: SettingText.showAddress(server),
      loop_amount: given.count,
      loop_period: SettingText.showDuration(given.period),
      log_level: yield* LogLevelFlag,
      tls: tls !== undefined
    })
    yield* sendAll(given, { ...server, tls }, client_id).pipe(
      Effect.tapError((error) => logAction("test_echo_server", "fail", { error: error.message }))
    )
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery ping --wait 30s",
      description: "Keep trying for 30 seconds until the server on this machine answers"
    },
    {
      command: "lottery ping --server localhost:12345 --count 3 --period 500ms",
      description: "Ping the server three times; exit with 1 if it does not answer"
    }
  ])
)
