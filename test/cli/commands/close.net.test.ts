/**
 * Goal: an operator holds the draw without stragglers, by name or at a time, and each agency's
 * client learns what happened. Method: the built command, with a real server and clients.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { describe, expect } from "vitest"
import { showTime } from "../../../src/domain/Draw.ts"
import { makeProxy } from "../../support/peers/TcpProxy.ts"
import { type Outcome, runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  generate,
  inFolder,
  type Ports,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const DIALECTS = ["native", "binary", "json"] as const

const close = (store: string, ...more: ReadonlyArray<string>) =>
  runLottery({ args: ["close", "--store", store, ...more] })

/** The time after some milliseconds, as whole seconds in a time zone that is not the machine's. */
const timeIn = (millis: number) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const at = Math.ceil((now + millis) / 1000) * 1000
    return { at, text: new Date(at - 3 * 3_600_000).toISOString().replace(/\.\d+Z$/, "-03:00") }
  })

/** Checks that a command ended with one line on standard error, and returns it. */
const expectOneLine = ({ code, stderr, stdout }: Outcome, expected: number) => {
  expect({ code, stdout }, stderr).toEqual({ code: expected, stdout: "" })
  const lines = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Try: "))
  expect(lines, stderr).toHaveLength(1)
  return lines[0]!
}

/** What a client of an excluded agency says: one line, and no second attempt. */
const expectExcluded = ({ code, stderr, stdout }: Outcome, dialect: string, agency: number) => {
  expect({ code, stdout }, stderr).toEqual({ code: 1, stdout: "" })
  const errors = stderr.split("\n").filter((line) => /WARNING|ERROR|CRITICAL/.test(line))
  expect(errors, stderr).toHaveLength(1)
  const reason =
    dialect === "binary"
      ? "was excluded"
      : `agency ${agency} is excluded from the draw: its book was not finished in time`
  expect(errors[0]).toContain(reason)
  if (dialect === "native") expect(errors[0]).toContain("(Excluded)")
  expect(stderr).not.toContain("retry_ms")
}

/** A server in whose draw agency 1 waits for its winners. */
const withOneFinished = Effect.fnUntraced(function* (
  store: string,
  ...more: ReadonlyArray<string>
) {
  const folder = yield* temporaryFolder
  yield* generate(folder, 500, 7, 3)
  // PostgreSQL needs no folder.
  const url = store.startsWith("postgres") ? store : inFolder(folder, store)
  const server = yield* startServer({ store: url, more: ["--agencies", "3", "--once", ...more] })
  const first = yield* startLottery({ args: clientArgs(folder, 1, server, "native") })
  yield* first.logged(/waiting_for_draw/)
  return { folder, url, server, first, winners: winnersOf(bookOf(folder, 1)) }
})

/** A draw without agencies 2 and 3, which are named in two steps. */
const excludes = Effect.fnUntraced(function* (store: string) {
  const { first, folder, server, url, winners } = yield* withOneFinished(store)
  const asked = expectOneLine(yield* close(url, "--without", "2,3"), 2)
  expect(asked).toContain(
    "this would exclude agency 2 (0 stored bets), agency 3 (0 stored bets) from the draw, " +
      "which cannot be undone; add --yes to do it"
  )
  for (const yes of [[], ["--yes"]]) {
    for (const [agencies, reason] of [
      ["1,2", "agency 1 has finished"],
      ["2,9", "agency 9 is not in the draw"]
    ] as const) {
      const line = expectOneLine(yield* close(url, "--without", agencies, ...yes), 1)
      expect(line).toContain(`no agency was excluded: ${reason}`)
    }
  }
  const done = yield* close(url, "--without", "2", "--yes")
  expect(done.code, done.stderr).toBe(0)
  const line = /agency_excluded \| result: success \| agencia: 2 \| cantidad: 0/
  expect(done.stderr).toMatch(line)
  yield* server.logged(line)
  expect(first.stderr()).not.toContain("consulta_ganadores")
  yield* Effect.forEach(
    DIALECTS,
    (dialect) =>
      Effect.map(runLottery({ args: clientArgs(folder, 2, server, dialect) }), (outcome) =>
        expectExcluded(outcome, dialect, 2)
      ),
    { discard: true }
  )
  yield* close(url, "--without", "3,2", "--yes")
  expect(yield* first.outcome).toMatchObject({ code: 0, stdout: winners })
  yield* server.logged(/action: sorteo \| result: success .* excluidas: 2,3/)
  // Excluded agencies count as told.
  expect(yield* server.outcome).toMatchObject({ code: 0 })

  const again = yield* close(url, "--without", "2", "--yes")
  expect(again.code, again.stderr).toBe(0)
  expect(again.stderr).toContain("agency 2 was excluded before")
  const late = expectOneLine(yield* close(url, "--without", "1", "--yes"), 1)
  expect(late).toContain("no agency was excluded: every book of the draw is closed")
  const discard = ["discard", "--store", url, "--agency", "2", "--yes"]
  expectOneLine(yield* runLottery({ args: discard }), 1)
  const status = yield* runLottery({ args: ["status", "--store", url, "--json"] })
  expect(JSON.parse(status.stdout).agencies[1]).toMatchObject({ agency: 2, excluded: true })
})

describe.each(STORES)("lottery close on %s", (store) => {
  it.live("excludes agencies, and the draw is held without them", () => excludes(store))

  it.live.each(DIALECTS)("ends a client in the middle of its upload: %s", (dialect) =>
    Effect.gen(function* () {
      const { first, folder, server, url, winners } = yield* withOneFinished(store)
      yield* close(url, "--without", "3", "--yes")
      // Without acknowledgements the client stops in the middle of its book.
      const welcomes = dialect === "native" ? 1 : 0
      let answers = 0
      let isHeld = true
      const onAnswer = () => (isHeld && ++answers > welcomes ? "drop" : "pass")
      const proxy = yield* makeProxy({ targets: () => [server.port], random: () => 0, onAnswer })
      const through: Ports = { port: proxy.port, winnersPort: server.winnersPort }
      const args = [...clientArgs(folder, 2, through, dialect), "--batch", "1"]
      const client = yield* startLottery({ args })
      yield* server.logged(/apuestas_almacenadas \| result: success \| agencia: 2/)
      // Until the server has answered all that the client may send without an acknowledgement.
      for (let before = -1; answers <= welcomes || answers > before; ) {
        before = answers
        yield* Effect.sleep("300 millis")
      }
      isHeld = false
      const done = yield* close(url, "--without", "2", "--yes")
      expect(done.code, done.stderr).toBe(0)
      expectExcluded(yield* client.outcome, dialect, 2)
      expect(yield* first.outcome).toMatchObject({ code: 0, stdout: winners })
      yield* server.outcome
      expect(proxy.connections()).toBe(1)

      // Its bets are kept, and it is told the same by a server that knows the draw.
      const kept = yield* exported(url, 2)
      expect(kept).not.toBe("")
      expect(bookOf(folder, 2).startsWith(kept)).toBe(true)
      const next = yield* startServer({ store: url, more: ["--agencies", "3"] })
      for (const agency of [2, 3]) {
        const outcome = yield* runLottery({ args: clientArgs(folder, agency, next, dialect) })
        expectExcluded(outcome, dialect, agency)
      }
      const told = yield* runLottery({ args: clientArgs(folder, 1, next, dialect) })
      expect(told).toMatchObject({ code: 0, stdout: winners })
    })
  )

  it.live("at a time closes the books then, and a server that starts later knows", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 50, 7, 3)
      const url = inFolder(folder, store)
      const { at, text } = yield* timeIn(3000)
      const flags = ["--agencies", "3", "--close-at", text]
      const server = yield* startServer({ store: url, more: [...flags, "--once"] })
      expect(server.stderr()).toContain(`close_at: ${showTime(at)}`)
      const first = yield* startLottery({ args: clientArgs(folder, 1, server, "json") })
      const outcome = yield* first.outcome
      expect(outcome).toMatchObject({ code: 0, stdout: winnersOf(bookOf(folder, 1)) })
      expect(yield* Clock.currentTimeMillis).toBeGreaterThanOrEqual(at)
      expect(yield* server.outcome).toMatchObject({ code: 0 })
      expect(server.stderr()).toMatch(/agency_excluded .* agencia: 2 .*\n.*agency_excluded .* 3/)

      for (const other of [
        ["--agencies", "3"],
        [...flags.slice(0, 3), "2031-01-01T00:00:00Z"]
      ]) {
        const { code, stderr } = yield* runLottery({
          args: ["server", "--port", "0", "--store", url, ...other]
        })
        expect(code).toBe(1)
        expect(stderr).toContain(`opened with agencies 1, 2, 3 and winning number 7574, close time`)
        expect(stderr).toContain(showTime(at))
        expect(stderr).toContain(other.length === 2 ? "no close time" : "2031-01-01T00:00:00Z")
      }
      const again = yield* startServer({ store: url, more: flags })
      expect(again.stderr()).toMatch(/draw_held .* excluidas: 2,3/)
    })
  )

  it.live("at a time that passed while no server ran closes before a server accepts", () =>
    Effect.gen(function* () {
      const opened = ["--close-at", (yield* timeIn(3_600_000)).text]
      const { first, server, url } = yield* withOneFinished(store, ...opened)
      yield* first.signal("SIGKILL")
      yield* server.signal("SIGTERM")
      yield* server.outcome
      const { at, text } = yield* timeIn(2000)
      const moved = yield* close(url, "--at", text, "--yes")
      expect(moved.code, moved.stderr).toBe(0)
      yield* Effect.sleep(at - (yield* Clock.currentTimeMillis) + 1)
      const next = yield* startServer({ store: url, more: ["--agencies", "3", ...opened] })
      const actions = [...next.stderr().matchAll(/action: (\w+)/g)].map(([, action]) => action)
      expect(actions.slice(actions.indexOf("agency_excluded"))).toEqual([
        ...["agency_excluded", "agency_excluded", "draw_opened"],
        ...actions.slice(actions.indexOf("draw_opened") + 1)
      ])
      expect(actions.indexOf("listen")).toBeGreaterThan(actions.indexOf("draw_opened"))
      yield* next.logged(/action: sorteo \| result: success/)
    })
  )

  it.live("moves the time, also to never, while it has not come", () =>
    Effect.gen(function* () {
      const [soon, later] = [yield* timeIn(3_600_000), yield* timeIn(5_184_000_000)]
      const opened = ["--close-at", soon.text]
      const { first, folder, server, url, winners } = yield* withOneFinished(store, ...opened)
      const asked = expectOneLine(yield* close(url, "--at", "never"), 2)
      expect(asked).toContain(
        `this would move the close time of the draw from ${showTime(soon.at)} to never; ` +
          "add --yes to do it"
      )
      for (const [to, shown] of [
        ["never", "never"],
        ["never", "never"],
        [later.text, showTime(later.at)]
      ] as const) {
        const moved = yield* close(url, "--at", to, "--yes")
        expect(moved.code, moved.stderr).toBe(0)
        expect(moved.stderr).toContain(`close_moved | result: success | closes_at: ${shown}`)
        yield* server.logged(new RegExp(`close_moved \\| result: success \\| closes_at: ${shown}`))
      }
      yield* first.signal("SIGKILL")
      yield* server.signal("SIGTERM")
      expect(yield* server.outcome).toMatchObject({ code: 0 })

      // The first time is still good for a start, as often as needed; the moved one counts.
      for (const flag of [soon.text, later.text, soon.text]) {
        const more = ["--agencies", "3", "--close-at", flag]
        const next = yield* startServer({ store: url, more })
        yield* next.signal("SIGTERM")
        yield* next.outcome
      }
      const come = yield* timeIn(3000)
      const moved = yield* close(url, "--at", come.text, "--yes")
      expect(moved.code, moved.stderr).toBe(0)
      const last = yield* startServer({
        store: url,
        more: ["--agencies", "3", ...opened, "--once"]
      })
      const told = yield* runLottery({ args: clientArgs(folder, 1, last, "native") })
      expect(told).toMatchObject({ code: 0, stdout: winners })
      yield* last.outcome
      for (const yes of [[], ["--yes"]]) {
        const line = expectOneLine(yield* close(url, "--at", later.text, ...yes), 1)
        expect(line).toContain("cannot be moved")
      }
    })
  )
})

describe("lottery close", () => {
  it.live("refuses a time that it cannot mean, and leaves the store alone", () =>
    Effect.gen(function* () {
      const { server, url } = yield* withOneFinished("csv:bets.csv")
      const expected = "expected a time with its offset, such as 2026-12-01T21:00:00-03:00"
      for (const [time, reason] of [
        ["2031-12-01T21:00:00", expected],
        ["2031-12-01", expected],
        ["21:00", expected],
        ["2031-02-30T21:00:00Z", expected],
        ["2031-02-29T21:00:00-03:00", expected],
        ["2031-12-01T25:00:00Z", expected],
        ["2031-12-01T21:00:00+25:00", expected],
        ["2031-13-01T21:00:00Z", expected],
        ["", ""],
        ["NEVER", expected],
        ["2020-12-01T21:00:00-03:00", "--at 2020-12-02T00:00:00Z has passed"]
      ] as const) {
        for (const yes of [[], ["--yes"]]) {
          const line = expectOneLine(yield* close(url, "--at", time, ...yes), 2)
          expect(line).toContain(reason)
        }
        if (reason !== expected) continue
        const args = ["server", "--port", "0", "--store", `${url}.new`, "--close-at", time]
        expect(expectOneLine(yield* runLottery({ args }), 2)).toContain(expected)
      }
      for (const flags of [
        [],
        ["--without", "2", "--at", "never"],
        ["--without", "*"],
        ["--without", "0"],
        ["--without", "2-3"]
      ]) {
        expectOneLine(yield* close(url, ...flags, "--yes"), 2)
      }
      expect(server.stderr()).not.toMatch(/agency_excluded|close_moved/)
    })
  )

  it.live("refuses a store without a draw, and one that is not there", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "bets.csv")
      for (const yes of [[], ["--yes"]]) {
        for (const act of [
          ["--without", "1"],
          ["--at", "2031-12-01T21:00:00Z"]
        ]) {
          rmSync(path, { force: true })
          const none = yield* close(`csv:${path}`, ...act, ...yes)
          expect(none.code, none.stderr).toBe(1)
          writeFileSync(path, "1,Ana,Perez,1,1999-03-17,7574\r\n")
          const unopened = yield* close(`csv:${path}`, ...act, ...yes)
          expect(expectOneLine(unopened, 1)).toContain("the draw has not been opened yet")
        }
      }
    })
  )
})

describePostgres("lottery close on PostgreSQL", (database) => {
  it.live("excludes agencies, and the draw is held without them", () =>
    Effect.flatMap(database, ({ url }) => Effect.flatMap(freshSchema(url), excludes))
  )
})
