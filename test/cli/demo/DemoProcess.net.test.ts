/**
 * Goal: a process of the demo succeeds only if its work is done. Method: scripts instead of the
 * command, which exit in different ways.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as DemoProcess from "../../../src/cli/demo/DemoProcess.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const LAST_ACTION = "consulta_ganadores"

/** Runs a script in the way the demo runs its command. */
const run = Effect.fnUntraced(function* (script: string) {
  const file = join(yield* temporaryFolder, "lottery.mjs")
  writeFileSync(file, script)
  const [, command] = process.argv
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      process.argv[1] = file
    }),
    () =>
      Effect.sync(() => {
        process.argv[1] = command!
      })
  )
  return yield* DemoProcess.run("agency 1", ["client"], { lastAction: LAST_ACTION })
}, Effect.provide(NodeServices.layer))

const done = `console.error(JSON.stringify({ action: "${LAST_ACTION}", result: "success" }))`

describe("a process of the demo", () => {
  it.live("returns its output if it has logged its last action", () =>
    Effect.gen(function* () {
      expect(yield* run(`${done}; console.log("123")`)).toEqual(["123"])
    })
  )

  const failed: ReadonlyArray<readonly [string, string]> = [
    // Text format: it is stopped before it has parsed its log format.
    ['console.error("… INFO     action: signal_received | result: success")', "it was stopped"],
    ["", "it was stopped"],
    ["process.exitCode = 3", "exit code 3"],
    ['console.error("no book"); process.exitCode = 1', "no book"],
    ['process.kill(process.pid, "SIGKILL")', "it was killed"]
  ]
  for (const [script, reason] of failed) {
    it.live(`fails after ${script || "nothing"}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(run(script))
        expect(error.message).toContain(`agency 1 failed: `)
        expect(error.message).toContain(reason)
      })
    )
  }
})
