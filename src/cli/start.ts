/** Starts the command line on Node. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Layer from "effect/Layer"
import packageJson from "../../package.json" with { type: "json" }
import * as ConfigFlag from "./ConfigFlag.ts"
import { makeLottery } from "./commands.ts"
import type { LogChoice } from "./LogFormat.ts"
import { runMain } from "./run.ts"

export const start = (): void => {
  const choice: LogChoice = { format: "text", level: "INFO" }
  runMain(makeLottery(choice), {
    version: packageJson.version,
    choice,
    services: Layer.provideMerge(ConfigFlag.layer, NodeServices.layer)
  })
}
