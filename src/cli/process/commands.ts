/**
 * The command `lottery` and its subcommands, each of which has a file of its own: loaded where it
 * is needed, for they are most of what there is to load.
 */

import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type { LogChoice } from "../log/LogFormat.ts"
import { ConfigFlag, warnOfUnknownKeys } from "../settings/ConfigFlag.ts"
import { applyLogSettings, LogFormatFlag, LogLevelFlag } from "../settings/LogSettings.ts"

const subcommand = <Name extends string, Input, ContextInput, E, R>(
  name: Name,
  description: string,
  load: () => Promise<Command.Command<Name, Input, ContextInput, E, R>>
) => ({
  name,
  load,
  /** The command where these arguments may mean it, else what the help says of it. */
  forArguments: async (args: ReadonlyArray<string>) => {
    const isNeeded = args.includes(name) || args.some((arg) => arg.startsWith("--completions"))
    const described = Command.withDescription(description)
    return isNeeded ? described(await load()) : described(Command.make(name))
  }
})

const SUBCOMMANDS = [
  subcommand(
    "server",
    "Take the agencies' bets, hold the draw, tell each agency its winners",
    async () => (await import("../commands/server.ts")).server
  ),
  subcommand(
    "client",
    "Upload an agency's book, wait for the draw, print its winners",
    async () => (await import("../commands/client.ts")).client
  ),
  subcommand(
    "demo",
    "Play the whole lottery on made-up books, and leave nothing behind",
    async () => (await import("../commands/demo.ts")).demo
  ),
  subcommand(
    "ping",
    "Send a text line to a server and expect the same back",
    async () => (await import("../commands/ping.ts")).ping
  ),
  subcommand(
    "generate",
    "Write books of made-up bets, agency-N.csv each",
    async () => (await import("../commands/generate.ts")).generate
  ),
  subcommand(
    "export",
    "Write the stored bets as CSV: the agency and the five fields of a bet",
    async () => (await import("../commands/export.ts")).exportCommand
  ),
  subcommand(
    "status",
    "Show the draw, and of each agency the bets that are held",
    async () => (await import("../commands/status.ts")).status
  ),
  subcommand(
    "discard",
    "Drop the held book of an agency before the draw, so that a corrected one can be sent",
    async () => (await import("../commands/discard.ts")).discard
  ),
  subcommand(
    "compose",
    "Write a Compose file for servers and their clients, a container each",
    async () => (await import("../commands/compose.ts")).compose
  ),
  subcommand(
    "keys",
    "Make keys and certificates for trying out TLS: an authority, a server and each agency. " +
      "For trials only: they lie unprotected in one folder, the authority's key too",
    async () => (await import("../commands/keys.ts")).keys
  )
]

/** Loads every command, which makes the settings of all of them known. */
export const loadAll = async (): Promise<void> => {
  await Promise.all(SUBCOMMANDS.map(({ load }) => load()))
}

const NAMES = new Set<string>(SUBCOMMANDS.map(({ name }) => name))
const UNTIL_STOPPED = new Set<string | undefined>(["server", "ping"])

/** Whether the command of these arguments runs until it is stopped, so that SIGINT is its end. */
export const runsUntilStopped = (args: ReadonlyArray<string>): boolean =>
  UNTIL_STOPPED.has(args.find((arg) => NAMES.has(arg)))

/**
 * The root command for a command line of these arguments; what its flags say of the log is put into
 * `choice` before a command runs.
 */
export const makeLottery = async (choice: LogChoice, args: ReadonlyArray<string>) =>
  Command.make("lottery").pipe(
    Command.withDescription("The central of a national lottery"),
    Command.withSubcommands(
      await Promise.all(SUBCOMMANDS.map(({ forArguments }) => forArguments(args)))
    ),
    Command.provideEffect(
      References.MinimumLogLevel,
      Effect.tap(applyLogSettings(choice), () => warnOfUnknownKeys)
    ),
    Command.withGlobalFlags([ConfigFlag, LogLevelFlag, LogFormatFlag])
  )
