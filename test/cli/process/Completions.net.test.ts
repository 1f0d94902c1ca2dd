/**
 * Goal: TAB completes a command line of `lottery` in Bash. Method: a real Bash on a terminal, in
 * which `lottery` prints the arguments that it gets.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const SHELL = ["-qec", "bash --noprofile --rcfile bashrc -i", "/dev/null"]
const hasTerminals = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0
if (!hasTerminals) console.warn("skipped: there is no `script` here to run a terminal")

/** Types lines into Bash and returns the arguments that `lottery` got from each. */
const completed = Effect.fnUntraced(function* (lines: ReadonlyArray<string>) {
  const folder = yield* temporaryFolder
  mkdirSync(join(folder, ".data"))
  mkdirSync(join(folder, "my books"))
  for (const file of [".data/agency-3.csv", "my book.csv", "settings.ini"]) {
    writeFileSync(join(folder, file), "")
  }
  const { stdout: script } = yield* runLottery({ args: ["--completions", "bash"] })
  const print = `lottery() { printf 'GOT'; printf '<%s>' "$@"; printf '\\n'; }`
  writeFileSync(join(folder, "bashrc"), `${print}\n${script}`)
  const input = [...lines.map((line) => `lottery ${line}`), "exit", ""].join("\n")
  const env = { PATH: process.env.PATH, TERM: "dumb", INPUTRC: "/dev/null", HOME: folder }
  const { stdout } = spawnSync("script", SHELL, { cwd: folder, encoding: "utf8", env, input })
  return [...stdout.matchAll(/GOT<(.*)>\r/g)].map(([, words]) => words!.split("><"))
})

/** What is typed, with `^` for TAB, and the arguments that it becomes. */
const CASES: ReadonlyArray<readonly [typed: string, args: ReadonlyArray<string>]> = [
  ["cli^", ["client"]],
  ["client --dia^", ["client", "--dialect"]],
  ["client --dialect b^", ["client", "--dialect", "binary"]],
  ["client --log-f^j^", ["client", "--log-format", "json"]],
  ["--log-level deb^exp^--ag^", ["--log-level", "debug", "export", "--agency"]],
  ["status --conf^set^--he^", ["status", "--config", "settings.ini", "--help"]],
  ["compose --store p^", ["compose", "--store", "postgres"]],
  ["client --bets .da^^", ["client", "--bets", ".data/agency-3.csv"]],
  ["check .da^^", ["check", ".data/agency-3.csv"]],
  ["client --rejects my\\ book.^", ["client", "--rejects", "my book.csv"]],
  ["server --tls-cert se^", ["server", "--tls-cert", "settings.ini"]],
  ["generate --out my^", ["generate", "--out", "my books/"]],
  ["generate --out se^", ["generate", "--out", "se"]],
  ["server --on^--no-once", ["server", "--once", "--no-once"]],
  ["server --no-he^", ["server", "--no-he"]],
  ["--completions fi^", ["--completions", "fish"]]
]

describe.skipIf(!hasTerminals)("in Bash", () => {
  it.live("TAB completes commands, flags, choices, files and folders", () =>
    Effect.gen(function* () {
      const lines = CASES.map(([typed]) => typed.replaceAll("^", "\t"))
      expect(yield* completed(lines)).toEqual(CASES.map(([, args]) => args))
    })
  )
})
