/**
 * Goal: the winning number of a draw with `--number-from announced` is unknown until an operator
 * announces it, and then the same for everyone. Method: the built command, with a real server and
 * clients.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { type Outcome, runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  generate,
  inFolder,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const draw = (store: string, ...more: ReadonlyArray<string>) =>
  runLottery({ args: ["draw", "--store", store, ...more] })

const ANNOUNCED = ["--agencies", "3", "--number-from", "announced"]

/** Checks that a command ended with one line on standard error, and returns it. */
const expectOneLine = ({ code, stderr, stdout }: Outcome, expected: number) => {
  expect({ code, stdout }, stderr).toEqual({ code: expected, stdout: "" })
  const lines = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Try: "))
  expect(lines, stderr).toHaveLength(1)
  return lines[0]!
}

/** Checks that a number is refused for a reason, with `--yes` and without. */
const expectRefused = Effect.fnUntraced(function* (store: string, number: string, reason: string) {
  for (const yes of [[], ["--yes"]]) {
    const line = expectOneLine(yield* draw(store, "--number", number, ...yes), 1)
    expect(line).toContain(reason)
  }
})

const statusOf = (store: string) =>
  Effect.map(runLottery({ args: ["status", "--store", store, "--json"] }), ({ stdout }) =>
    JSON.parse(stdout)
  )

/** Books with a few bets, some of them on the number 42, and none for agency 3. */
const books = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* generate(folder, 20, 7, 2)
  for (const agency of [1, 2]) {
    const lucky = `Ana,Perez,${agency}000,1999-03-17,42\n`
    writeFileSync(join(folder, `agency-${agency}.csv`), bookOf(folder, agency) + lucky)
  }
  writeFileSync(join(folder, "agency-3.csv"), "")
  return folder
})

/** The whole life of a draw whose number is announced, in a store. */
const announces = Effect.fnUntraced(function* (store: string) {
  const folder = yield* books
  const server = yield* startServer({ store, more: [...ANNOUNCED, "--once"] })
  expect(server.stderr()).toContain("number_from: announced")
  yield* expectRefused(store, "42", "the draw is waiting for agencies 1, 2, 3")
  const first = yield* startLottery({ args: clientArgs(folder, 1, server, "native") })
  yield* first.logged(/waiting_for_draw/)
  const second = yield* startLottery({ args: clientArgs(folder, 2, server, "binary") })
  yield* server.logged(/agency_finished .* agencia: 2/)
  yield* expectRefused(store, "42", "the draw is waiting for agency 3")
  const third = yield* startLottery({
    args: [...clientArgs(folder, 3, server, "json"), "--allow-empty"]
  })
  yield* server.logged(/waiting_for_number/)
  expect((yield* statusOf(store)).draw).toMatchObject({ winningNumber: null, held: false })
  for (const { stderr } of [server, first, second, third]) {
    expect(stderr()).not.toMatch(/\b7574\b|winning_number/)
  }

  const asked = expectOneLine(yield* draw(store, "--number", "0042"), 2)
  expect(asked).toContain(
    "this would announce 42 as the winning number, which cannot be changed afterwards; " +
      "add --yes to do it"
  )
  expect((yield* statusOf(store)).draw).toMatchObject({ winningNumber: null, held: false })
  const done = yield* draw(store, "--number", "0042", "--yes")
  expect(done.code, done.stderr).toBe(0)
  expect(done.stderr).toContain("number_announced | result: success | winning_number: 42")
  for (const [index, client] of [first, second, third].entries()) {
    const winners = winnersOf(bookOf(folder, index + 1), 42)
    expect(yield* client.outcome).toMatchObject({ code: 0, stdout: winners })
  }
  expect(yield* server.outcome).toMatchObject({ code: 0 })
  expect(server.stderr().match(/action: sorteo \| result: success/g)).toHaveLength(1)

  for (const same of ["42", "042"]) {
    expect(yield* draw(store, "--number", same, "--yes")).toMatchObject({ code: 0 })
  }
  const other = "the winning number of the draw is 42, which cannot be changed"
  for (const number of ["7574", "0", "43"]) yield* expectRefused(store, number, other)
  expect((yield* statusOf(store)).draw).toMatchObject({ winningNumber: 42, held: true })
})

describe.each(STORES)("lottery draw on %s", (store) => {
  it.live("announces the number once every book is closed", () =>
    Effect.flatMap(temporaryFolder, (folder) => announces(inFolder(folder, store)))
  )

  it.live("announces it without a server, and the next one holds the draw", () =>
    Effect.gen(function* () {
      const folder = yield* books
      const url = inFolder(folder, store)
      const server = yield* startServer({ store: url, more: ANNOUNCED })
      const client = yield* startLottery({ args: clientArgs(folder, 1, server, "native") })
      yield* client.logged(/waiting_for_draw/)
      yield* client.signal("SIGKILL")
      yield* server.signal("SIGKILL")
      yield* server.outcome
      const close = ["close", "--store", url, "--without", "2,3", "--yes"]
      expect(yield* runLottery({ args: close })).toMatchObject({ code: 0 })
      expect(yield* draw(url, "--number", "9999", "--yes")).toMatchObject({ code: 0 })
      expect((yield* statusOf(url)).draw).toMatchObject({ winningNumber: 9999, held: false })
      const discard = ["discard", "--store", url, "--agency", "1", "--yes"]
      expect(expectOneLine(yield* runLottery({ args: discard }), 1)).toContain(
        "the winning number of the draw default is known"
      )
      const fixed = ["server", "--port", "0", "--store", url, "--agencies", "3"]
      const refused = yield* runLottery({ args: fixed })
      expect(refused.code).toBe(1)
      expect(refused.stderr).toMatch(/an announced winning number.*winning number 7574/)

      const next = yield* startServer({ store: url, more: [...ANNOUNCED, "--once"] })
      yield* next.logged(/action: sorteo \| result: success/)
      const told = yield* runLottery({ args: clientArgs(folder, 1, next, "json") })
      expect(told).toMatchObject({ code: 0, stdout: winnersOf(bookOf(folder, 1), 9999) })
      expect(yield* next.outcome).toMatchObject({ code: 0 })
    })
  )

  it.live("accepts no other number than a fixed one", () =>
    Effect.gen(function* () {
      const folder = yield* books
      const url = inFolder(folder, store)
      const server = yield* startServer({ store: url, more: ["--agencies", "1,", "--once"] })
      const fixed = "the winning number of the draw is 7574, which cannot be changed"
      yield* expectRefused(url, "1234", fixed)
      yield* expectRefused(url, "7574", "the draw is waiting for agency 1")
      const client = yield* runLottery({ args: clientArgs(folder, 1, server, "native") })
      expect(client).toMatchObject({ code: 0, stdout: winnersOf(bookOf(folder, 1)) })
      yield* server.outcome
      yield* expectRefused(url, "1234", fixed)
      expect(yield* draw(url, "--number", "7574", "--yes")).toMatchObject({ code: 0 })
    })
  )
})

describe("lottery draw", () => {
  it.live("refuses what is no number, and a number for another source", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = join(folder, "bets.csv")
      const store = `csv:${path}`
      for (const number of ["10000", "-1", "1e3", "abc", "", "12.0"]) {
        for (const yes of [[], ["--yes"]]) {
          expectOneLine(yield* draw(store, `--number=${number}`, ...yes), 2)
        }
      }
      expect(expectOneLine(yield* draw(store, "--yes"), 2)).toContain("number is missing")
      for (const yes of [[], ["--yes"]]) {
        expectOneLine(yield* draw(store, "--number", "1", ...yes), 1)
      }
      const args = ["server", "--port", "0", "--store", store, ...ANNOUNCED]
      const both = yield* runLottery({ args: [...args, "--winning-number", "5"] })
      expect(expectOneLine(both, 2)).toContain(
        "winning-number 5 cannot be used with number-from announced"
      )
      expect(existsSync(path)).toBe(false)

      const bets = "1,Ana,Perez,1,1999-03-17,7574\r\n"
      writeFileSync(path, bets)
      yield* expectRefused(store, "1", "the draw has not been opened yet")
      expect(readFileSync(path, "utf8")).toBe(bets)
    })
  )
})

describePostgres("lottery draw on PostgreSQL", (database) => {
  it.live("announces the number once every book is closed", () =>
    Effect.gen(function* () {
      const { url } = yield* database
      yield* announces(yield* freshSchema(url))
    })
  )
})
