/**
 * Goal: a stalled reader of the log neither stops the server nor fills its memory, and the number
 * of dropped lines is logged. Method: the built server with a pipe, a socket or a terminal as
 * standard error. The reader pauses while agencies talk to the server, then resumes.
 */
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { MAX_WAITING } from "../../../src/cli/log/LogOutput.ts"
import { exchange } from "../../support/peers/exchange.ts"
import { COMMAND, type Running, runLottery } from "../../support/processes/lotteryCommand.ts"
import { inFolder, STORES, startServer } from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

/** A line that takes 6 KB in the log, and its two log lines. */
const SAID = Buffer.from(`${"|".repeat(1000)}\n`)
const LOGGED = /(?:accept_connections|receive_message) \| result: success/g
/** Maximum bytes that the system and the reader buffer. */
const ON_ITS_WAY = 512 * 1024
/** Numbers of lines: more than those buffers hold, and more than the log's own buffer holds too. */
const [SOME, MANY] = [100, 300]

const childOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").at(-1))

const converse = (port: number, times: number) =>
  Effect.forEach(
    Array.from({ length: times }),
    () => Effect.map(exchange({ port }, SAID), (answer) => expect(answer).toEqual(SAID)),
    { concurrency: 10, discard: true }
  )

/** A kind of standard error, with the process ids of the server and of the log's reader. */
interface Way {
  readonly under: ReadonlyArray<string>
  readonly pids: (started: number) => { readonly server: number; readonly reader?: number }
}

const WAYS: Readonly<Record<string, Way>> = {
  pipe: {
    under: ["bash", "-c", 'exec "$@" 2> >(exec cat >&2)', "bash"],
    pids: (server) => ({ server, reader: childOf(server) })
  },
  terminal: {
    under: [
      ...["bash", "-c"],
      `exec script -qfec "exec $(printf '%q ' "$@") >/dev/null" /dev/null >&2`,
      "bash"
    ],
    pids: (reader) => ({ server: childOf(reader), reader })
  },
  socket: { under: [], pids: (server) => ({ server }) }
}
/** As after `su`: another user owns the terminal. */
const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
const canTrace = spawnSync("strace", ["-qq", "-o", "/dev/null", "true"]).status === 0
const hasTerminals = spawnSync("script", ["-qfec", "true", "/dev/null"]).status === 0
const canBeNobody =
  spawnSync(AS_NOBODY[0]!, [...AS_NOBODY.slice(1), "test", "-r", COMMAND]).status === 0
/** Dropping lines is slow to test, so the short form of the test does it for one kind only. */
const SHORT = "pipe"
const isShort = process.env.LOTTERY_TEST_LONG === undefined

const standStill = ({ child }: Running, reader: number | undefined) =>
  reader === undefined ? child.stderr!.pause() : process.kill(reader, "SIGSTOP")

const readOn = ({ child }: Running, reader: number | undefined) =>
  reader === undefined ? child.stderr!.resume() : process.kill(reader, "SIGCONT")

describe("a stalled reader of the log", () => {
  for (const [name, way] of Object.entries(WAYS)) {
    const isSkipped = (isShort && name !== SHORT) || (name === "terminal" && !hasTerminals)
    it.live.skipIf(isSkipped)(`learns how many lines it missed: a ${name}`, () =>
      Effect.gen(function* () {
        const store = inFolder(yield* temporaryFolder, STORES[0])
        const server = yield* startServer({ store, under: way.under })
        const { reader, server: pid } = way.pids(server.child.pid!)
        standStill(server, reader)
        yield* converse(server.port, MANY)
        readOn(server, reader)
        const [, dropped] = yield* server.logged(
          /ERROR +action: log_dropped \| result: fail \| cantidad: (\d+)/
        )
        expect(server.stderr().length).toBeLessThan(MAX_WAITING + ON_ITS_WAY)
        yield* converse(server.port, 1)
        process.kill(pid, "SIGTERM")
        const { code, stderr } = yield* server.outcome
        expect(code).toBe(0)
        const seen = stderr.match(LOGGED)?.length ?? 0
        expect(seen + Number(dropped)).toBe(2 * (MANY + 1))
        expect(stderr).toMatch(/action: exit \| result: success\r?\n$/)
      })
    )
  }

  it.live.skipIf(!hasTerminals)("stops nothing and then gets every line: a terminal", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      chmodSync(folder, 0o777)
      const under = [...WAYS.terminal!.under, ...(canBeNobody ? AS_NOBODY : [])]
      const server = yield* startServer({ store: inFolder(folder, STORES[0]), under })
      const { reader, server: pid } = WAYS.terminal!.pids(server.child.pid!)
      standStill(server, reader)
      yield* converse(server.port, SOME)
      readOn(server, reader)
      process.kill(pid, "SIGTERM")
      const { code, stderr } = yield* server.outcome
      expect(code).toBe(0)
      expect(stderr.match(LOGGED)).toHaveLength(2 * SOME)
    })
  )

  it.live("does not delay the server's shutdown", () =>
    Effect.gen(function* () {
      const store = inFolder(yield* temporaryFolder, STORES[0])
      const server = yield* startServer({ store })
      standStill(server, undefined)
      yield* converse(server.port, SOME)
      yield* server.signal("SIGTERM")
      const ended = Effect.promise(() => once(server.child, "exit"))
      expect(yield* ended).toEqual([0, null])
    })
  )
})

/** Runs `processes`, each of which logs more than a pipe holds, and returns the log. */
const longLog = (processes: string, reader: string) =>
  Effect.gen(function* () {
    const file = join(yield* temporaryFolder, `${"x".repeat(200)}.ini`)
    writeFileSync(file, UNKNOWN_KEYS.join(""))
    const { stdout } = yield* runLottery({
      args: ["status", "--config", file, "--store", "sqlite:/nowhere/lottery.db"],
      under: ["bash", "-c", `{ ${processes}; } 2>&1 >/dev/null | { ${reader}; }`, "bash"]
    })
    const lines = stdout.trimEnd().split("\n")
    expect(lines.filter((line) => !WHOLE_LINE.test(line))).toEqual([])
    return lines
  })
const UNKNOWN_KEYS = Array.from({ length: 900 }, (_, index) => `A_${index} = 1\n`)
const WHOLE_LINE =
  /^[\d-]+ [\d:]+ (WARNING {2}.*x\.ini: unknown setting A_\d+|CRITICAL cannot open .*)$/

it.live("processes that share a slow pipe do not tear lines", () =>
  Effect.gen(function* () {
    const lines = yield* longLog('"$@" & "$@" & wait', "sleep 0.8; exec cat")
    expect(lines).toHaveLength(2 * (UNKNOWN_KEYS.length + 1))
  })
)

it.live.skipIf(isShort)("a slow reader gets every line of a process that exits", () =>
  Effect.gen(function* () {
    const slowly = "sleep 0.8; head -c 60000; ".repeat(2)
    const lines = yield* longLog('"$@"', `${slowly} sleep 0.8; exec cat`)
    expect(lines).toHaveLength(UNKNOWN_KEYS.length + 1)
  })
)

it.live.skipIf(!canTrace)("a flood of bad connections does not cost a write each", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const trace = join(folder, "trace")
    const server = yield* startServer({
      store: inFolder(folder, STORES[0]),
      under: ["strace", "-f", "-qqq", "-s", "100000", "-e", "trace=write", "-o", trace]
    })
    const bad = 100
    yield* Effect.forEach(
      Array.from({ length: bad }),
      () => exchange({ port: server.port }, Buffer.from([1, 2, 3, 4, 5, 6, 7, 8])),
      { concurrency: "unbounded", discard: true }
    )
    process.kill(childOf(server.child.pid!), "SIGTERM")
    const { stderr } = yield* server.outcome
    expect(stderr.match(/receive_message \| result: fail/g)).toHaveLength(bad)
    const writes = readFileSync(trace, "utf8").match(/receive_message \| result: fail.*/g) ?? []
    expect(writes.length).toBeGreaterThan(0)
    expect(writes.length).toBeLessThan(bad)
  })
)
