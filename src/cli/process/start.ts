/** Starts the command line on Node. */
import * as Layer from "effect/Layer"
import packageJson from "../../../package.json" with { type: "json" }
import type { LogChoice } from "../log/LogFormat.ts"
import * as ConfigFlag from "../settings/ConfigFlag.ts"
import * as Setting from "../settings/Setting.ts"
import { makeLottery, runsUntilStopped } from "./commands.ts"
import * as ProcessServices from "./ProcessServices.ts"
import { runMain } from "./run.ts"

export const start = async (): Promise<void> => {
  const choice: LogChoice = { format: "text", level: "INFO" }
  const args = process.argv.slice(2)
  runMain(await makeLottery(choice, args), {
    version: packageJson.version,
    choice,
    purpose: { isServed: runsUntilStopped(args) },
    services: ConfigFlag.layer.pipe(
      Layer.provideMerge(ProcessServices.layer),
      Layer.provideMerge(Setting.environment())
    )
  })
}
