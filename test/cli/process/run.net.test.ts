/** The built command as a process: exit codes, streams and signals. */
import { execFileSync, spawnSync } from "node:child_process"
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { describe, expect } from "vitest"
import {
  COMMAND,
  instead,
  olderNode,
  type Running,
  runLottery,
  startLottery
} from "../../support/processes/lotteryCommand.ts"

const ROOT = join(import.meta.dirname, "..", "..", "..")

/** Starts a peer that answers each connection's first bytes; returns its port. */
const peer = (answer: (socket: Socket, data: Buffer | string) => void) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((socket) => {
        socket.on("error", () => socket.destroy())
        socket.once("data", (data) => answer(socket, data))
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      if (address === null || typeof address === "string") throw new Error("no port")
      return address.port
    })
  )

const echoes = peer((socket, data) => socket.end(data))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "lottery-run-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const actionsOf = (log: string): Array<string | undefined> =>
  log.split("\n").map((line) => /action: (\w+)/.exec(line)?.[1])

describe("exit code 0", () => {
  for (const command of [
    [],
    ["server"],
    ["client"],
    ["demo"],
    ["ping"],
    ["generate"],
    ["check"],
    ["export"],
    ["status"],
    ["discard"],
    ["compose"],
    ["keys"]
  ]) {
    it.live(`${["lottery", ...command, "--help"].join(" ")} on standard output`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* runLottery({ args: [...command, "--help"] })
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        expect(stdout).toContain("USAGE")
        if (command.length > 0) expect(stdout).toContain("EXAMPLES")
      })
    )
  }

  it.live("--version", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runLottery({ args: ["--version"] })
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toMatch(/^lottery v\d+\.\d+\.\d+\n$/)
    })
  )

  it.live("generate writes whole books and nothing else", () =>
    Effect.gen(function* () {
      const out = yield* folder
      const args = ["generate", "--agencies", "2,4", "--bets", "10", "--out", out]
      const { code, stdout } = yield* runLottery({ args })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
      expect(readdirSync(out).sort()).toEqual(["agency-2.csv", "agency-4.csv"])
    })
  )

  it.live("ping that is answered, with the course's log lines", () =>
    Effect.gen(function* () {
      const port = yield* echoes
      const { code, stderr, stdout } = yield* runLottery({
        args: ["ping", "--server", `127.0.0.1:${port}`, "--count", "2", "--period", "1ms"],
        env: { CLI_ID: "1" }
      })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
      const received = "action: receive_message | result: success | client_id: 1 | msg: "
      expect(stderr).toContain(`${received}[CLIENT 1] Message N°1\n`)
      expect(stderr).toContain(`${received}[CLIENT 1] Message N°2\n`)
      expect(stderr).toContain("action: loop_finished | result: success | client_id: 1\n")
      expect(stderr).toContain("action: test_echo_server | result: success\n")
    })
  )
})

describe("exit code 1, with one line", () => {
  it.live("ping without a server", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runLottery({
        args: ["ping", "--server", "127.0.0.1:1", "--log-level", "warn"]
      })
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(
        /^.* ERROR +action: test_echo_server \| result: fail \| .*REFUSED.*\n$/
      )
    })
  )

  it.live("ping with a wrong answer or a closed connection", () =>
    Effect.gen(function* () {
      for (const answer of ["PONG\n", "PI"]) {
        const port = yield* peer((socket) => socket.end(answer))
        const { code, stderr } = yield* runLottery({
          args: ["ping", "--server", `127.0.0.1:${port}`, "--log-level", "error"]
        })
        expect(code).toBe(1)
        expect(stderr.trimEnd().split("\n")).toHaveLength(1)
      }
    }).pipe(Effect.scoped)
  )

  for (const args of [["demo"], ["client", "--agency", "1", "--bets", "-"]]) {
    it.live(`${args[0]} without a folder for temporary files`, () =>
      Effect.gen(function* () {
        const { code, stderr } = yield* runLottery({ args, env: { TMPDIR: "/nowhere" } })
        expect(code).toBe(1)
        expect(stderr).toMatch(/CRITICAL the temporary folder .*: no such file or folder\n$/)
      })
    )
  }

  it.live("generate into a file; a stack trace only at the debug level", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "file")
      writeFileSync(file, "")
      const args = ["generate", "--out", join(file, "books")]
      const { code, stderr } = yield* runLottery({ args })
      expect(code).toBe(1)
      expect(stderr).toMatch(/^\S+ \S+ CRITICAL .*expected a folder\n$/)
      const debug = yield* runLottery({ args: [...args, "--log-level", "debug"] })
      expect(debug.code).toBe(1)
      expect(debug.stderr).toMatch(/\n +at /)
    })
  )
})

describe("exit code 2, on standard error", () => {
  const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, Record<string, string>, string]> = [
    [[], {}, "USAGE"],
    [["lottry"], {}, "lottry"],
    [["ping", "--bogus"], {}, "--bogus"],
    [["server", "--port", "65535"], {}, "--winners-port is required"],
    [
      ["server", "--port", "9", "--winners-port", "9"],
      {},
      "are both 9: expected two different ports"
    ],
    [
      ["server", "--port", "9", "--http", "127.0.0.1:10"],
      {},
      "winners-port and http are both 10: expected two different ports"
    ],
    [
      ["server"],
      { LOTTERY_HTTP_HOST: "board.example" },
      "http-host needs an address to listen on: add --http 127.0.0.1:8080"
    ],
    [
      ["server", "--store", "redis:x"],
      {},
      "expected sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE"
    ],
    [["server", "--agencies", "0"], {}, "from the flag --agencies: expected a count of agencies"],
    [
      ["server"],
      { LOTTERY_WINNING_NUMBER: "10000" },
      "LOTTERY_WINNING_NUMBER: expected 1 to 4 digits"
    ],
    [["client"], {}, "agency is missing"],
    [["client"], { CLI_ID: "0" }, "CLI_ID: expected an agency number"],
    [["ping", "extra"], {}, "extra"],
    [["ping", "--count"], {}, "--count"],
    [["ping", "--count", "0"], {}, "from the flag --count: expected a whole number from 1"],
    [["ping"], { CLI_LOOP_PERIOD: "soon" }, "environment variable CLI_LOOP_PERIOD: expected a dur"],
    [["ping", "--log-level", "loud"], {}, "from the flag --log-level: expected one of DEBUG"],
    [["ping"], { LOTTERY_LOG_FORMAT: "xml" }, "variable LOTTERY_LOG_FORMAT: expected one of text"],
    [["ping", "--a\n2023-03-30 INFO"], {}, "flag: --a\n    2023-03-30 INFO in"],
    [["client", "--agency", "1"], { NUMERO: "x" }, "tls: false\nlottery: number from the env"]
  ]
  for (const [args, env, expected] of wrong) {
    it.live(JSON.stringify({ args, env }), () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* runLottery({ args, env })
        expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
        expect(stderr).toContain(expected)
      })
    )
  }
})

describe("a signal", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it.live(`${signal} closes connections and ends a command that runs until stopped with 0`, () =>
      Effect.gen(function* () {
        let sent = false
        let pinging: Running | undefined
        // The peer never answers, so the connection is open at the signal.
        const port = yield* peer(() => {
          sent = true
          pinging?.child.kill(signal)
        })
        pinging = yield* startLottery({ args: ["ping", "--server", `127.0.0.1:${port}`] })
        const { code, stderr } = yield* pinging.outcome
        expect(sent).toBe(true)
        expect(code).toBe(0)
        expect(actionsOf(stderr.trimEnd())).toEqual([
          "config",
          "signal_received",
          "close_resource",
          "exit"
        ])
        expect(stderr).toContain(`action: signal_received | result: success | signal: ${signal}`)
      })
    )
  }
})

it.live("SIGTERM reaches a server that is started without npx as docs/operations.md says", () =>
  Effect.gen(function* () {
    const operations = readFileSync(join(ROOT, "docs", "operations.md"), "utf8")
    const [, program, script] = /itself: `(node_modules\/\S+) (\S+) server`/.exec(operations)!
    const store = `sqlite:${yield* folder}/lottery.db`
    const server = yield* startLottery({
      args: ["server", "--host", "127.0.0.1", "--port", "0", "--store", store],
      under: instead([program!, script!]),
      cwd: ROOT
    })
    yield* server.logged(/action: listen/)
    yield* server.signal("SIGTERM")
    const { code, stderr } = yield* server.outcome
    expect(code).toBe(0)
    expect(stderr).toMatch(/action: exit \| result: success\n$/)
  })
)

it.live("stopping fails, with one line, if something cannot be closed", () =>
  Effect.gen(function* () {
    const script = join(ROOT, "test", "support", "processes", "failingStop.ts")
    const waiting = yield* startLottery({ args: [], under: instead([process.execPath, script]) })
    yield* waiting.logged(/action: listen/)
    yield* waiting.signal("SIGTERM")
    const { code, stderr } = yield* waiting.outcome
    expect(code).toBe(1)
    expect(stderr).toMatch(/ CRITICAL closing the store failed: no disk\n$/)
  })
)

it.live("stopping waits only briefly for a reader of the output", () =>
  Effect.gen(function* () {
    const fifo = join(yield* folder, "fifo")
    execFileSync("mkfifo", [fifo])
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
    yield* Effect.addFinalizer(() => Effect.sync(() => closeSync(reader)))
    const composing = yield* startLottery({
      args: ["compose", "--clients", "1000", "--out", "-"],
      under: ["sh", "-c", `exec "$@" > ${fifo}`, "sh"]
    })
    // The output is more than a pipe holds, so the rest waits once the first byte has come.
    const begun = Effect.sync(() => readSync(reader, Buffer.alloc(1)) > 0)
    yield* Effect.catchDefect(begun, () => Effect.succeed(false)).pipe(
      Effect.repeat({ until: (isSo) => isSo, schedule: Schedule.spaced("5 millis") })
    )
    yield* composing.signal("SIGTERM")
    const { code, stderr } = yield* composing.outcome
    expect(code).toBe(0)
    expect(stderr).toMatch(/action: exit \| result: success\n$/)
  })
)

describe("a signal in the middle of generate", () => {
  it.live.each([
    ["SIGINT", 130],
    ["SIGTERM", 0]
  ] as const)("%s ends it with %i", ([signal, expected]) =>
    Effect.gen(function* () {
      const args = ["generate", "--agencies", "100000", "--out", yield* folder]
      const generating = yield* startLottery({ args })
      yield* generating.logged(/action: generate/)
      yield* generating.signal(signal)
      const { code, stderr } = yield* generating.outcome
      expect(code).toBe(expected)
      expect(stderr).toMatch(/action: exit \| result: success\n$/)
    })
  )
})

it.live("a signal between two messages of ping ends it", () =>
  Effect.gen(function* () {
    const port = yield* echoes
    const ping = yield* startLottery({
      args: [
        ...["ping", "--server", `127.0.0.1:${port}`, "--message", "¿Estás?"],
        ...["--count", "2", "--period", "1h"]
      ]
    })
    yield* ping.logged(/receive_message/)
    yield* ping.signal("SIGTERM")
    const { code, stderr } = yield* ping.outcome
    expect(code).toBe(0)
    expect(stderr).toContain("receive_message | result: success | client_id: 0 | msg: ¿Estás?\n")
    expect(actionsOf(stderr.trimEnd())).toEqual([
      "config",
      "receive_message",
      "signal_received",
      "exit"
    ])
  })
)

describe("streams", () => {
  it("the command exits quietly if its reader stops", () => {
    const command = `"${process.execPath}" "${COMMAND}" --completions bash`
    const script = `${command} | true; echo \${PIPESTATUS[0]}`
    const { stderr, stdout } = spawnSync("bash", ["-c", script], { encoding: "utf8" })
    expect({ stderr, stdout }).toEqual({ stderr: "", stdout: "0\n" })
  })
})

describe("a full disk", () => {
  const bash = (script: string) => spawnSync("bash", ["-c", script], { encoding: "utf8" })
  const command = `"${process.execPath}" "${COMMAND}"`

  it("under standard output is a failure, reported in one line", () => {
    const { status, stderr } = bash(`${command} --completions bash > /dev/full`)
    expect(status).toBe(1)
    expect(stderr).toMatch(/^.* CRITICAL cannot write to standard output: ENOSPC.*\n$/)
  })

  it("under the log stops nothing", () => {
    const { status } = bash(`${command} generate --bets 1 --out "$(mktemp -d)" 2> /dev/full`)
    expect(status).toBe(0)
  })
})

it.live("a closed terminal stops a command as other signals do", () =>
  Effect.gen(function* () {
    const path = yield* folder
    const store = `sqlite:${path}/lottery.db`
    const server = yield* startLottery({ args: ["server", "--port", "0", "--store", store] })
    yield* server.logged(/listen/)
    yield* server.signal("SIGHUP")
    const { code, stderr } = yield* server.outcome
    expect(code).toBe(0)
    expect(stderr).toContain("signal_received | result: success | signal: SIGHUP")
  })
)

describe("an old Node", () => {
  it.live.skipIf(olderNode === undefined)("prints in one line which Node is needed", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* runLottery({ args: ["--help"], node: olderNode! })
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^lottery needs Node 26 or later, but this is v\d+\.\d+\.\d+; .*\n$/)
    })
  )
  if (olderNode === undefined) console.warn("no older Node here: its test is skipped")
})
