/**
 * Goal: killing a server or a client at any moment loses no bet and stores none twice, and the
 * others resume on their own. Method: SIGKILL, until enough kills were in mid-book; then every
 * stored book is compared with the sent one.
 */
import { it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { describe, expect } from "vitest"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  AGENCIES,
  bookOf,
  clientArgs,
  exported,
  freePorts,
  generate,
  heldBets,
  inFolder,
  type Ports,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

/** The number of kills in mid-book. */
const KILLS = process.env.LOTTERY_TEST_LONG ? 50 : 5
const DIALECTS = ["native", "native", "json", "binary", "native"] as const

/** Kills the server repeatedly while five clients upload; returns the kills in mid-book. */
const playRound = Effect.fnUntraced(function* (store: string, bets: number, wanted: number) {
  const folder = yield* temporaryFolder
  yield* generate(folder, bets)
  const url = inFolder(folder, store)
  const ports = yield* freePorts
  const total = bets * AGENCIES.length
  const clients = yield* Effect.forEach(AGENCIES, (agency) =>
    startLottery({
      args: [...clientArgs(folder, agency, ports, DIALECTS[agency - 1]!), "--batch", "20"]
    })
  )
  let kills = 0
  let held = 0
  while (held < total && kills < wanted) {
    const server = yield* startServer({ store: url, ports })
    yield* Effect.raceFirst(server.logged(/apuestas_almacenadas/), Effect.sleep("3 seconds"))
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 80))
    yield* server.signal("SIGKILL")
    yield* server.outcome
    held = yield* heldBets(url)
    if (held > 0 && held < total) kills++
  }
  // Not with --once: an agency does not return if it got its winners but the killed server could
  // not record that.
  const last = yield* startServer({ store: url, ports })
  for (const agency of AGENCIES) {
    const { code, stderr, stdout } = yield* clients[agency - 1]!.outcome
    const book = bookOf(folder, agency)
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winnersOf(book) })
    expect(yield* exported(url, agency)).toBe(book)
  }
  yield* last.signal("SIGTERM")
  expect((yield* last.outcome).code).toBe(0)
  return kills
}, Effect.scoped)

describe("kill -9 of the server while five clients upload", () => {
  for (const store of STORES) {
    it.live(
      `loses nothing, repeats nothing and does not end any client: ${store}`,
      () =>
        Effect.gen(function* () {
          let kills = 0
          // If the books were complete before enough kills, use larger books.
          for (let bets = 4_000; kills < KILLS; bets *= 2) {
            kills += yield* playRound(store, bets, KILLS - kills)
          }
        }),
      300_000
    )
  }
})

describe("kill -9 of a client", () => {
  it.live.each(STORES)(
    "at any moment: after a restart it resumes where it stopped, with %s",
    (store) =>
      Effect.gen(function* () {
        let kills = 0
        for (let bets = 4_000; kills < KILLS; bets *= 2) {
          const folder = yield* temporaryFolder
          yield* generate(folder, bets)
          const url = inFolder(folder, store)
          const server = yield* startServer({ store: url, more: ["--agencies", "1,"] })
          kills += yield* killClients(folder, url, server, bets, KILLS - kills)
          const { code, stdout } = yield* runLottery({ args: slowClient(folder, server) })
          const book = bookOf(folder, 1)
          expect({ code, stdout }).toEqual({ code: 0, stdout: winnersOf(book) })
          yield* server.signal("SIGTERM")
          expect((yield* server.outcome).code).toBe(0)
          expect(yield* exported(url, 1)).toBe(book)
        }
      }),
    300_000
  )
})

describe("kill -9 of the server at the draw", () => {
  for (const store of STORES) {
    it.live(`keeps the recorded draw: ${store}`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* generate(folder, 3_000)
        const url = inFolder(folder, store)
        const ports = yield* freePorts
        const server = yield* startServer({ store: url, ports })
        const clients = yield* Effect.forEach(AGENCIES, (agency) =>
          startLottery({ args: clientArgs(folder, agency, ports, DIALECTS[agency - 1]!) })
        )
        yield* server.logged(/action: sorteo/)
        yield* server.signal("SIGKILL")
        yield* server.outcome
        const again = yield* startServer({ store: url, ports })
        for (const agency of AGENCIES) {
          const { code, stderr, stdout } = yield* clients[agency - 1]!.outcome
          const winners = winnersOf(bookOf(folder, agency))
          expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winners })
        }
        const stderr = again.stderr()
        expect(stderr).toMatch(/action: draw_held/)
        expect(stderr).not.toMatch(/action: sorteo/)
      })
    )
  }
})

describe.each(["native", "binary", "json"])("kill -9 of a waiting client, in %s", (dialect) => {
  it.live("does not count its winners as sent until it returns", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 100)
      const url = inFolder(folder, "csv:bets.csv")
      const server = yield* startServer({ store: url, more: ["--agencies", "2", "--once"] })
      const waiting = yield* startLottery({ args: clientArgs(folder, 1, server, dialect) })
      yield* waiting.logged(/apuestas_enviadas/)
      yield* Effect.sleep("300 millis")
      yield* waiting.signal("SIGKILL")
      yield* waiting.outcome
      const other = yield* runLottery({ args: clientArgs(folder, 2, server, "native") })
      expect(other.code, other.stderr).toBe(0)
      // Longer than the server waits for a peer to close.
      yield* Effect.sleep("1500 millis")
      const { stdout } = yield* runLottery({ args: ["status", "--store", url, "--json"] })
      expect(JSON.parse(stdout).agencies).toMatchObject([
        { agency: 1, told: false },
        { agency: 2, told: true }
      ])
      const again = yield* runLottery({ args: clientArgs(folder, 1, server, dialect) })
      expect(again).toMatchObject({ code: 0, stdout: winnersOf(bookOf(folder, 1)) })
      expect((yield* server.outcome).code).toBe(0)
    })
  )
})

const slowClient = (folder: string, ports: Ports) => [
  ...clientArgs(folder, 1, ports, "native"),
  ...["--batch", "5"]
]

/** Kills clients until there were enough kills in mid-book or the book is complete. */
const killClients = Effect.fnUntraced(function* (
  folder: string,
  url: string,
  ports: Ports,
  bets: number,
  wanted: number
) {
  let kills = 0
  let held = 0
  while (kills < wanted) {
    const client = yield* startLottery({ args: slowClient(folder, ports) })
    // The client that was killed last may have sent the rest.
    const [said] = yield* client.logged(/apuestas_enviadas|consulta_ganadores/)
    if (said === "consulta_ganadores") break
    if (held > 0) {
      const stderr = client.stderr()
      const [, position] = /upload_resumed .* posicion: (\d+)/.exec(stderr) ?? []
      expect(Number(position), stderr).toBeGreaterThanOrEqual(held)
      expect(Number(position)).toBeLessThan(bets)
    }
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 30))
    yield* client.signal("SIGKILL")
    yield* client.outcome
    held = yield* heldBets(url)
    if (held >= bets) break
    kills++
  }
  return kills
})
