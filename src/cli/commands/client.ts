/** `lottery client`: uploads an agency's book and waits for its winners. */
import { Effect, Option } from "effect"
import { CliError, Command } from "effect/cli"
import type { Book } from "../../client/book/Book.ts"
import type { Conversation, Servers } from "../../client/conversation/Conversation.ts"
import * as NativeConversation from "../../client/conversation/NativeConversation.ts"
import { logAction } from "../../domain/ActionLog.ts"
import { isLoopback } from "../../protocol/Loopback.ts"
import { showKey } from "../../protocol/notes/SignedNote.ts"
import * as ClientProgress from "../log/ClientProgress.ts"
import { whileDrawn } from "../log/StatusLine.ts"
import * as Purpose from "../process/Purpose.ts"
import * as AgencyBook from "../settings/AgencyBook.ts"
import * as ClientTls from "../settings/ClientTls.ts"
import { LogLevelFlag } from "../settings/LogSettings.ts"
import * as SealEvidence from "../settings/SealEvidence.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as SingleBet from "../settings/SingleBet.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const DIALECTS = ["native", "binary", "json"] as const
const MAX_BATCH = 1_000_000
const DEFAULT_BATCH = 1000
/** Makes the cost per message negligible; a frame has room for five times as many. */
const NATIVE_BATCH = 4000
/** Large enough for nearly every bet. */
const MIN_PACKET = 256
const MAX_PACKET = 65_537
const MAX_BETS = 4_294_967_295

export const settings = {
  agency: Setting.required("agency", "<number>", {
    description: "Agency number",
    schema: SettingText.AgencyFromText,
    keys: ["CLI_ID"],
    fileKeys: ["id"]
  }),
  server: sharedSettings.server,
  winnersServer: Setting.optionalWhenUsed("winners-server", "<host:port>", {
    description: "Server to ask for the winners, JSON dialect only",
    schema: SettingText.AddressFromText,
    shownDefault: "the server's port + 1",
    keys: ["CLI_SERVER_CONSULT_ADDRESS"],
    fileKeys: ["server.consult_address"]
  }),
  bets: Setting.optional("bets", "<file>", {
    description: "Book to send; - means standard input",
    schema: SettingText.Text,
    shownDefault: ".data/agency-N.csv"
  }),
  dialect: Setting.choice("dialect", "<dialect>", DIALECTS, {
    description: "Dialect to speak",
    default: "native"
  }),
  draw: sharedSettings.drawWhenUsed,
  batch: Setting.optional("batch", "<number>", {
    description: "Maximum bets per message",
    shownDefault: `${DEFAULT_BATCH}, or ${NATIVE_BATCH} for native`,
    schema: SettingText.intBetween(1, MAX_BATCH),
    keys: ["CLI_BATCH_MAXAMOUNT", "CHUNK_SIZE"],
    fileKeys: ["batch.maxAmount"]
  }),
  packetBytes: Setting.whenUsed("packet-bytes", "<bytes>", {
    description: "Maximum bytes per binary packet, header included",
    schema: SettingText.intBetween(MIN_PACKET, MAX_PACKET),
    default: 8192
  }),
  rejects: Setting.file("rejects", "Write bad lines to this file and send the rest"),
  maxRejects: Setting.whenUsed("max-rejects", "<number>", {
    description: "With --rejects, send nothing if there are more bad lines than this",
    schema: SettingText.intBetween(0, MAX_BETS),
    // A few bad lines are probably typos; many suggest that the file is not a book.
    default: 50
  }),
  expect: Setting.optional("expect", "<number>", {
    description: "Send nothing unless the book has exactly this many bets",
    schema: SettingText.intBetween(0, MAX_BETS)
  }),
  allowEmpty: Setting.flag(
    "allow-empty",
    "Send a book without bets: the agency takes part in the draw with none"
  ),
  timeout: Setting.optional("timeout", "<duration>", {
    description: "Give up if the winners have not arrived after this long",
    shownDefault: "never",
    schema: SettingText.DurationFromText
  }),
  token: Setting.optionalWhenUsed("token", "<text>", {
    description: "The agency's token, for the native dialect over TLS; safest in a --config file",
    schema: SettingText.Token,
    secret: true
  }),
  seal: SealEvidence.settings,
  tls: ClientTls.settings,
  bet: SingleBet.settings
}

type Given = Command.Command.Config.Infer<typeof settings>

const invalid = (message: string) => new CliError.ValidationError({ message })

/** Refuses flags that would have no effect. */
const refuseUnused = Effect.fnUntraced(function* (given: Given) {
  const { bet, bets, dialect, draw, maxRejects, rejects, seal, token } = given
  if (Option.isSome(bets) && SingleBet.hasFlag(bet)) {
    return yield* invalid(
      "expected a book (--bets or LOTTERY_BETS) or the flags of a single bet, got both"
    )
  }
  if (draw.hasFlag && dialect !== "native") {
    return yield* invalid(`draw needs the native dialect; ${dialect} cannot name a draw`)
  }
  if (token.hasFlag && dialect !== "native") {
    return yield* invalid(
      `token needs the native dialect; with ${dialect} use a certificate (--tls-cert)`
    )
  }
  if (Option.isSome(seal.key) && dialect !== "native") {
    return yield* invalid(
      `seal-vkey needs the native dialect; ${dialect} has no receipts and proofs`
    )
  }
  if (Option.isSome(seal.evidence) && Option.isNone(seal.key)) {
    return yield* invalid("evidence needs --seal-vkey, the key that verifies what is kept")
  }
  if (maxRejects.hasFlag && Option.isNone(rejects)) {
    return yield* invalid("max-rejects needs --rejects, the file for the bad lines")
  }
})

/** Refuses to send a token unencrypted over the network. */
const refuseTokenInTheClear = Effect.fnUntraced(function* ({ dialect, server, token }: Given) {
  if (dialect !== "native" || isLoopback(server.host) || Option.isNone(yield* token.value)) return
  return yield* invalid(
    `token needs TLS because ${server.host} is not this machine: use --tls-ca, ` +
      "or --tls if the server's CA is public, or remove --token (LOTTERY_TOKEN)"
  )
})

/** The course's dialects, loaded on demand: most clients speak the native one. */
const loadBinary = Effect.promise(() => import("../../client/conversation/BinaryConversation.ts"))
const loadJson = Effect.promise(() => import("../../client/conversation/JsonConversation.ts"))

const makeConversation = Effect.fnUntraced(function* (given: Given) {
  const { agency, dialect, draw, packetBytes, token } = given
  switch (dialect) {
    case "native": {
      const drawId = yield* draw.value
      return NativeConversation.make(agency, drawId, {
        token: Option.getOrUndefined(yield* token.value),
        vigilance: yield* SealEvidence.make(given.seal, { agency, draw: drawId })
      })
    }
    case "binary":
      return (yield* loadBinary).make(agency, yield* packetBytes.value)
    case "json":
      return (yield* loadJson).make(agency)
  }
})

const findWinnersServer = Effect.fnUntraced(function* ({ dialect, server, winnersServer }: Given) {
  if (dialect !== "json") return server
  const given = yield* winnersServer.value
  if (Option.isSome(given)) return given.value
  const { host, port } = server
  return { host, port: yield* sharedSettings.nextPort(port, "winners-server") }
})

/**
 * Runs the conversation, at most until the timeout, and shows its progress. Returns an effect that
 * prints the winners.
 */
const holdConversation = Effect.fnUntraced(function* (
  { agency, timeout }: Given,
  conversation: Conversation,
  book: Book,
  servers: Servers
) {
  const { printWinners, progress } = yield* ClientProgress.make(agency, book.total)
  const winners = Effect.map(conversation.hold(book, servers, progress), printWinners)
  if (Option.isNone(timeout)) return yield* winners
  const duration = timeout.value
  return yield* Effect.timeoutOrElse(winners, {
    duration,
    orElse: () => Effect.fail(new ClientProgress.TimedOut({ timeout: duration, progress }))
  })
}, Effect.scoped)

export const client = Command.make(
  "client",
  settings,
  Effect.fnUntraced(function* (given) {
    const { agency, dialect, server } = given
    yield* refuseUnused(given)
    const conversation = yield* makeConversation(given)
    const tls = yield* ClientTls.make(given.tls)
    if (tls === undefined) yield* refuseTokenInTheClear(given)
    const winnersServer = yield* findWinnersServer(given)
    const isNative = dialect === "native"
    const batchSize = Option.getOrElse(given.batch, () => (isNative ? NATIVE_BATCH : DEFAULT_BATCH))
    yield* logAction("config", "success", {
      client_id: agency,
      server_address: SettingText.showAddress(server),
      log_level: yield* LogLevelFlag,
      batch_max_amount: batchSize,
      dialect,
      draw: isNative ? yield* given.draw.value : undefined,
      seal_vkey: Option.getOrUndefined(Option.map(given.seal.key, showKey)),
      tls: tls !== undefined
    })
    const opening = AgencyBook.open({ ...given, batchSize }, conversation)
    const book = yield* whileDrawn("reading the book", opening)
    const servers = { server: { ...server, tls }, winnersServer: { ...winnersServer, tls } }
    // A signal stops the wait for the winners, but not the printing of them.
    yield* Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(holdConversation(given, conversation, book, servers)), (print) =>
        Effect.andThen(Purpose.fulfilled, print)
      )
    )
  }, Effect.scoped)
).pipe(
  Command.withExamples([
    {
      command: "lottery client --agency 3 --bets .data/agency-3.csv --server localhost:12345",
      description: "Upload the book of agency 3 and print its winning documents"
    },
    {
      command: "lottery client --agency 3 --dialect json --timeout 1h",
      description: "Do the same in the course's JSON dialect, and give up after an hour"
    }
  ])
)
