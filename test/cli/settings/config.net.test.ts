/** Goal: the built command reads the file of `--config`, and the log shows its values. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const ROOT = join(import.meta.dirname, "..", "..", "..")
const SERVER_INI = join(ROOT, "config", "server.ini")
const CLIENT_YAML = join(ROOT, "config", "client.yaml")

const configLine = (stderr: string): string =>
  stderr.split("\n").find((line) => line.includes("action: config")) ?? stderr

/** Returns the `config` line of a client that fails because it has no book. */
const clientLine = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.map(runLottery({ args: [...args, "--bets", "/nowhere.csv"], env }), ({ stderr }) =>
    configLine(stderr)
  )

/** Returns the `config` line of a server whose store cannot be opened. */
const serverLine = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.map(
    runLottery({ args: ["server", ...args, "--store", "sqlite:/nowhere/lottery.db"], env }),
    ({ stderr }) => configLine(stderr)
  )

describe("the committed files", () => {
  it.live("config/server.ini", () =>
    Effect.gen(function* () {
      const line = yield* serverLine(["--config", SERVER_INI])
      expect(line).toContain(
        "port: 12345 | listen_backlog: 5 | logging_level: INFO | server_ip: server"
      )
      expect(line).toContain("winners_port: 12346")
    })
  )

  it.live("config/client.yaml, for a client and for ping", () =>
    Effect.gen(function* () {
      const line = yield* clientLine(["client", "--agency", "3", "--config", CLIENT_YAML])
      expect(line).toContain("client_id: 3 | server_address: server:12345 | log_level: INFO")
      expect(line).toContain("batch_max_amount: 100")
      const { stderr } = yield* runLottery({
        args: ["ping", "--config", CLIENT_YAML, "--server", "127.0.0.1:1"],
        env: { CLI_ID: "2" }
      })
      expect(configLine(stderr)).toContain(
        "client_id: 2 | server_address: 127.0.0.1:1 | loop_amount: 5 | loop_period: 5s"
      )
    })
  )

  it.live("have no unknown settings", () =>
    Effect.gen(function* () {
      for (const file of [SERVER_INI, CLIENT_YAML]) {
        const { stderr } = yield* runLottery({
          args: ["ping", "--server", "127.0.0.1:1", "--config", file]
        })
        expect(stderr).not.toContain("unknown setting")
      }
    })
  )

  it.live("work for other commands: ping finds the port in the server's file", () =>
    Effect.gen(function* () {
      const { stderr } = yield* runLottery({ args: ["ping", "--config", SERVER_INI] })
      expect(configLine(stderr)).toContain("server_address: localhost:12345")
    })
  )
})

describe("a changed file", () => {
  it.live("affects the next run, as its config line shows", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "client.yaml")
      const args = ["client", "--agency", "1", "--config", file]
      for (const [level, amount] of [
        ["INFO", 10],
        ["DEBUG", 20]
      ]) {
        writeFileSync(file, `log: { level: ${level} }\nbatch: { maxAmount: ${amount} }\n`)
        expect(yield* clientLine(args)).toContain(
          `log_level: ${level} | batch_max_amount: ${amount}`
        )
      }
      const ini = join(yield* temporaryFolder, "server.ini")
      for (const level of ["INFO", "DEBUG"]) {
        writeFileSync(ini, `[DEFAULT]\nSERVER_PORT = 0\nLOGGING_LEVEL = ${level}\n`)
        expect(yield* serverLine(["--config", ini])).toContain(`logging_level: ${level}`)
      }
    })
  )
})

describe("the flag --config", () => {
  it.live("works before or after the command, and in the environment", () =>
    Effect.gen(function* () {
      const given: ReadonlyArray<readonly [ReadonlyArray<string>, Record<string, string>]> = [
        [["--config", CLIENT_YAML, "client", "--agency", "1"], {}],
        [["client", "--agency", "1", `--config=${CLIENT_YAML}`], {}],
        [["client", "--agency", "1"], { LOTTERY_CONFIG: CLIENT_YAML }]
      ]
      for (const [args, env] of given) {
        expect(yield* clientLine(args, env)).toContain("batch_max_amount: 100")
      }
    })
  )

  it.live("has lower priority than the environment and flags", () =>
    Effect.gen(function* () {
      const args = ["client", "--agency", "1", "--config", CLIENT_YAML]
      const env = { CLI_BATCH_MAXAMOUNT: "7", CLI_SERVER_ADDRESS: "other:1" }
      expect(yield* clientLine(args, env)).toContain("server_address: other:1")
      expect(yield* clientLine(args, env)).toContain("batch_max_amount: 7")
      expect(yield* clientLine([...args, "--batch", "8"], env)).toContain("batch_max_amount: 8")
    })
  )

  it.live("only warns of an unknown key", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "client.yaml")
      writeFileSync(file, "log: { levl: DEBUG }\nloop: { lapse: 1m }\nbatch:\n")
      const { stderr } = yield* runLottery({
        args: ["ping", "--server", "127.0.0.1:1", "--config", file]
      })
      expect(stderr).toContain(`WARNING  ${file}: unknown setting log.levl\n`)
      expect(stderr.match(/unknown setting/g)).toHaveLength(1)
      expect(configLine(stderr)).toContain("log_level: INFO")
    })
  )

  const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["--config"], "Missing value for flag --config"],
    [["--config", "--count", "1"], "--config"],
    [["--config="], 'expected a file ending in .ini, .yaml or .yml, got ""'],
    [["--config", "/nowhere.ini"], "from the flag --config: /nowhere.ini: no such file or folder"],
    [["--config", SERVER_INI, "--config", CLIENT_YAML], "2 occurrences"]
  ]
  for (const [args, expected] of wrong) {
    it.live(`invalid: ${args.join(" ").replaceAll(ROOT, "")}`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* runLottery({ args: ["ping", ...args] })
        expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
        expect(stderr).toContain(expected)
        expect(stderr.trimEnd().split("\n")).toHaveLength(2)
      })
    )
  }

  it.live("is read even if every setting is given elsewhere, but not for the help", () =>
    Effect.gen(function* () {
      const env = { LOTTERY_CONFIG: "/nowhere.yaml" }
      const every = [
        ...["ping", "--server", "127.0.0.1:1", "--port", "1", "--count", "1", "--period", "1s"],
        ...["--message", "PING", "--client-id", "1", "--log-level", "info", "--log-format", "text"],
        ...["--tls", "--tls-ca", "ca.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]
      ]
      const { code, stderr } = yield* runLottery({ args: every, env })
      expect(code).toBe(2)
      expect(stderr).toContain("environment variable LOTTERY_CONFIG: /nowhere.yaml: no such file")
      expect((yield* runLottery({ args: ["ping", "--help"], env })).code).toBe(0)
    })
  )
})
