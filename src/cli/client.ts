/** `lottery client`: an agency uploads its book and waits for its winners. */
import * as Console from "effect/Console"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as BinaryConversation from "../client/BinaryConversation.ts"
import * as Book from "../client/Book.ts"
import type { Conversation, Servers } from "../client/Conversation.ts"
import * as JsonConversation from "../client/JsonConversation.ts"
import * as NativeConversation from "../client/NativeConversation.ts"
import { logAction } from "../domain/ActionLog.ts"
import type { DrawId } from "../domain/Draw.ts"
import * as ClientProgress from "./ClientProgress.ts"
import * as ClientTls from "./ClientTls.ts"
import { bookName } from "./generate.ts"
import { LogLevelFlag } from "./LogSettings.ts"
import * as Purpose from "./Purpose.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"
import * as SingleBet from "./SingleBet.ts"
import * as sharedSettings from "./sharedSettings.ts"

const DIALECTS = ["native", "binary", "json"] as const
type Dialect = (typeof DIALECTS)[number]
const MAX_BATCH = 1_000_000
const DEFAULT_BATCH = 1000
/** What goes with a message costs nothing in so many, and a frame may have five times as many. */
const NATIVE_BATCH = 4000
/** The smallest packet: a bet with ordinary names fits in it, and most others. */
const MIN_PACKET = 256
const MAX_PACKET = 65_537

/** The agency did not get its winners in the time that it was given. */
class TimedOut extends Data.TaggedError("TimedOut")<{
  readonly timeout: Duration.Duration
  /** Why there is no connection to the server, where there is none. */
  readonly interruption: string | undefined
}> {
  override get message(): string {
    const reason = this.interruption === undefined ? "" : `: ${this.interruption}`
    return `no winners after ${SettingText.showDuration(this.timeout)}${reason}`
  }
}

const batchOf = ({ batch, dialect }: Pick<BookSettings, "batch" | "dialect">): number =>
  Option.getOrElse(batch, () => (dialect === "native" ? NATIVE_BATCH : DEFAULT_BATCH))

/** Standard input as a file, which is needed twice: to check the book, and to send it. */
const spoolStandardInput = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { stdin } = yield* Stdio.Stdio
  const file = yield* fs.makeTempFileScoped({ prefix: "lottery-book-" })
  yield* Stream.run(stdin, fs.sink(file))
  return file
})

interface BookSettings {
  readonly agency: number
  readonly bets: Option.Option<string>
  readonly bet: SingleBet.Settings
  readonly batch: Option.Option<number>
  readonly dialect: Dialect
  readonly rejects: Option.Option<string>
}

const openBook = Effect.fnUntraced(function* (
  settings: BookSettings,
  { check, maxBatchBytes }: Conversation
) {
  const { agency, bet, bets, rejects } = settings
  // A book that is asked for wins over a bet that may only happen to be in the environment.
  const single = Option.isSome(bets) ? Option.none() : yield* SingleBet.fromSettings(bet)
  if (Option.isSome(single)) return yield* Book.fromBet(single.value, check)
  const given = Option.getOrElse(bets, () => `.data/${bookName(agency)}`)
  const file = given === "-" ? yield* spoolStandardInput : given
  const options = {
    name: given === "-" ? "standard input" : given,
    batchSize: batchOf(settings),
    maxBatchBytes,
    check,
    rejects: Option.getOrUndefined(rejects)
  }
  const { badLines, book } = yield* Book.fromFile(file, options)
  if (badLines > 0) {
    yield* logAction("lineas_rechazadas", "fail", {
      agencia: agency,
      cantidad: badLines,
      file: options.rejects
    })
  }
  if (book.total === 0) yield* Effect.logWarning(`${options.name}: no bets; the agency has none`)
  return book
})

interface ConversationSettings {
  readonly agency: number
  readonly dialect: Dialect
  readonly draw: DrawId
  readonly packetBytes: number
  readonly token: Option.Option<string>
}

const makeConversation = (settings: ConversationSettings): Conversation => {
  const { agency, dialect, draw, packetBytes, token } = settings
  switch (dialect) {
    case "native":
      return NativeConversation.make(agency, draw, Option.getOrUndefined(token))
    case "binary":
      return BinaryConversation.make(agency, packetBytes)
    case "json":
      return JsonConversation.make(agency)
  }
}

interface HoldSettings {
  readonly agency: number
  readonly timeout: Option.Option<Duration.Duration>
}

/** Holds the conversation while its progress is shown, for no longer than it is given time. */
const holdConversation = Effect.fnUntraced(function* (
  { agency, timeout }: HoldSettings,
  conversation: Conversation,
  book: Book.Book,
  servers: Servers
) {
  const progress = yield* ClientProgress.make(agency, book.total)
  const winners = conversation.hold(book, servers, progress)
  if (Option.isNone(timeout)) return yield* winners
  return yield* Effect.timeoutOrElse(winners, {
    duration: timeout.value,
    orElse: () =>
      Effect.fail(new TimedOut({ timeout: timeout.value, interruption: progress.interruption() }))
  })
}, Effect.scoped)

/** The agency's winning documents on standard output, one a line. */
const printWinners = Effect.fnUntraced(function* (documents: ReadonlyArray<string>) {
  yield* Purpose.served
  yield* logAction("consulta_ganadores", "success", { cant_ganadores: documents.length })
  for (const document of documents) yield* Console.log(document)
})

const refuseToken = (dialect: Dialect) =>
  new CliError.ValidationError({
    message: `token is for the native dialect; ${dialect} cannot say it, and needs certificates`
  })

export const settings = {
  agency: Setting.required("agency", {
    description: "Number of the agency",
    schema: SettingText.AgencyFromText,
    keys: ["CLI_ID"],
    fileKeys: ["id"],
    metavar: "number"
  }),
  server: sharedSettings.server,
  winnersServer: Setting.optional("winners-server", {
    description: "Where the JSON dialect asks for the winners (default the server's port + 1)",
    schema: SettingText.AddressFromText,
    keys: ["CLI_SERVER_CONSULT_ADDRESS"],
    fileKeys: ["server.consult_address"],
    metavar: "host:port"
  }),
  bets: Setting.optional("bets", {
    description: "The agency's book, - for standard input (default .data/agency-N.csv)",
    schema: SettingText.Text,
    metavar: "file"
  }),
  dialect: Setting.withDefault("dialect", {
    description: `How to speak to the server: ${DIALECTS.join(", ")}`,
    schema: SettingText.oneOf(DIALECTS),
    metavar: "dialect",
    default: "native"
  }),
  draw: sharedSettings.draw,
  batch: Setting.optional("batch", {
    description: `Most bets in a message (default ${DEFAULT_BATCH}, in native ${NATIVE_BATCH})`,
    schema: SettingText.intBetween(1, MAX_BATCH),
    keys: ["CLI_BATCH_MAXAMOUNT", "CHUNK_SIZE"],
    fileKeys: ["batch.maxAmount"],
    metavar: "number"
  }),
  packetBytes: Setting.withDefault("packet-bytes", {
    description: "Most bytes in a binary packet as a whole",
    schema: SettingText.intBetween(MIN_PACKET, MAX_PACKET),
    metavar: "bytes",
    default: 8192
  }),
  rejects: Setting.optional("rejects", {
    description: "Write bad lines to this file and send the others",
    schema: SettingText.Text,
    metavar: "file"
  }),
  timeout: Setting.optional("timeout", {
    description: "Give up where the winners have not come by then (default never)",
    schema: SettingText.DurationFromText,
    metavar: "duration"
  }),
  token: Setting.optional("token", {
    description: "What proves that it is this agency, in the native dialect; safest from a file",
    schema: SettingText.Token,
    metavar: "text",
    secret: true
  }),
  tls: ClientTls.settings,
  bet: SingleBet.settings
}

export const client = Command.make(
  "client",
  settings,
  Effect.fnUntraced(function* (given) {
    const { agency, dialect, server, token } = given
    if (Option.isSome(token) && dialect !== "native") return yield* refuseToken(dialect)
    const tls = yield* ClientTls.make(given.tls)
    const winnersServer = Option.isSome(given.winnersServer)
      ? given.winnersServer.value
      : dialect === "json"
        ? { host: server.host, port: yield* sharedSettings.nextPort(server.port, "winners-server") }
        : server
    yield* logAction("config", "success", {
      client_id: agency,
      server_address: SettingText.showAddress(server),
      log_level: yield* LogLevelFlag,
      batch_max_amount: batchOf(given),
      dialect,
      draw: given.draw,
      tls: tls !== undefined
    })
    const conversation = makeConversation(given)
    const book = yield* openBook(given, conversation)
    const servers = { server: { ...server, tls }, winnersServer: { ...winnersServer, tls } }
    // A stop comes before the winners, or once all of them are printed.
    yield* Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(holdConversation(given, conversation, book, servers)), printWinners)
    )
  }, Effect.scoped)
).pipe(
  Command.withExamples([
    {
      command: "lottery client --agency 3 --bets .data/agency-3.csv --server localhost:12345",
      description: "Upload the book of agency 3, and print the documents that won"
    },
    {
      command: "lottery client --agency 3 --dialect json --timeout 1h",
      description: "The same in the second of the course's dialects, for an hour at most"
    }
  ])
)
