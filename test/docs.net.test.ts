/**
 * Goal: what a reader pastes works, even the second time. Method: runs the shell blocks of each
 * document in order, in a folder where `npx lottery` finds the built command. A comment before a
 * block excludes it and says why.
 */
import { spawn, spawnSync } from "node:child_process"
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { DOCUMENTS, ROOT, shellBlocksOf, textOf } from "./support/Documents.ts"
import { COMMAND, gather, type Outcome, runLottery } from "./support/processes/lotteryCommand.ts"
import { describePostgres, freshSchema } from "./support/stores/PostgresCluster.ts"
import { temporaryFolder } from "./support/TemporaryFolder.ts"

/** Programs that a document's blocks need and that may be missing. */
const PROGRAMS = ["sqlite3", "curl", "openssl"]
const isThere = (program: string): boolean =>
  spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

/** A folder with those parts of the project's root, after `npm ci`, that the documents use. */
const project = Effect.map(temporaryFolder, (folder) => {
  const programs = join(folder, "node_modules", ".bin")
  mkdirSync(programs, { recursive: true })
  symlinkSync(COMMAND, join(programs, "lottery"))
  symlinkSync(process.execPath, join(programs, "node"))
  symlinkSync(join(ROOT, "dist"), join(folder, "dist"))
  cpSync(join(ROOT, "config"), join(folder, "config"), { recursive: true })
  writeFileSync(join(folder, "package.json"), "{}")
  return folder
})

/** Runs a script to its end, then kills every process that it has left running. */
const runScript = (
  script: string,
  folder: string,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    const child = spawn("bash", ["-eu", "-o", "pipefail", "-c", script], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, npm_config_offline: "true", ...env },
      // Its own process group, so that the servers that it leaves running can be killed.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"]
    })
    const endGroup = () => {
      try {
        process.kill(-child.pid!, "SIGKILL")
      } catch {
        // No process of the group is left.
      }
    }
    child.on("exit", endGroup)
    const outcome = gather(child, () => resume(Effect.succeed(outcome)))
    return Effect.sync(endGroup)
  })

/** The blocks of a document that the test runs, as one script. */
const scriptOf = (document: string): string =>
  shellBlocksOf(document)
    .filter(({ untested }) => untested === undefined)
    .map(({ code }) => code)
    .join("\n")

const TIMEOUT_MILLIS = 120_000
/** Output that no block may print, whatever its exit code. */
const DEFECT = /internal error|^\s+at .*:\d+:\d+\)?$/m

/** Runs a document's blocks as a reader pastes them, and again. */
const runTwice = Effect.fnUntraced(function* (
  document: string,
  env?: Readonly<Record<string, string>>
) {
  const folder = yield* project
  for (const time of ["first", "second"]) {
    const { code, stderr, stdout } = yield* runScript(scriptOf(document), folder, env)
    const seen = `the ${time} time:\n${stdout}\n${stderr}`
    expect(code, seen).toBe(0)
    expect(stderr, seen).not.toMatch(DEFECT)
    // The draw was held, so the commands in the background did their part.
    expect(stdout, seen).toMatch(/^draw \S+: .*, drawn$/m)
  }
})

const ON_POSTGRES = "docs/several-servers.md"

it.each(DOCUMENTS)("the shell blocks of %s are all shell", (document) => {
  for (const { code } of shellBlocksOf(document)) {
    const { status, stderr } = spawnSync("bash", ["-n", "-c", code], { encoding: "utf8" })
    expect(status, stderr).toBe(0)
  }
})

const runnable = DOCUMENTS.filter(
  (document) => scriptOf(document) !== "" && document !== ON_POSTGRES
)

describe.each(runnable)("the shell blocks of %s", (document) => {
  const script = scriptOf(document)
  const missing = PROGRAMS.filter((name) => script.includes(`${name} `) && !isThere(name))
  if (missing.length > 0) console.warn(`${document}: skipped: there is no ${missing.join(", ")}`)
  it.live.skipIf(missing.length > 0)(
    "run as pasted, twice",
    () => runTwice(document),
    TIMEOUT_MILLIS
  )
})

describePostgres(`the shell blocks of ${ON_POSTGRES}`, (database) => {
  it.live(
    "run as pasted, twice",
    () =>
      Effect.flatMap(database, ({ url }) =>
        Effect.flatMap(freshSchema(url), (store) => runTwice(ON_POSTGRES, { LOTTERY_STORE: store }))
      ),
    TIMEOUT_MILLIS
  )
})

/** A flag and its description, without what the help adds in parentheses. */
const FLAG_LINE = /^ {2}(--\S+(?: <\S+>)?)\s{2,}(.+?)(?: \((?:default|env|choices) .*\))?$/gm

const COMMANDS = [
  ...["server", "client", "ping", "status", "export", "discard", "generate", "compose", "keys"],
  ...["check", "demo", "close", "draw", "winners", "seal", "result", "verify"]
].map((command) => [command] as const)
/** Flags of the library, which every command has. */
const BUILT_IN = /^--(help|version|completions)/

describe("docs/settings.md", () => {
  const settings = textOf("docs/settings.md")
  it.live.each(COMMANDS)("says of the flags of %s what its help says", ([command]) =>
    Effect.gen(function* () {
      const { stdout } = yield* runLottery({ args: [command, "--help"] })
      const flags = [...stdout.matchAll(FLAG_LINE)].filter(([, flag]) => !BUILT_IN.test(flag!))
      expect(flags.length).toBeGreaterThan(3)
      for (const [, flag, description] of flags) {
        expect(settings).toContain(`| \`${flag}\` | ${description!.replaceAll("|", "\\|")} |`)
      }
    })
  )
})
