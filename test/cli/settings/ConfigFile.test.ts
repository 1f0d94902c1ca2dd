/** Settings files in both formats, and the errors of invalid ones. */
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as ConfigFile from "../../../src/cli/settings/ConfigFile.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const ORIGIN = "from the flag --config"

const read = Effect.fnUntraced(function* (name: string, content: string | Uint8Array) {
  const file = join(yield* temporaryFolder, name)
  writeFileSync(file, content)
  return yield* ConfigFile.read(file, ORIGIN)
}, Effect.provide(NodeServices.layer))

const valueAt = ({ provider }: ConfigFile.ConfigFile, key: string) =>
  Effect.map(provider.load([key]), (node) => node?.value)

describe("a settings file", () => {
  it.effect("can be the INI file of the course's server", () =>
    Effect.gen(function* () {
      const lines = ["; comment", "[DEFAULT]", "SERVER_PORT = 12345", "LOGGING_LEVEL=INFO # why"]
      const file = yield* read("server.ini", `\uFEFF${[...lines, "", "[log]"].join("\r\n")}\r\n`)
      expect(file.keys).toEqual(["SERVER_PORT", "LOGGING_LEVEL"])
      expect(yield* valueAt(file, "SERVER_PORT")).toBe("12345")
      expect(yield* valueAt(file, "server_port")).toBe("12345")
      expect(yield* valueAt(file, "LOGGING_LEVEL")).toBe("INFO")
      expect(yield* valueAt(file, "DEFAULT.SERVER_PORT")).toBeUndefined()
    })
  )

  it.effect("can be INI as Python reads it", () =>
    Effect.gen(function* () {
      const lines = [
        "[default]",
        "  SERVER_PORT: 4444",
        "LOTTERY_STORE = csv:/x/bets#1;2.csv ; why",
        'NOMBRE = "Ana # María" # why',
        "APELLIDO =",
        "[log] # why",
        "level=DEBUG"
      ]
      const file = yield* read("server.INI", lines.join("\n"))
      expect(yield* valueAt(file, "SERVER_PORT")).toBe("4444")
      expect(yield* valueAt(file, "LOTTERY_STORE")).toBe("csv:/x/bets#1;2.csv")
      expect(yield* valueAt(file, "NOMBRE")).toBe("Ana # María")
      expect(yield* valueAt(file, "APELLIDO")).toBe("")
      expect(yield* valueAt(file, "log.level")).toBe("DEBUG")
    })
  )

  it.effect("can be the YAML file of the course's client", () =>
    Effect.gen(function* () {
      const text = [
        'server: { address: "server:12345" }',
        "loop:",
        "  amount: 5",
        "  period: 5s # five seconds",
        "log:",
        "  level:",
        "batch: { maxAmount: 100 }",
        "LOTTERY_ONCE: true"
      ].join("\n")
      const file = yield* read("client.yml", text)
      expect(file.keys).toContain("batch.maxAmount")
      expect(yield* valueAt(file, "server.address")).toBe("server:12345")
      expect(yield* valueAt(file, "loop.amount")).toBe("5")
      expect(yield* valueAt(file, "loop.period")).toBe("5s")
      expect(yield* valueAt(file, "log.level")).toBeUndefined()
      expect(yield* valueAt(file, "batch.maxamount")).toBe("100")
      expect(yield* valueAt(file, "LOTTERY_ONCE")).toBe("true")
      expect(file.keys).not.toContain("log.level")
    })
  )

  it.effect("may be empty", () =>
    Effect.gen(function* () {
      for (const name of ["empty.ini", "empty.yaml"]) {
        expect((yield* read(name, "# nothing yet\n")).keys).toEqual([])
      }
    })
  )
})

/** A few lines that expand to 2^30 keys. */
const bomb = Array.from({ length: 30 }, (_, index) =>
  index === 0
    ? "a0: &a0 { x: 1 }"
    : `a${index}: &a${index} { x: *a${index - 1}, y: *a${index - 1} }`
).join("\n")

const many = Array.from({ length: 1001 }, (_, index) => `key${index}: 1\n`).join("")

describe("an invalid settings file", () => {
  const wrong: ReadonlyArray<readonly [string, string | Uint8Array, RegExp]> = [
    [
      "settings.txt",
      "",
      /expected a file ending in \.ini, \.yaml or \.yml, got ".*settings\.txt"$/
    ],
    ["broken.yaml", "log:\n  level: INFO\n\tamount: 5\n", /broken\.yaml: .* at line 3$/],
    ["twice.yaml", "a: 1\na: 2\n", /twice\.yaml: Duplicate key 'a'/],
    ["list.yaml", "log:\n  level: [INFO]\n", /log\.level: expected one value$/],
    ["mapping.yaml", "LOTTERY_TOKENS: {}\n", /LOTTERY_TOKENS: expected one value$/],
    [
      "list.ini",
      "[log]\nlevel[] = INFO\n",
      /list\.ini: line 2: expected KEY = VALUE or \[SECTION\]$/
    ],
    [
      "line.ini",
      "[DEFAULT]\r\n\r\nLOGGING_LEVEL\r\n",
      /line\.ini: line 3: expected KEY = VALUE or/
    ],
    ["twice.ini", "a = 1\n[DEFAULT]\nA = 2\n", /twice\.ini: expected A only once, got it twice$/],
    ["case.yaml", "A: 1\nDEFAULT: { a: 2 }\n", /case\.yaml: expected a only once, got it twice$/],
    [
      "date.yaml",
      "LOTTERY_DRAW: 2024_05_01",
      /DRAW: expected the value in quotes or written as 20240501$/
    ],
    ["number.yaml", "LOTTERY_DRAW: 1.10", /DRAW: expected the value in quotes or written as 1\.1$/],
    ["word.yaml", "LOTTERY_DRAW: TRUE", /DRAW: expected the value in quotes or written as true$/],
    ["deep.yaml", "[".repeat(60_000), /deep\.yaml: /],
    ["bomb.yaml", bomb, /bomb\.yaml: [\w.]+: expected one value$/],
    ["many.yaml", many, /many\.yaml: expected at most 1000 settings$/],
    ["many.ini", many.replaceAll(":", "="), /many\.ini: expected at most 1000 settings$/],
    ["long.ini", "A = 1\n".repeat(20_000), /long\.ini: expected at most 65536 bytes, got 120000$/],
    ["text.yaml", "INFO", /text\.yaml: expected keys with values$/],
    ["latin1.ini", new Uint8Array([0x4e, 0xf1]), /latin1\.ini: expected text in UTF-8$/]
  ]
  for (const [name, content, message] of wrong) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(read(name, content))
        expect(error.message).toMatch(message)
        expect(error.message).toMatch(/^config from the flag --config: [^\n]*$/)
      })
    )
  }

  it.effect("that is not a file or has another ending", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporaryFolder, "folder.ini")
      mkdirSync(folder)
      const pipe = join(folder, "pipe.ini")
      execFileSync("mkfifo", [pipe])
      for (const name of [folder, pipe]) {
        const error = yield* Effect.flip(ConfigFile.read(name, ORIGIN))
        expect(error.message).toBe(`config ${ORIGIN}: ${name}: is not a file`)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("that is missing", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(ConfigFile.read("/nowhere/server.ini", ORIGIN))
      expect(error.message).toBe(
        "config from the flag --config: /nowhere/server.ini: no such file or folder"
      )
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
