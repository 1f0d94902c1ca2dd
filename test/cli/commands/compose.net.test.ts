/**
 * Goal: `lottery compose` writes a complete file that Compose accepts, or nothing. Method: the
 * built command; docker-compose, which needs no daemon to read a file; and a linter with the JSON
 * schema of the Compose specification.
 */
import { execFileSync, spawnSync } from "node:child_process"
import {
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { DCLinter } from "dclint"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { MAX_SERVERS, makeComposeFile } from "../../../src/cli/compose/ComposeFile.ts"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const MINE = "what was there before\n"
const FIVE = makeComposeFile({ clients: 5 })
const FIVE_BOARDS = makeComposeFile({ clients: 5, http: true })
const SHARED_BOARDS = makeComposeFile({ clients: 5, postgresServers: 2, http: true })

const compose = (...args: ReadonlyArray<string>) => ({ args: ["compose", ...args] })

/** The store of a server, which does not affect the written file. */
const SERVER_STORE = { LOTTERY_STORE: "postgres://lottery:hunter2@db/lottery" }

describe("writes", () => {
  it.live("a file over an existing one, and leaves nothing else", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const out = join(folder, "dev.yaml")
      writeFileSync(out, MINE)
      const { code, stderr, stdout } = yield* runLottery(compose("--out", out))
      expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
      expect(stderr).toContain(`action: compose | result: success | clients: 5 | file: ${out}\n`)
      expect(readFileSync(out, "utf8")).toBe(FIVE)
      expect(readdirSync(folder)).toEqual(["dev.yaml"])
    })
  )

  it.live("boards only with the flag, whatever the environment says of a server's HTTP", () =>
    Effect.gen(function* () {
      const env = { LOTTERY_HTTP: "127.0.0.1:8080" }
      const without = yield* runLottery({ ...compose("--out", "-"), env })
      expect(without.stdout, without.stderr).toBe(FIVE)
      const { stderr, stdout } = yield* runLottery({ ...compose("--out", "-", "--http"), env })
      expect(stdout, stderr).toBe(FIVE_BOARDS)
    })
  )

  it.live("the target of a link, and keeps the link and the permissions", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [out, file] = [join(folder, "dev.yaml"), join(folder, "real.yaml")]
      writeFileSync(file, MINE, { mode: 0o600 })
      symlinkSync("real.yaml", out)
      expect((yield* runLottery(compose("--out", out))).code).toBe(0)
      expect(lstatSync(out).isSymbolicLink()).toBe(true)
      expect(readFileSync(file, "utf8")).toBe(FIVE)
      expect(lstatSync(file).mode & 0o777).toBe(0o600)
    })
  )

  it.live.runIf(process.geteuid?.() === 0)("no target of another user's link (as root)", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [out, file] = [join(folder, "dev.yaml"), join(folder, "real.yaml")]
      writeFileSync(file, MINE)
      symlinkSync("real.yaml", out)
      lchownSync(out, 12_345, 12_345)
      const { code, stderr } = yield* runLottery(compose("--out", out))
      expect(stderr).toContain(`CRITICAL ${out}: is a symbolic link of user 12345; remove it\n`)
      expect(code).toBe(1)
      expect(readFileSync(file, "utf8")).toBe(MINE)
    })
  )

  it.live("only the file to standard output", () =>
    Effect.gen(function* () {
      const args = ["--clients", "3", "--one-bet", "--seed", "7", "--out", "-"]
      const { code, stderr, stdout } = yield* runLottery(compose(...args))
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: makeComposeFile({ clients: 3, oneBetSeed: 7 })
      })
      expect(stderr).toContain("action: compose | result: success | clients: 3 | file: -\n")
    })
  )
})

describe("the servers' store", () => {
  it.live.each<[string, ReadonlyArray<string>, Record<string, string>, number | undefined]>([
    ["is SQLite by default, whatever LOTTERY_STORE is", [], SERVER_STORE, undefined],
    ["is SQLite for one server", ["--store=sqlite", "--servers=1"], {}, undefined],
    ["is PostgreSQL for one server", ["--store", "postgres"], SERVER_STORE, 1],
    ["is PostgreSQL for several", ["--store", "postgres", "--servers", "2"], {}, 2],
    [
      "is PostgreSQL for several from the environment",
      ["--store=postgres"],
      { LOTTERY_SERVERS: "3" },
      3
    ]
  ])("%s", ([, args, env, postgresServers]) =>
    Effect.gen(function* () {
      const run = { ...compose("--clients", "4", ...args, "--out", "-"), env }
      const { code, stderr, stdout } = yield* runLottery(run)
      expect(code, stderr).toBe(0)
      expect(stdout).toBe(makeComposeFile({ clients: 4, postgresServers }))
    })
  )

  it.live("is the same after the command in the file's first line", () =>
    Effect.gen(function* () {
      const text = makeComposeFile({ clients: 3, oneBetSeed: 7, postgresServers: 2 })
      const [, args] = /^# Written by: lottery (.*)$/m.exec(text) ?? []
      const { stdout } = yield* runLottery({ args: [...args!.split(" "), "--out", "-"] })
      expect(stdout).toBe(text)
    })
  )

  it.live("is only a flag, as the help says", () =>
    Effect.gen(function* () {
      const { stdout } = yield* runLottery(compose("--help"))
      const lineOf = (flag: string) => stdout.split("\n").find((line) => line.includes(flag))
      expect(lineOf("--store <")).toMatch(/\(default sqlite\) \(choices: sqlite, postgres\)$/)
      expect(lineOf("--servers <")).toContain("(default 1; env LOTTERY_SERVERS)")
    })
  )
})

describe("changes no file", () => {
  const usage = Effect.fnUntraced(function* (args: ReadonlyArray<string>, env = {}) {
    const folder = yield* temporaryFolder
    const out = join(folder, "dev.yaml")
    writeFileSync(out, MINE)
    const { code, stderr, stdout } = yield* runLottery({ ...compose(...args, "--out", out), env })
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(readFileSync(out, "utf8")).toBe(MINE)
    return stderr
  })

  it.live("for several servers without PostgreSQL", () =>
    Effect.gen(function* () {
      const refusal =
        "lottery: servers is 2, but several servers can share a draw only through PostgreSQL: " +
        "add --store postgres\n"
      expect(yield* usage(["--servers", "2"])).toBe(refusal)
      expect(yield* usage(["--servers", "2", "--store", "sqlite"])).toBe(refusal)
      expect(yield* usage([], { LOTTERY_SERVERS: "2" })).toBe(refusal)
      expect(yield* usage(["--servers", "2"], SERVER_STORE)).toBe(refusal)
    })
  )

  it.live.each(["0", "21", "-1", "two"])("for %s servers", (servers) =>
    Effect.gen(function* () {
      expect(yield* usage(["--store", "postgres", `--servers=${servers}`])).toContain(
        "servers from the flag --servers: " +
          `expected a whole number from 1 to 20, got "${servers}"\n`
      )
    })
  )

  it.live("for an unknown store, which it does not show: it may contain a password", () =>
    Effect.gen(function* () {
      expect(yield* usage(["--store", SERVER_STORE.LOTTERY_STORE])).toBe(
        "lottery compose: store from the flag --store: expected one of sqlite, postgres\n" +
          "Try: lottery compose --help\n"
      )
    })
  )

  it.live.each(["0", "1001", "-1", "abc", "2.5"])("for %s clients", (clients) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [there, missing] = [join(folder, "dev.yaml"), join(folder, "other.yaml")]
      writeFileSync(there, MINE)
      for (const out of [there, missing]) {
        const outcome = yield* runLottery(compose(`--clients=${clients}`, "--out", out))
        expect(outcome).toEqual({
          code: 2,
          stdout: "",
          stderr:
            "lottery compose: clients from the flag --clients: " +
            `expected a whole number from 1 to 1000, got "${clients}"\n` +
            "Try: lottery compose --help\n"
        })
      }
      expect(readFileSync(there, "utf8")).toBe(MINE)
      expect(readdirSync(folder)).toEqual(["dev.yaml"])
    })
  )

  it.live("if the new file does not fit, and leaves no part of it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const out = join(folder, "dev.yaml")
      writeFileSync(out, MINE)
      const { code, stderr } = yield* runLottery({
        ...compose("--out", out),
        // 512 bytes: the limit is reached in the middle of the file.
        under: ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh"]
      })
      expect(code).toBe(1)
      expect(stderr).toMatch(/^\S+ \S+ CRITICAL .*dev\.yaml: EFBIG.*\n$/)
      expect(readFileSync(out, "utf8")).toBe(MINE)
      expect(readdirSync(folder)).toEqual(["dev.yaml"])
    })
  )

  it.live("if the folder is missing, or the name is a folder or a pipe", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [inner, pipe] = [join(folder, "folder"), join(folder, "pipe")]
      mkdirSync(inner)
      execFileSync("mkfifo", [pipe])
      const wrong = [
        [join(folder, "missing", "dev.yaml"), "no such file or folder"],
        [inner, "already exists and is not a file"],
        [pipe, "already exists and is not a file"]
      ] as const
      for (const [out, reason] of wrong) {
        const { code, stderr, stdout } = yield* runLottery(compose("--out", out))
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
        expect(stderr).toMatch(/^.* CRITICAL .*\n$/)
        expect(stderr).toContain(`${out}: ${reason}\n`)
      }
      expect(readdirSync(folder).sort()).toEqual(["folder", "pipe"])
      expect(readdirSync(inner)).toEqual([])
      expect(lstatSync(pipe).isFIFO()).toBe(true)
    })
  )
})

const ONE_BET = makeComposeFile({ clients: 3, oneBetSeed: 1 })
/** Pairs of the number of clients and of servers that share a PostgreSQL. */
const SHARED = [
  [1, 1],
  [5, 2],
  [300, MAX_SERVERS]
] as const
/** With many more, the linter mistakes the shared YAML parts for an attack. */
const MANY_LINTED_CLIENTS = 30
const MANY_LINTED_SERVERS = 10

const MISTAKES: ReadonlyArray<readonly [name: string, wrong: string]> = [
  ["an unknown key of a service", FIVE.replace("read_only:", "read_onli:")],
  ["an unknown key of a network", FIVE.replace("driver:", "drivr:")],
  ["a list as a duration", FIVE.replace("stop_grace_period: 30s", "stop_grace_period: [30s]")],
  ["a list as a number", FIVE.replace("retries: 10", "retries: [10]")],
  [
    "an unknown key of a service in its network",
    makeComposeFile({ clients: 5, postgresServers: 2 }).replace("aliases:", "aliaces:")
  ]
]

const hasDockerCompose = spawnSync("docker-compose", ["version"]).status === 0
if (!hasDockerCompose) console.warn("skipped: there is no `docker-compose` here")

describe.skipIf(!hasDockerCompose)("docker-compose", () => {
  const config = Effect.fnUntraced(function* (
    text: string,
    flags: ReadonlyArray<string> = [],
    env: Readonly<Record<string, string>> = {}
  ) {
    const file = join(yield* temporaryFolder, "dev.yaml")
    // Version 1 does not support `name`.
    writeFileSync(file, text.replace("name: tp0\n", ""))
    return spawnSync("docker-compose", ["-f", file, "config", ...flags], {
      env: { PATH: process.env.PATH, ...env },
      encoding: "utf8"
    })
  })
  const check = (text: string) => config(text, ["-q"])

  it.live.each([1, 5, 300])("accepts a file for %i clients", (clients) =>
    Effect.gen(function* () {
      const { status, stderr } = yield* check(makeComposeFile({ clients }))
      expect(status, stderr).toBe(0)
    })
  )

  it.live.each([
    ["one bet per client", ONE_BET],
    ["a board", FIVE_BOARDS],
    ["two boards", SHARED_BOARDS]
  ] as const)("accepts a file with %s", ([, file]) =>
    Effect.gen(function* () {
      const { status, stderr } = yield* check(file)
      expect(status, stderr).toBe(0)
    })
  )

  it.live.each(SHARED)("accepts a file for %i clients and %i servers", ([clients, servers]) =>
    Effect.gen(function* () {
      const { status, stderr } = yield* check(
        makeComposeFile({ clients, postgresServers: servers })
      )
      expect(status, stderr).toBe(0)
    })
  )

  it.live.each([
    ["lottery", {}],
    ["lottery", { POSTGRES_PASSWORD: "" }],
    ["a-B.3_~", { POSTGRES_PASSWORD: "a-B.3_~" }]
  ] as const)("gives PostgreSQL and its servers the password %s for %j", ([password, env]) =>
    Effect.gen(function* () {
      const { status, stderr, stdout } = yield* config(
        makeComposeFile({ clients: 1, postgresServers: 2 }),
        [],
        env
      )
      expect(status, stderr).toBe(0)
      const passwords = stdout.matchAll(/POSTGRES_PASSWORD: (.*)$/gm)
      expect(Array.from(passwords, ([, given]) => given)).toEqual([password])
      const urls = Array.from(stdout.matchAll(/LOTTERY_STORE: (.*)$/gm), ([, url]) => new URL(url!))
      expect(urls.map((url) => url.password)).toEqual([password, password])
      for (const url of urls) {
        expect(`${url.username} ${url.host}${url.pathname}`).toBe("lottery postgres:5432/lottery")
      }
    })
  )

  it.live.each(MISTAKES)("refuses %s", ([, wrong]) =>
    Effect.gen(function* () {
      expect((yield* check(wrong)).status).toBeGreaterThan(0)
    })
  )
})

describe("the specification's schema, and its linter", () => {
  // The order of keys and services is deliberate, so its rules are off.
  const linter = new DCLinter({
    rules: {
      "service-keys-order": 0,
      "services-alphabetical-order": 0,
      "top-level-properties-order": 0,
      "require-quotes-in-ports": [1, { quoteType: "double" }]
    },
    quiet: false,
    debug: false,
    exclude: []
  })

  const lint = Effect.fnUntraced(function* (text: string) {
    const file = join(yield* temporaryFolder, "dev.yaml")
    writeFileSync(file, text)
    const results: ReadonlyArray<{
      readonly messages: ReadonlyArray<{ readonly rule: string; readonly message: string }>
    }> = linter.lintFiles([file], false)
    expect(results).toHaveLength(1)
    return results.flatMap(({ messages }) => messages.map(({ rule }) => rule))
  })

  it.live.each([1, 5, MANY_LINTED_CLIENTS])("accept a file for %i clients", (clients) =>
    Effect.gen(function* () {
      expect(yield* lint(makeComposeFile({ clients }))).toEqual([])
    })
  )

  it.live.each([
    ["one bet per client", ONE_BET],
    ["a board", FIVE_BOARDS],
    ["two boards", SHARED_BOARDS]
  ] as const)("accept a file with %s", ([, file]) =>
    Effect.gen(function* () {
      expect(yield* lint(file)).toEqual([])
    })
  )

  it.live.each([
    [1, 1],
    [5, 2],
    [5, MANY_LINTED_SERVERS]
  ] as const)("take one for %i clients and %i servers that share", ([clients, servers]) =>
    Effect.gen(function* () {
      expect(yield* lint(makeComposeFile({ clients, postgresServers: servers }))).toEqual([])
    })
  )

  it.live.each(MISTAKES)("refuse %s", ([, wrong]) =>
    Effect.gen(function* () {
      expect(yield* lint(wrong)).toEqual(["invalid-schema"])
    })
  )

  it.live("refuse a container name that occurs twice", () =>
    Effect.gen(function* () {
      const wrong = FIVE.replace("container_name: client2", "container_name: client1")
      expect(yield* lint(wrong)).toEqual(["no-duplicate-container-names"])
    })
  )
})
