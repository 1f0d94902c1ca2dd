/**
 * Goal: a file that is not the intended book is not sent. It would finish its agency, and the draw
 * would be held without the real bets. Method: the command in this process, on real files, with a
 * port that counts connections.
 */
import { chownSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import * as CliConfig from "effect/cli/CliConfig"
import * as Command from "effect/cli/Command"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import type { LogChoice } from "../../../src/cli/log/LogFormat.ts"
import { makeLottery } from "../../../src/cli/process/commandLine.ts"
import { keepLog } from "../../support/clientBooks.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const GOOD = "Ana,Diaz,30000001,1990-01-01,7574\n"
const SEMICOLONS = "Ana;Diaz;30000001;1990-01-01;7574\r\nEva;Paz;30000002;1991-02-03;12\r\n"

/** Not a valid answer in any dialect. */
const NO_ANSWER = Buffer.alloc(64, 0xff)

/** A port that counts connections and is not a lottery server. */
const countingPort = Effect.acquireRelease(
  Effect.callback<{ port: number; connections: () => number; close: () => void }>((resume) => {
    let connections = 0
    const server = createServer((socket) => {
      connections++
      socket.on("error", () => {}).end(NO_ANSWER)
    }).listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = address !== null && typeof address === "object" ? address.port : 0
      const close = () => void server.close()
      resume(Effect.succeed({ port, connections: () => connections, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

interface Run {
  /** Arguments in addition to the agency and the server; `%` is the folder. */
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** The contents of the folder's files, by name. */
  readonly files?: Readonly<Record<string, string>>
  readonly prepare?: (folder: string) => void
}

/** Runs `lottery client` until it fails; returns its error, its log and the connections. */
const run = Effect.fnUntraced(function* ({ args, env = {}, files = {}, prepare }: Run) {
  const folder = yield* temporaryFolder
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  prepare?.(folder)
  const { connections, port } = yield* countingPort
  const log = keepLog()
  const choice: LogChoice = { format: "text", level: "INFO" }
  const given = ["client", "--agency", "1", "--server", `127.0.0.1:${port}`, ...args]
  const all = given.map((arg) => arg.replace("%", folder))
  const root = yield* Effect.promise(() => makeLottery(choice, all))
  const failure = yield* Command.runWith(root, { version: "0", renderErrors: false })(all).pipe(
    Effect.flip,
    Effect.provide(log.layer),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
    Effect.provide(Layer.merge(NodeServices.layer, CliConfig.layer({ builtIns: [] })))
  )
  const errors = "errors" in failure ? failure.errors : [failure]
  const message = errors.map((error) => error.message).join()
  const lines = log.lines.map((line) => line.replaceAll(folder, ""))
  return { folder, message: message.replaceAll(folder, ""), log: lines, connections }
})

const REFUSED: ReadonlyArray<readonly [what: string, run: Run, message: string]> = [
  [
    "an empty file",
    { args: ["--bets", "%/b.csv"], files: { "b.csv": "" } },
    "/b.csv: no bets; nothing was sent. If the agency has none, use --allow-empty"
  ],
  [
    "a byte order mark alone",
    { args: ["--bets", "%/b.csv"], files: { "b.csv": "\ufeff" } },
    "/b.csv: no bets; nothing was sent. If the agency has none, use --allow-empty"
  ],
  [
    "an empty line alone",
    { args: ["--bets", "%/b.csv"], files: { "b.csv": "\r\n" } },
    "/b.csv: no bets; nothing was sent. If the agency has none, use --allow-empty"
  ],
  [
    "lines that are all rejected",
    { args: ["--bets", "%/b.csv", "--rejects", "%/bad.csv"], files: { "b.csv": SEMICOLONS } },
    "/b.csv: no bets (rejected lines: 2); nothing was sent. Is it a book?"
  ],
  [
    "lines that are all rejected, although the agency may have no bets",
    {
      args: ["--bets", "%/b.csv", "--rejects", "%/bad.csv", "--allow-empty", "--expect", "0"],
      files: { "b.csv": SEMICOLONS }
    },
    "/b.csv: no bets (rejected lines: 2); nothing was sent. Is it a book?"
  ],
  [
    "too many rejected lines",
    {
      args: ["--bets", "%/b.csv", "--rejects", "%/bad.csv", "--max-rejects", "1"],
      files: { "b.csv": `${GOOD}${SEMICOLONS}${GOOD}` }
    },
    "/b.csv: 2 of the first 4 lines are bad, but --max-rejects allows 1; " + "nothing was sent"
  ],
  [
    "more than 50 rejected lines",
    {
      args: ["--bets", "%/b.csv", "--rejects", "%/bad.csv"],
      files: { "b.csv": GOOD + "x\n".repeat(51) }
    },
    "/b.csv: 51 of the first 52 lines are bad, but --max-rejects allows 50; " + "nothing was sent"
  ],
  [
    "fewer bets than expected",
    {
      args: ["--bets", "%/b.csv", "--rejects", "%/bad.csv", "--expect", "3"],
      files: { "b.csv": `nombre,apellido\n${GOOD}${GOOD}` }
    },
    "/b.csv: expected 3 bets, got 2 (rejected lines: 1); nothing was sent"
  ],
  [
    "more bets than expected",
    { args: ["--bets", "%/b.csv", "--expect", "0"], files: { "b.csv": GOOD } },
    "/b.csv: expected 0 bets, got 1; nothing was sent"
  ],
  [
    "no bets where some are expected, whatever is allowed",
    { args: ["--bets", "%/b.csv", "--expect", "3", "--allow-empty"], files: { "b.csv": "" } },
    "/b.csv: expected 3 bets, got 0; nothing was sent"
  ],
  ["a folder", { args: ["--bets", "%"] }, ": is a folder, expected a file"],
  [
    "what can be read only once",
    { args: ["--bets", "/dev/null"] },
    "/dev/null: cannot be read twice; use - and send it to standard input"
  ]
]

const FIELDS = ["Ana", "Paz", "1", "1999-03-17", "7"]
const BET_FLAGS = ["--first-name", "--last-name", "--document", "--birthdate", "--number"].flatMap(
  (flag, index) => [flag, FIELDS[index]!]
)

describe.each(["native", "binary", "json"])("in %s nothing is sent of", (dialect) => {
  for (const [what, { args, ...more }, message] of REFUSED) {
    it.live(what, () =>
      Effect.gen(function* () {
        const refused = yield* run({ ...more, args: [...args, "--dialect", dialect] })
        expect(refused.message).toBe(message)
        expect(refused.connections()).toBe(0)
      })
    )
  }

  it.live("a single bet if more are expected", () =>
    Effect.gen(function* () {
      const refused = yield* run({ args: [...BET_FLAGS, "--expect", "2", "--dialect", dialect] })
      expect(refused.message).toBe("the single bet: expected 2 bets, got 1; nothing was sent")
      expect(refused.connections()).toBe(0)
    })
  )
})

/** The error of a client that has sent something. */
const SENT = /^(invalid answer from the server|the server refused)/

describe("is sent", () => {
  for (const args of [["--allow-empty"], ["--expect", "0"]]) {
    it.live(`an empty book with ${args.join(" ")}`, () =>
      Effect.gen(function* () {
        const given = ["--bets", "%/b.csv", ...args]
        const sent = yield* run({ args: given, files: { "b.csv": "" } })
        expect(sent.message).toMatch(SENT)
        expect(sent.log).toContain("WARNING /b.csv: no bets; sending an empty book")
        expect(sent.connections()).toBeGreaterThan(0)
      })
    )
  }

  it.live("a book with tolerated bad lines, each named in the log", () =>
    Effect.gen(function* () {
      const bad = `${"x\n".repeat(22)}Ana,Paz,1,1999-02-31,7\n`
      const args = ["--bets", "%/b.csv", "--rejects", "%/bad.csv", "--expect", "1"]
      const sent = yield* run({
        args: [...args, "--max-rejects", "23"],
        files: { "b.csv": bad + GOOD, "bad.csv": "of yesterday" }
      })
      expect(sent.message).toMatch(SENT)
      expect(readFileSync(join(sent.folder, "bad.csv"), "utf8")).toBe(bad)
      const told = sent.log.filter((line) => line.includes("rejected_line"))
      expect(told).toHaveLength(21)
      expect(told[19]).toBe(
        "action: rejected_line | result: fail | agencia: 1 | line: 20 | field: line | " +
          "error: expected 5 fields separated by commas, got 1"
      )
      expect(told[20]).toBe(
        "action: rejected_lines | result: fail | agencia: 1 | cantidad: 23 | more: 3 | " +
          "file: /bad.csv"
      )
    })
  )

  it.live("a last line without a line ending, with a warning", () =>
    Effect.gen(function* () {
      const args = ["--bets", "%/b.csv"]
      const files = { "b.csv": `${GOOD}Eva,Paz,30000002,1991-02-03,75` }
      const { log } = yield* run({ args, files })
      expect(log).toContain(
        "WARNING action: last_line | result: success | agencia: 1 | file: /b.csv | line: 2 | " +
          "warning: no line ending; the file may have been cut off | " +
          "text: Eva,Paz,30000002,1991-02-03,75"
      )
    })
  )
})

describe("a single bet", () => {
  const files = { "b.csv": GOOD }

  it.live("cannot be given by flags together with a book", () =>
    Effect.gen(function* () {
      const both = [
        { args: [...BET_FLAGS, "--bets", "%/b.csv"], files },
        { args: ["--number", "7", "--bets", "%/b.csv"], files },
        { args: BET_FLAGS, env: { LOTTERY_BETS: "b.csv" } }
      ]
      for (const one of both) {
        const { connections, message } = yield* run(one)
        expect(message).toMatch(/^expected a book \(.*\) or the flags of a single bet, got both$/)
        expect(connections()).toBe(0)
      }
    })
  )
})

describe("the file of --rejects", () => {
  const files = { "b.csv": GOOD }
  const refusals: Array<readonly [what: string, Run["prepare"], path: string, why: string]> = [
    ["the book", undefined, "b.csv", "is the book itself, expected another file"],
    [
      "a hard link to the book",
      (folder) => linkSync(join(folder, "b.csv"), join(folder, "l.csv")),
      "l.csv",
      "is the book itself, expected another file"
    ],
    [
      "a symbolic link",
      (folder) => symlinkSync("b.csv", join(folder, "l.csv")),
      "l.csv",
      "is a symbolic link, expected a file"
    ],
    [
      "a link to nothing",
      (folder) => symlinkSync("nowhere", join(folder, "l.csv")),
      "l.csv",
      "is a symbolic link, expected a file"
    ],
    ["a folder", (folder) => mkdirSync(join(folder, "l")), "l", "is a folder, expected a file"]
  ]
  if (process.geteuid?.() === 0) {
    refusals.push([
      "another user's (as root)",
      (folder) => {
        writeFileSync(join(folder, "l.csv"), "")
        chownSync(join(folder, "l.csv"), 12_345, 12_345)
      },
      "l.csv",
      "belongs to user 12345, who could read the bad lines; remove it"
    ])
  }
  for (const [what, prepare, path, why] of refusals) {
    it.live(`is never ${what}`, () =>
      Effect.gen(function* () {
        const args = ["--bets", "%/b.csv", "--rejects", `%/${path}`]
        const refused = yield* run({ args, files, ...(prepare && { prepare }) })
        expect(refused.message).toBe(`/${path}: ${why}`)
        expect(readFileSync(join(refused.folder, "b.csv"), "utf8")).toBe(GOOD)
        expect(refused.connections()).toBe(0)
      })
    )
  }

  it.live("is never a store of bets", () =>
    Effect.gen(function* () {
      const store = { ...files, "bets.csv": "1,Ana,Diaz,1,1990-01-01,1\r\n", "bets.csv.lock": "" }
      const args = ["--bets", "%/b.csv", "--rejects", "%/bets.csv"]
      const refused = yield* run({ args, files: store })
      expect(refused.message).toBe("/bets.csv: is a bet store, expected another file")
      expect(readFileSync(join(refused.folder, "bets.csv"), "utf8")).toBe(store["bets.csv"])
    })
  )

  it.live("is never a stream or a device", () =>
    Effect.gen(function* () {
      for (const [rejects, why] of [
        ["-", "expected a file for the bad lines"],
        ["/dev/zero", "is not a regular file"]
      ] as const) {
        const { message } = yield* run({ args: ["--bets", "%/b.csv", "--rejects", rejects], files })
        expect(message).toBe(`${rejects}: ${why}`)
      }
    })
  )

  it.live("is needed for --max-rejects; without it that setting is not checked", () =>
    Effect.gen(function* () {
      const args = ["--bets", "%/b.csv"]
      const { message } = yield* run({ args: [...args, "--max-rejects", "1"], files })
      expect(message).toContain("max-rejects needs --rejects")
      const unused = yield* run({ args, files, env: { LOTTERY_MAX_REJECTS: "few" } })
      expect(unused.message).toMatch(SENT)
    })
  )
})

describe("unused settings are not checked", () => {
  const files = { "b.csv": GOOD, "c.yaml": "numero: 123456\n" }
  const wrong = {
    LOTTERY_DRAW: "two words",
    LOTTERY_TOKEN: "two words",
    LOTTERY_PACKET_BYTES: "1",
    LOTTERY_WINNERS_SERVER: "nowhere",
    CLI_SERVER_CONSULT_ADDRESS: "nowhere",
    DOCUMENTO: "informe.pdf",
    NUMERO: "123456",
    NOMBRE: "\u0001"
  }
  /** The settings that each dialect uses. */
  const used: Readonly<Record<string, ReadonlyArray<string>>> = {
    native: ["LOTTERY_DRAW", "LOTTERY_TOKEN"],
    binary: ["LOTTERY_PACKET_BYTES"],
    json: ["LOTTERY_WINNERS_SERVER", "CLI_SERVER_CONSULT_ADDRESS"]
  }
  for (const [dialect, names] of Object.entries(used)) {
    it.live(`in ${dialect}, with a book`, () =>
      Effect.gen(function* () {
        const args = ["--bets", "%/b.csv", "--dialect", dialect]
        const others = Object.entries(wrong).filter(([name]) => !names.includes(name))
        const env = Object.fromEntries(others)
        const sent = yield* run({ args, env, files })
        expect(sent.message).toMatch(SENT)
        for (const name of names) {
          const one = { [name]: wrong[name as keyof typeof wrong] }
          expect((yield* run({ args, env: one, files })).message).toContain(
            `from the environment variable ${name}: expected`
          )
        }
      })
    )
  }

  it.live("unless they are flags; a token and a draw need the native dialect", () =>
    Effect.gen(function* () {
      const args = ["--bets", "%/b.csv", "--dialect", "json"]
      const { message } = yield* run({ args: [...args, "--packet-bytes", "1"], files })
      expect(message).toContain("from the flag --packet-bytes: expected")
      const token = yield* run({ args: [...args, "--token", "word"], files })
      expect(token.message).toContain("token needs the native dialect")
      const draw = yield* run({ args: [...args, "--draw", "may"], files })
      expect(draw.message).toBe("draw needs the native dialect; json cannot name a draw")
      expect(draw.connections()).toBe(0)
    })
  )
})

describe("a birthdate", () => {
  it.effect("after today, in local time, is refused with its line", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(new Date(2026, 10, 28, 23, 59, 59).getTime())
      const born = (day: string) => `${GOOD}Ana,Diaz,30000001,${day},7574\n`
      const args = ["--bets", "%/b.csv"]
      const { message } = yield* run({ args, files: { "b.csv": born("2026-11-29") } })
      expect(message).toBe(
        '/b.csv:2: birthdate: expected a date up to today, 2026-11-28, got "2026-11-29"'
      )
      const files = { "b.csv": born("2026-11-28") }
      const today = yield* run({ args: [...args, "--expect", "3"], files })
      expect(today.message).toContain("expected 3 bets, got 2")
      const single = BET_FLAGS.map((arg) => (arg === "1999-03-17" ? "2027-01-01" : arg))
      const bet = yield* run({ args: single })
      expect(bet.message).toBe(
        'birthdate: expected a date up to today, 2026-11-28, got "2027-01-01"'
      )
    })
  )
})
