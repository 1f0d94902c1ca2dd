/**
 * Goal: a server that is killed while it waits for its round goes on with the same seal, and its
 * agencies prove their winners; a draw that is not sealed in time is missed. Method: the built
 * command, with a clock of 2023, and an endpoint of drand with a real round.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { timeOfRound } from "../../../src/domain/seal/Quicknet.ts"
import {
  GENUINE,
  NEXT_ROUND,
  startDrand,
  statusOf,
  until,
  WRONG_SIGNATURE
} from "../../support/peers/DrandEnd.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  freePorts,
  generate,
  inFolder,
  launchServer,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { clockAt } from "../../support/processes/processClock.ts"
import { SEAL_VKEY, sealFlags } from "../../support/sealKey.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const NUMBER = 6286
const PUBLISHED = 1000 * timeOfRound(1000)
const HOUR = 3_600_000

const iso = (time: number) => new Date(time).toISOString().replace(".000Z", "Z")

/** Two books with a bet on the number each, and the flags of their draw. */
const prepared = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* generate(folder, 20, 7, 2)
  for (const agency of [1, 2]) {
    const lucky = `Ana,Perez,${agency}000,1999-03-17,${NUMBER}\n`
    writeFileSync(join(folder, `agency-${agency}.csv`), bookOf(folder, agency) + lucky)
  }
  const drand = yield* startDrand(statusOf(404))
  const more = [
    ...["--agencies", "2", "--draw", "default", "--number-from", "drand"],
    ...["--close-at", iso(PUBLISHED - 120_000), "--draw-at", iso(PUBLISHED)],
    ...["--drand-url", drand.url, "--once", ...sealFlags(folder)]
  ]
  return { drand, folder, more }
})

describe.each(STORES)("a draw by drand in %s", (scheme) => {
  it.live("goes on with its seal after a kill, and waits for the right round", () =>
    Effect.gen(function* () {
      const { drand, folder, more } = yield* prepared
      const [store, ports] = [inFolder(folder, scheme), yield* freePorts]
      const early = clockAt(PUBLISHED - HOUR)
      const first = yield* startServer({ store, ports, more, env: early })
      const clients = yield* Effect.forEach([1, 2], (agency) =>
        startLottery({
          args: [...clientArgs(folder, agency, first, "native"), "--seal-vkey", SEAL_VKEY],
          env: early
        })
      )
      const [, root] = yield* first.logged(/draw_sealed .* root: (\S+) \| round: 1000 /)
      yield* first.logged(/waiting_for_round .* round: 1000 \| round_at: 2023-08-23T15:59:24Z/)
      for (const client of clients) yield* client.logged(/root: /)
      yield* first.signal("SIGKILL")
      yield* first.outcome
      expect(drand.paths).toEqual([])

      const late = clockAt(PUBLISHED + 10_000)
      const second = yield* startServer({ store, ports, more, env: late })
      yield* second.logged(/beacon \| result: fail .* error: the round is not there yet/)
      drand.answerWith(NEXT_ROUND)
      yield* second.logged(/beacon \| result: fail .* error: the answer is another round/)
      drand.answerWith(WRONG_SIGNATURE)
      yield* second.logged(/beacon \| result: fail .* error: the signature is not quicknet's/)
      drand.answerWith(GENUINE)
      yield* second.logged(/beacon \| result: success \| round: 1000 /)
      for (const [index, client] of clients.entries()) {
        const winners = winnersOf(bookOf(folder, index + 1), NUMBER)
        expect(yield* client.outcome).toMatchObject({ code: 0, stdout: winners })
      }
      expect(yield* second.outcome).toMatchObject({ code: 0 })
      expect(second.stderr()).toContain(`root: ${root}`)

      const file = join(folder, "default.seal")
      const written = yield* runLottery({ args: ["seal", "--store", store] })
      expect(written.code, written.stderr).toBe(0)
      writeFileSync(file, written.stdout)
      expect(readFileSync(file, "utf8")).toContain(`\n${root}\n`)
    })
  )
})

describe("a draw that is not sealed before its round", () => {
  it.live("is missed at once, and the command exits with 1", () =>
    Effect.gen(function* () {
      const { drand, folder, more } = yield* prepared
      const store = inFolder(folder, STORES[0])
      const server = yield* launchServer({ store, more, env: clockAt(PUBLISHED) })
      const { code, stderr } = yield* server.outcome
      expect(code).toBe(1)
      const reason = "the draw default was missed: its books were not closed before drand round"
      expect(stderr).toContain(
        `action: draw_missed | result: fail | draw: default | error: ${reason}`
      )
      expect(drand.paths).toEqual([])
    })
  )

  it.live("is missed while the server runs, and an agency that waits exits with 1", () =>
    Effect.gen(function* () {
      const { folder, more } = yield* prepared
      const store = inFolder(folder, STORES[1])
      const without = more.filter((flag) => flag !== "--once")
      const env = clockAt(PUBLISHED - 5000)
      // At its start the close time has passed, but no book is finished.
      const server = yield* startServer({ store, more: without, env })
      yield* server.logged(/draw_missed/)
      const client = yield* runLottery({ args: clientArgs(folder, 1, server, "native"), env })
      expect(client.code).toBe(1)
      expect(client.stderr).toContain("was missed")
      yield* until(() => server.stderr().includes("agency_finished"))
      yield* server.signal("SIGTERM")
      expect(yield* server.outcome).toMatchObject({ code: 0 })
    })
  )
})
