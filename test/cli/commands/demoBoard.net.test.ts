/**
 * Goal: `lottery demo --http` shows its draw while it plays, `--keep-open` leaves the board open
 * until Ctrl-C, and nothing remains after that. Method: the built command, asked over HTTP.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { describe, expect } from "vitest"
import { DrawStanding } from "../../../src/server/operator/DrawStanding.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import { startServer } from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const URL_LINE = /^the live board is at (http:\/\/127\.0\.0\.1:\d+)(.*)$/m
const STAYS_OPEN = /^the board stays open at (http:\/\/127\.0\.0\.1:\d+) until Ctrl-C$/m
const STACK = /^\s+at /m
const TIMEOUT_MILLIS = 30_000

/** A demo with its own folder for temporary files. */
const makeDemo = Effect.map(temporaryFolder, (folder) => {
  const temporary = join(folder, "tmp")
  mkdirSync(temporary)
  const run = (...args: ReadonlyArray<string>) => ({
    args: ["demo", "--clients", "2", ...args],
    // The address of a server, which is no concern of a demo.
    env: { TMPDIR: temporary, LOTTERY_HTTP: "0.0.0.0:1" }
  })
  return { run, left: () => readdirSync(temporary) }
})

const get = (url: string) => Effect.tryPromise(() => fetch(url))

const decodeStanding = Schema.decodeUnknownSync(Schema.fromJsonString(DrawStanding))
const standingAt = (url: string) =>
  Effect.map(
    Effect.flatMap(get(`${url}/api/standing`), (answer) => Effect.promise(() => answer.text())),
    decodeStanding
  )

/** An agency gets its winners a moment before this is recorded. */
const finalStandingAt = (url: string) =>
  Effect.retry(
    Effect.filterOrFail(standingAt(url), ({ total }) => total.told === total.agencies),
    { times: 400, schedule: Schedule.spaced("50 millis") }
  )

/** The agency and the bets of each row of the table. */
const rowsOf = (table: string) =>
  [...table.matchAll(/^ +(\d+) +(\d+) +\d+ +\d+\.\d\d s/gm)].map(([, agency, bets]) => ({
    agency: Number(agency),
    bets: Number(bets)
  }))

const childrenOf = (pid: number): ReadonlyArray<number> =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number)

describe("the board of a demo", () => {
  it.live(
    "shows the draw while it plays, and at last what the table says, until Ctrl-C",
    () =>
      Effect.gen(function* () {
        const { left, run } = yield* makeDemo
        const running = yield* startLottery(run("--bets", "100000", "--http", "0", "--keep-open"))
        const [, url = "", hint] = yield* running.printed(URL_LINE)
        expect(hint).toBe("")
        const page = yield* get(url)
        expect([page.status, page.headers.get("content-type")]).toEqual([
          200,
          "text/html; charset=utf-8"
        ])
        const { draw, total } = yield* standingAt(url)
        expect(draw?.phase).toBe("taking bets")
        expect(total.told).toBe(0)

        const { 1: open, input } = yield* running.printed(STAYS_OPEN)
        expect(open).toBe(url)
        const rows = rowsOf(input)
        expect(rows).toHaveLength(2)
        const last = yield* finalStandingAt(url)
        expect(last.draw?.phase).toBe("drawn")
        expect(last.agencies.map(({ agency, bets }) => ({ agency, bets }))).toEqual(rows)
        // A browser that is watching must not delay the end.
        const watching = yield* get(`${url}/api/events`)
        expect(watching.status).toBe(200)
        expect(left()).toHaveLength(1)

        yield* running.signal("SIGINT")
        const { code, stderr } = yield* running.outcome
        expect(code, stderr).toBe(0)
        expect(stderr).not.toMatch(STACK)
        expect(left()).toEqual([])
        yield* Effect.flip(get(url))
      }),
    TIMEOUT_MILLIS
  )

  it.live("ends with the demo, and says how to have more to watch", () =>
    Effect.gen(function* () {
      const { left, run } = yield* makeDemo
      const running = yield* startLottery(run("--http", "0"))
      const [, url = "", hint] = yield* running.printed(URL_LINE)
      expect(hint).toBe(" (for more to watch: --bets 1000000)")
      expect((yield* get(`${url}/api/events`)).status).toBe(200)
      const { code, stderr, stdout } = yield* running.outcome
      expect(code, stderr).toBe(0)
      expect(rowsOf(stdout)).toHaveLength(2)
      expect(stdout).not.toMatch(STAYS_OPEN)
      expect(left()).toEqual([])
    })
  )

  it.live("is not there without the flag", () =>
    Effect.gen(function* () {
      const { run } = yield* makeDemo
      const { code, stderr, stdout } = yield* runLottery(run("--bets", "10"))
      expect(code, stderr).toBe(0)
      expect(stdout).not.toContain("http")
    })
  )
})

describe("a demo that keeps its board open", () => {
  it.live("exits with 130 after Ctrl-C before the draw, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { left, run } = yield* makeDemo
      const running = yield* startLottery(run("--bets", "1000000", "--http", "0", "--keep-open"))
      const [, url = ""] = yield* running.printed(URL_LINE)
      yield* running.signal("SIGINT")
      const { code, stderr, stdout } = yield* running.outcome
      expect(code, stderr).toBe(130)
      expect(stderr).not.toMatch(STACK)
      expect(rowsOf(stdout)).toEqual([])
      expect(left()).toEqual([])
      yield* Effect.flip(get(url))
    })
  )

  it.live("fails if its server is stopped", () =>
    Effect.gen(function* () {
      const { left, run } = yield* makeDemo
      const running = yield* startLottery(run("--http", "0", "--keep-open"))
      yield* running.printed(STAYS_OPEN)
      // The agencies have ended.
      const [server, ...others] = childrenOf(running.child.pid!)
      expect(others).toEqual([])
      process.kill(server!, "SIGTERM")
      const { code, stderr } = yield* running.outcome
      expect(code).toBe(1)
      expect(stderr).toContain("CRITICAL the server failed: it was stopped\n")
      expect(left()).toEqual([])
    })
  )
})

describe("a demo refuses", () => {
  it.live.each([
    [["--keep-open"], "lottery: keep-open needs a board: add --http 8080\n"],
    [["--http", "127.0.0.1:80"], "expected a whole number from 0 to 65535"]
  ] as const)("%j", ([args, reason]) =>
    Effect.gen(function* () {
      const { left, run } = yield* makeDemo
      const { code, stderr, stdout } = yield* runLottery(run(...args))
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toContain(reason)
      expect(left()).toEqual([])
    })
  )

  it.live("a port that is in use, in one line", () =>
    Effect.gen(function* () {
      const { left, run } = yield* makeDemo
      const folder = yield* temporaryFolder
      const { port: taken } = yield* startServer({ store: `sqlite:${folder}/lottery.db` })
      const { code, stderr } = yield* runLottery(run("--http", `${taken}`))
      expect(code).toBe(1)
      expect(stderr).toMatch(/^\S+ \S+ CRITICAL .*\n$/)
      expect(stderr).toContain(`cannot listen on 127.0.0.1:${taken}: the port is in use\n`)
      expect(left()).toEqual([])
    })
  )
})
