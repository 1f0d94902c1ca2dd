/** The command `lottery` and its subcommands, each of which has a file of its own. */

import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import { ConfigFlag, warnOfUnknownKeys } from "./ConfigFlag.ts"
import { client } from "./client.ts"
import { compose } from "./compose.ts"
import { demo } from "./demo.ts"
import { discard } from "./discard.ts"
import { exportCommand } from "./export.ts"
import { generate } from "./generate.ts"
import { keys } from "./keys.ts"
import type { LogChoice } from "./LogFormat.ts"
import { applyLogSettings, LogFormatFlag, LogLevelFlag } from "./LogSettings.ts"
import { ping } from "./ping.ts"
import { server } from "./server.ts"
import { status } from "./status.ts"

/** The root command; what its flags say of the log is put into `choice` before a command runs. */
export const makeLottery = (choice: LogChoice) =>
  Command.make("lottery").pipe(
    Command.withDescription("The central of a national lottery"),
    Command.withSubcommands([
      server,
      client,
      demo,
      ping,
      generate,
      exportCommand,
      status,
      discard,
      compose,
      keys
    ]),
    Command.provideEffect(
      References.MinimumLogLevel,
      Effect.tap(applyLogSettings(choice), () => warnOfUnknownKeys)
    ),
    Command.withGlobalFlags([ConfigFlag, LogLevelFlag, LogFormatFlag])
  )
