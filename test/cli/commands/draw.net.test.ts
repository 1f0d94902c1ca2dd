/**
 * Goal: the winning number of a draw with `--number-from announced` is unknown until an operator
 * announces it, and then the same for everyone. Method: the built command, with a real server and
 * clients.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { Draw, type ExpectedAgencies } from "../../../src/domain/Draw.ts"
import { timeOfRound } from "../../../src/domain/seal/Quicknet.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets } from "../../server/store/BetStore.conformance.ts"
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
import { whole } from "../../support/wholeBook.ts"

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
  yield* server.logged(/waiting_for_number .*lottery draw --draw default --number N --yes/)
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
        "winning-number cannot be used with number-from announced"
      )
      expect(existsSync(path)).toBe(false)

      const bets = "1,Ana,Perez,1,1999-03-17,7574\r\n"
      writeFileSync(path, bets)
      yield* expectRefused(store, "1", "the draw has not been opened yet")
      expect(readFileSync(path, "utf8")).toBe(bets)
    })
  )
})

/** A real round, from which the draw `default` gets the number 6286. */
const ROUND = {
  round: 1000,
  signature:
    "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125" +
    "e342b73a8dd2bacbe47e4b6b63ed5e39"
}
/** When round 1000 is published, in POSIX seconds. */
const ROUND_AT = timeOfRound(ROUND.round)
const BOOK = bets(1, 0, 10)

const timeText = (seconds: number): string =>
  new Date(1000 * seconds).toISOString().replace(".000", "")

/** Opens a draw before round 1000, and closes its books unless an agency is missing. */
const beforeRound = Effect.fnUntraced(function* (store: string, agencies: ExpectedAgencies) {
  const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(store)
  const closeAt = 1000 * (ROUND_AT - 60)
  const source = { _tag: "drand", at: { round: ROUND.round } } as const
  yield* TestClock.setTime(closeAt)
  const fill = Effect.gen(function* () {
    const { append, openDraw, recordEntries } = yield* BetStore
    yield* openDraw(new Draw({ id: "default", agencies, source, closeAt }))
    const digest = whole(BOOK)
    yield* append(1, 0, BOOK, { last: digest })
    if (agencies.length > 1) return
    yield* recordEntries({
      draw: "default",
      sealedAt: ROUND_AT - 60,
      source: { _tag: "drand", round: ROUND.round },
      agencies: [{ agency: 1, bets: BOOK.count, salt: "01".repeat(16), ...digest }]
    })
  })
  yield* Effect.provide(fill, StoreUrl.layer(url, "default"))
})

describe.each(STORES)("lottery draw --beacon on %s", (store) => {
  const made = Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const url = inFolder(folder, store)
    const file = join(folder, "round.json")
    writeFileSync(file, JSON.stringify(ROUND))
    const drawWith = (text: string, ...more: ReadonlyArray<string>) => {
      writeFileSync(file, text)
      return draw(url, "--beacon", file, ...more)
    }
    return { file, url, drawWith }
  })

  it.effect("announces the number that follows from the round of the draw", () =>
    Effect.gen(function* () {
      const { drawWith, file, url } = yield* made
      yield* beforeRound(url, [1])
      const { round, signature } = ROUND
      const flipped = `${signature.slice(0, -1)}8`
      for (const [text, reason] of [
        [JSON.stringify({ round: 1001, signature }), "expected the beacon of round 1000, got"],
        [JSON.stringify({ round, signature: flipped }), "the signature of round 1000 is not"],
        [JSON.stringify({ ...ROUND, randomness: "00" }), `${file}: expected randomness `],
        [JSON.stringify({ round }), `${file}: expected a drand round in JSON`],
        ["{", `${file}: expected a drand round in JSON`]
      ] as const) {
        for (const yes of [[], ["--yes"]]) {
          expect(expectOneLine(yield* drawWith(text, ...yes), 1)).toContain(reason)
        }
      }
      yield* expectRefused(url, "6286", "the winning number of the draw comes from drand")
      const asked = expectOneLine(yield* drawWith(JSON.stringify(ROUND)), 2)
      expect(asked).toContain(
        "this would announce 6286, which follows from round 1000 of drand, as the winning number"
      )
      expect((yield* statusOf(url)).draw).toMatchObject({ winningNumber: null })
      const winners = yield* runLottery({ args: ["winners", "--store", url] })
      expect(expectOneLine(winners, 1)).toContain(
        `it is waiting for drand round 1000 of ${timeText(ROUND_AT)}`
      )
      const times = ["--close-at", timeText(ROUND_AT - 60), "--draw-at", timeText(ROUND_AT)]
      const unreachable = ["--drand-url", "http://127.0.0.1:1"]
      const server = yield* startServer({
        store: url,
        more: ["--agencies", "1", "--number-from", "drand", ...times, ...unreachable]
      })
      yield* server.logged(/action: beacon \| result: fail/)
      for (const time of ["first", "second"]) {
        const done = yield* drawWith(JSON.stringify(ROUND), "--yes")
        expect(done, time).toMatchObject({ code: 0, stdout: "" })
        expect(done.stderr).toContain("number_announced | result: success | winning_number: 6286")
      }
      yield* server.logged(/action: sorteo \| result: success/)
      expect((yield* statusOf(url)).draw).toMatchObject({ winningNumber: 6286, held: true })
    })
  )

  it.effect("refuses a round of a draw that was missed, is not sealed, or has another source", () =>
    Effect.gen(function* () {
      const missed = yield* made
      yield* beforeRound(missed.url, [1, 2])
      const [early, other] = [yield* made, yield* made]
      const drand = ["--agencies", "3", "--number-from", "drand"]
      const servers = [
        yield* startServer({ store: early.url, more: drand }),
        yield* startServer({ store: other.url, more: ANNOUNCED })
      ]
      for (const yes of [[], ["--yes"]]) {
        for (const [{ drawWith }, reason] of [
          [missed, "the draw default was missed: "],
          [early, "the draw is not sealed yet"],
          [other, "does not come from drand"]
        ] as const) {
          const refused = yield* drawWith(JSON.stringify(ROUND), ...yes)
          expect(expectOneLine(refused, 1)).toContain(reason)
        }
      }
      for (const { signal } of servers) yield* signal("SIGTERM")
      const winners = yield* runLottery({ args: ["winners", "--store", missed.url] })
      expect(expectOneLine(winners, 1)).toContain("the draw default was missed: ")
    })
  )
})

it.live("lottery draw needs either a number or a beacon", () =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const file = join(folder, "missing.json")
    const store = `csv:${join(folder, "bets.csv")}`
    const both = yield* draw(store, "--number", "1", "--beacon", file)
    expect(expectOneLine(both, 2)).toContain("expected either --number or --beacon, not both")
    expect(expectOneLine(yield* draw(store, "--beacon", file, "--yes"), 1)).toContain(file)
  })
)

describePostgres("lottery draw on PostgreSQL", (database) => {
  it.live("announces the number once every book is closed", () =>
    Effect.gen(function* () {
      const { url } = yield* database
      yield* announces(yield* freshSchema(url))
    })
  )
})
