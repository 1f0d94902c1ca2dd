/**
 * The command `lottery` and how it starts. Each of its subcommands has a file of its own, which is
 * loaded only if it is needed: together they are most of what there is to load.
 */
import { Effect, Layer, References } from "effect"
import { Command } from "effect/cli"
import packageJson from "../../../package.json" with { type: "json" }
import { type LogChoice, MINIMUM_LEVELS } from "../log/LogFormat.ts"
import * as ConfigFile from "../settings/ConfigFile.ts"
import { LogFormatFlag, LogLevelFlag } from "../settings/LogSettings.ts"
import * as SettingKeys from "../settings/SettingKeys.ts"
import * as ProcessServices from "./ProcessServices.ts"
import { runMain } from "./run.ts"

const DESCRIPTIONS = {
  server: "Take the agencies' bets, hold the draw, tell each agency its winners",
  client: "Upload an agency's book, wait for the draw, print its winners",
  demo: "Play the whole lottery on made-up books, and leave nothing behind",
  ping: "Send a text line to a server and expect the same back",
  generate: "Write books of made-up bets, agency-N.csv each",
  export: "Write the stored bets as CSV: the agency and the five fields of a bet",
  status: "Show the draw, and of each agency the bets that are held",
  discard: "Drop the held book of an agency before the draw, so that a corrected one can be sent",
  compose: "Write a Compose file for servers and their clients, a container each",
  keys:
    "Make keys and certificates for trying out TLS: an authority, a server and each agency. " +
    "For trials only: they lie unprotected in one folder, the authority's key too"
}
type DescribedName = keyof typeof DESCRIPTIONS

/** Gives the command for arguments that may mean it, else only what the help says of it. */
const subcommand =
  <Name extends DescribedName, Input, ContextInput, E, R>(
    name: Name,
    load: () => Promise<Command.Command<Name, Input, ContextInput, E, R>>
  ) =>
  async (args: ReadonlyArray<string>) => {
    const isNeeded = args.includes(name) || args.some((arg) => arg.startsWith("--completions"))
    const described = Command.withDescription(DESCRIPTIONS[name])
    return isNeeded ? described(await load()) : described(Command.make(name))
  }

const SUBCOMMANDS = [
  subcommand("server", async () => (await import("../commands/server.ts")).server),
  subcommand("client", async () => (await import("../commands/client.ts")).client),
  subcommand("demo", async () => (await import("../commands/demo.ts")).demo),
  subcommand("ping", async () => (await import("../commands/ping.ts")).ping),
  subcommand("generate", async () => (await import("../commands/generate.ts")).generate),
  subcommand("export", async () => (await import("../commands/export.ts")).exportCommand),
  subcommand("status", async () => (await import("../commands/status.ts")).status),
  subcommand("discard", async () => (await import("../commands/discard.ts")).discard),
  subcommand("compose", async () => (await import("../commands/compose.ts")).compose),
  subcommand("keys", async () => (await import("../commands/keys.ts")).keys)
]

/** Whether the command of these arguments runs until it is stopped, so that SIGINT is its end. */
const runsUntilStopped = (args: ReadonlyArray<string>): boolean => {
  const name = args.find((arg) => Object.hasOwn(DESCRIPTIONS, arg))
  return name === "server" || name === "ping"
}

/**
 * The root command for a command line of these arguments; what its flags say of the log is put into
 * `choice` before a command runs.
 */
export const makeLottery = async (choice: LogChoice, args: ReadonlyArray<string>) =>
  Command.make("lottery").pipe(
    Command.withDescription("The central of a national lottery"),
    Command.withSubcommands(
      await Promise.all(SUBCOMMANDS.map((forArguments) => forArguments(args)))
    ),
    Command.provideEffect(
      References.MinimumLogLevel,
      Effect.gen(function* () {
        choice.level = yield* LogLevelFlag
        choice.format = yield* LogFormatFlag
        yield* ConfigFile.warnOfUnknownKeys
        return MINIMUM_LEVELS[choice.level]
      })
    ),
    Command.withGlobalFlags([ConfigFile.ConfigFlag, LogLevelFlag, LogFormatFlag])
  )

export const start = async (): Promise<void> => {
  const choice: LogChoice = { format: "text", level: "INFO" }
  const args = process.argv.slice(2)
  runMain(await makeLottery(choice, args), {
    version: packageJson.version,
    choice,
    purpose: { isFulfilled: runsUntilStopped(args) },
    services: ConfigFile.layer.pipe(
      Layer.provideMerge(ProcessServices.layer),
      Layer.provideMerge(SettingKeys.environment())
    )
  })
}
