/**
 * Goal: the built command starts from precompiled code, loads only the scripts that it needs, and
 * starts even if compiled code is missing or unusable. Method: copies of the built command with
 * missing or damaged files.
 */
import { spawnSync } from "node:child_process"
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import packageJson from "../../../package.json" with { type: "json" }
import { COMMAND, runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const DIST = dirname(COMMAND)
const COMPILED = ".compiled"

const folderIn = (dist: string): string =>
  join(dist, /command-\w+/.exec(readFileSync(join(dist, "lottery.cjs"), "utf8"))![0])

/** Copies the built command; `change` gets the folder of its scripts. */
const copied = Effect.fnUntraced(function* (change: (folder: string) => void) {
  const copy = yield* temporaryFolder
  cpSync(DIST, copy, { recursive: true })
  writeFileSync(join(copy, "package.json"), '{"type":"module"}')
  change(folderIn(copy))
  return {
    run: (...args: ReadonlyArray<string>) =>
      runLottery({
        args,
        // The copy's start file instead of the built one.
        under: ["sh", "-c", `node="$1"; shift 2; exec "$node" '${copy}/lottery.cjs' "$@"`, "sh"]
      })
  }
})

const remove =
  (...names: ReadonlyArray<string>) =>
  (folder: string) => {
    for (const name of names) rmSync(join(folder, name))
  }

const spoil = (content: (compiled: Buffer) => Buffer | undefined) => (folder: string) => {
  for (const name of readdirSync(folder).filter((file) => file.endsWith(COMPILED))) {
    const file = join(folder, name)
    const spoilt = content(readFileSync(file))
    if (spoilt === undefined) rmSync(file)
    else writeFileSync(file, spoilt)
  }
}

/**
 * Exits with 1 if V8 rejects the compiled code of a script. In a process of its own, because other
 * tests change flags of V8, which compiled code must fit.
 */
const ACCEPT = `
  const { readFileSync } = require("node:fs")
  const filename = process.argv[1]
  const cachedData = readFileSync(filename + "${COMPILED}")
  const options = { filename, cachedData }
  const script = new (require("node:vm").Script)(readFileSync(filename, "latin1"), options)
  process.exit(script.cachedDataRejected ? 1 : 0)
`

const VERSION = { code: 0, stdout: `lottery v${packageJson.version}\n`, stderr: "" }

describe("compiled code", () => {
  it.each(["entry.cjs", "common.cjs", "client.cjs", "server.cjs"])("exists for %s", (name) => {
    const filename = join(folderIn(DIST), name)
    const { status } = spawnSync(process.execPath, ["-e", ACCEPT, filename])
    expect(status).toBe(0)
  })

  const spoilt: ReadonlyArray<readonly [string, (folder: string) => void]> = [
    ["is missing", spoil(() => undefined)],
    ["is empty", spoil(() => Buffer.alloc(0))],
    ["is cut off", spoil((compiled) => compiled.subarray(0, compiled.length / 2))],
    // The first bytes identify the version of V8, the next ones the source.
    ["is another version's", spoil((compiled) => compiled.fill(1, 4, 8))],
    ["is another script's", spoil((compiled) => compiled.fill(1, 8, 12))]
  ]
  for (const [what, change] of spoilt) {
    it.live(`is ignored if it ${what}`, () =>
      Effect.gen(function* () {
        const { run } = yield* copied(change)
        expect(yield* run("--version")).toEqual(VERSION)
      })
    )
  }
})

describe("a script", () => {
  it.live("is not loaded for another command", () =>
    Effect.gen(function* () {
      const { run } = yield* copied(remove("server.cjs", "StoreSetting.cjs", "TrialKeys.cjs"))
      expect((yield* run("--help")).code).toBe(0)
      const { code, stdout } = yield* run("client", "--help")
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/--agency/) })
      // The copy is what runs: without its script, this command fails.
      expect((yield* run("server", "--help")).stderr).toContain("server.cjs")
    })
  )
})
