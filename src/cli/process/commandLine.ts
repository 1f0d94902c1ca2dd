/**
 * The command `lottery` and how it starts. Each subcommand is loaded only if it is needed, because
 * they make up most of the code.
 */
import { Effect, Layer, References } from "effect"
import { Command } from "effect/cli"
import packageJson from "../../../package.json" with { type: "json" }
import { type LogChoice, MINIMUM_LEVELS } from "../log/LogFormat.ts"
import * as ConfigFile from "../settings/ConfigFile.ts"
import { LogFormatFlag, LogLevelFlag } from "../settings/LogSettings.ts"
import * as SettingKeys from "../settings/SettingKeys.ts"
import { GLOBAL_SETTINGS } from "./Completions.ts"
import * as ProcessServices from "./ProcessServices.ts"
import { runMain } from "./run.ts"

const DESCRIPTIONS = {
  server: "Take bets from the agencies, hold the draw and send each agency its winners",
  client: "Upload an agency's book, wait for the draw and print the winners",
  check: "Check whole books without sending them: every error, and how to correct it",
  demo: "Run a whole draw with random bets and leave no files behind",
  ping: "Send a text line to a server and check that it comes back",
  generate: "Write books of random bets, one agency-N.csv per agency",
  export: "Print the stored bets as CSV: the agency number and the five fields of each bet",
  status: "Show the draw and the progress of each agency",
  winners: "Show the winning bets of a draw that has been held",
  verify: "Check a sealed draw from files alone: the seal, the number, the books, the winners",
  close: "Hold the draw without agencies that have not finished, or move its close time",
  draw: "Announce the winning number, or its drand round, once every book is closed",
  seal: "Print the seal of a draw, which proves its books",
  result: "Print the signed result of a sealed draw",
  discard: "Discard an agency's stored book before the draw, so that a corrected one can be sent",
  compose: "Write a Compose file for servers and clients, one container each",
  keys:
    "Make keys and certificates for testing TLS and sealed draws, and for nothing else; " +
    "all private keys, including the CA's, are stored unprotected in one folder"
}
type DescribedName = keyof typeof DESCRIPTIONS

/** Loads the command if the arguments may ask for it; otherwise returns only its description. */
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
  subcommand("check", async () => (await import("../commands/check.ts")).check),
  subcommand("demo", async () => (await import("../commands/demo.ts")).demo),
  subcommand("ping", async () => (await import("../commands/ping.ts")).ping),
  subcommand("generate", async () => (await import("../commands/generate.ts")).generate),
  subcommand("export", async () => (await import("../commands/export.ts")).exportCommand),
  subcommand("status", async () => (await import("../commands/status.ts")).status),
  subcommand("winners", async () => (await import("../commands/winners.ts")).winners),
  subcommand("verify", async () => (await import("../commands/verify.ts")).verify),
  subcommand("close", async () => (await import("../commands/close.ts")).close),
  subcommand("draw", async () => (await import("../commands/draw.ts")).draw),
  subcommand("seal", async () => (await import("../commands/seal.ts")).seal),
  subcommand("result", async () => (await import("../commands/result.ts")).result),
  subcommand("discard", async () => (await import("../commands/discard.ts")).discard),
  subcommand("compose", async () => (await import("../commands/compose.ts")).compose),
  subcommand("keys", async () => (await import("../commands/keys.ts")).keys)
]

/** Whether SIGINT is the normal way to end the command. */
const runsUntilStopped = (args: ReadonlyArray<string>): boolean => {
  const name = args.find((arg) => Object.hasOwn(DESCRIPTIONS, arg))
  return name === "server" || name === "ping"
}

/** Makes the root command. It stores the log flags in `choice` before a subcommand runs. */
export const makeLottery = async (choice: LogChoice, args: ReadonlyArray<string>) =>
  Command.make("lottery").pipe(
    Command.withDescription(
      "Run a national lottery: its server, its clients and the tools around them"
    ),
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
    Command.withGlobalFlags(GLOBAL_SETTINGS)
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
