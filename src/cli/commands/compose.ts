/** `lottery compose`: writes a Compose file that runs servers and clients in containers. */
import { Effect, Stdio, Stream } from "effect"
import { CliError, Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { MAX_CLIENTS, MAX_SERVERS, makeComposeFile } from "../compose/ComposeFile.ts"
import { writeWhole } from "../files/WholeFile.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const STANDARD_OUTPUT = "-"
const STORES = ["sqlite", "postgres"] as const

export const settings = {
  clients: Setting.withDefault("clients", "<number>", {
    description: "Number of clients, one per agency, numbered from 1",
    schema: SettingText.intBetween(1, MAX_CLIENTS),
    default: 5
  }),
  oneBet: Setting.flag("one-bet", "Give each client one random bet instead of a book"),
  seed: sharedSettings.seedWhenUsed,
  store: Setting.choice("store", "<store>", STORES, {
    description: "Bet store; the bets are kept in a volume",
    // LOTTERY_STORE is the URL of a server's own store.
    flagOnly: true,
    // A user may pass a URL with a password by mistake.
    secret: true,
    default: "sqlite"
  }),
  servers: Setting.withDefault("servers", "<number>", {
    description: "Number of servers that share the draw; more than one needs --store postgres",
    schema: SettingText.intBetween(1, MAX_SERVERS),
    default: 1
  }),
  http: Setting.flag(
    "http",
    "Show each server's live board on 127.0.0.1, from port 8080 on",
    // LOTTERY_HTTP is the address of a server.
    { flagOnly: true }
  ),
  out: Setting.withDefault("out", "<file>", {
    description:
      "File to write, in the folder that contains .data and config; - means standard output",
    schema: SettingText.Text,
    default: "docker-compose-dev.yaml"
  })
}

export const compose = Command.make(
  "compose",
  settings,
  Effect.fnUntraced(function* ({ clients, http, oneBet, out, seed, servers, store }) {
    const postgresServers = store === "postgres" ? servers : undefined
    if (postgresServers === undefined && servers > 1) {
      const message =
        `servers is ${servers}, but several servers can share a draw only through PostgreSQL: ` +
        "add --store postgres"
      return yield* new CliError.ValidationError({ message })
    }
    const oneBetSeed = oneBet ? yield* seed.value : undefined
    const file = makeComposeFile({ clients, oneBetSeed, postgresServers, http })
    const text = Stream.encodeText(Stream.succeed(file))
    const { stdout } = yield* Stdio.Stdio
    yield* out === STANDARD_OUTPUT
      ? Stream.run(text, stdout({ endOnDone: false }))
      : writeWhole(out, text)
    yield* logAction("compose", "success", { clients, file: out })
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery compose --clients 5",
      description: "Write docker-compose-dev.yaml for a server and five clients with books"
    },
    {
      command: "lottery compose --clients 5 --http",
      description: "Do the same, with the live board on 127.0.0.1:8080"
    },
    {
      command: "lottery compose --clients 5 --store postgres --servers 2",
      description: "Do the same with two servers that share the draw through PostgreSQL"
    }
  ])
)
