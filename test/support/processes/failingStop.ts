/** A command that waits to be stopped and has a resource that fails to close. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import * as Command from "effect/cli/Command"
import { runMain } from "../../../src/cli/process/run.ts"
import { listen } from "../../../src/cli/process/Signals.ts"
import { logAction } from "../../../src/domain/ActionLog.ts"
import { loggedResource } from "../../../src/domain/LoggedResource.ts"

const disk = Effect.acquireRelease(Effect.void, () => Effect.die(new Error("no disk")))

const command = Command.make(
  "wait",
  {},
  Effect.fnUntraced(function* () {
    yield* loggedResource("store", disk, "1 second")
    yield* logAction("listen", "success")
    return yield* Effect.never
  }, Effect.scoped)
)

listen()
runMain(command, {
  version: "0",
  choice: { format: "text", level: "INFO" },
  purpose: { isFulfilled: true },
  services: NodeServices.layer
})
