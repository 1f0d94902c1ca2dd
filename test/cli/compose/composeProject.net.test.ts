/**
 * Goal: the course's flow. The project of `lottery compose` comes up, holds the draw and goes down;
 * a changed settings file affects the next run. Method: processes instead of containers, started as
 * the Compose file says, with the real books if they are available.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { makeComposeFile } from "../../../src/cli/compose/ComposeFile.ts"
import { makeProject, readServices, replaceIn, up } from "../../support/processes/ComposeProject.ts"
import type { Running } from "../../support/processes/lotteryCommand.ts"
import { AGENCIES, bookOf, generate, winnersOf } from "../../support/processes/lotteryParties.ts"
import * as RealBooks from "../../support/realBooks.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const BETS = 4000
const TIMEOUT_MILLIS = 120_000

const makeBooks = Effect.fnUntraced(function* (folder: string) {
  mkdirSync(folder)
  if (RealBooks.areAtHand) yield* RealBooks.unpack(folder)
  else yield* generate(folder, BETS)
})

/** Sends each process a signal, as `docker compose stop` does. */
const stop = (containers: ReadonlyArray<Running>) =>
  Effect.forEach(containers, ({ outcome, signal }) => Effect.andThen(signal("SIGTERM"), outcome), {
    concurrency: "unbounded"
  })

describe("a Compose project", () => {
  it.effect("of processes does not support PostgreSQL", () =>
    Effect.gen(function* () {
      yield* readServices(makeComposeFile({ clients: 1 }))
      const shared = makeComposeFile({ clients: 1, postgresServers: 1 })
      const { message } = yield* Effect.flip(readServices(shared))
      expect(message).toContain('at ["services"]["postgres"]["image"]')
    })
  )

  it.live(
    "comes up, holds the draw, goes down and comes up with changed settings",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const project = yield* makeProject(folder, AGENCIES.length)
        const books = join(folder, ".data")
        yield* makeBooks(books)

        const drawAndGoDown = Effect.gen(function* () {
          const { server, ...clients } = yield* up(project)
          for (const agency of AGENCIES) {
            const { code, stderr, stdout } = yield* clients[`client${agency}`]!.outcome
            expect(code, stderr).toBe(0)
            const winners = winnersOf(bookOf(books, agency))
            expect(stdout).toBe(winners)
            const count = winners.split("\n").length - 1
            expect(stderr).toContain(
              `action: consulta_ganadores | result: success | cant_ganadores`
            )
            expect(stderr).toContain(`cant_ganadores: ${count} |`)
            if (RealBooks.areAtHand) expect(count).toBe(RealBooks.EXPECTED[agency - 1]!.winners)
          }
          const [stopped] = yield* stop([server!])
          expect(stopped!.code).toBe(0)
          expect(stopped!.stderr).toMatch(/action: exit \| result: success\n$/)
          return { server: stopped!.stderr, client: clients.client1!.stderr() }
        }).pipe(Effect.scoped)

        const first = yield* drawAndGoDown
        expect(first.server).toContain("action: sorteo | result: success | cantidad: ")
        expect(first.server).toContain("| listen_backlog: 5 | logging_level: INFO |")
        expect(first.client).toContain("| log_level: INFO | batch_max_amount: 100 |")
        expect(first.client).toContain("agencia: 1 | cantidad: 100\n")

        replaceIn(join(folder, "config", "server.ini"), "LEVEL = INFO", "LEVEL = DEBUG")
        replaceIn(join(folder, "config", "client.yaml"), "maxAmount: 100", "maxAmount: 37")
        const second = yield* drawAndGoDown
        expect(second.server).toContain("action: draw_held")
        expect(second.server).toContain("| listen_backlog: 5 | logging_level: DEBUG |")
        expect(second.client).toContain("| log_level: INFO | batch_max_amount: 37 |")
      }),
    TIMEOUT_MILLIS
  )

  it.live(
    "goes down in the middle of the books, and every container stops cleanly",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const project = yield* makeProject(folder, AGENCIES.length)
        yield* generate(join(folder, ".data"), 20_000)
        const containers = yield* up(project)
        yield* containers.client3!.logged(/apuestas_enviadas/)
        const outcomes = yield* stop(Object.values(containers))
        for (const { code, stderr } of outcomes) {
          expect(code, stderr).toBe(0)
          expect(stderr).toContain("action: signal_received | result: success | signal: SIGTERM\n")
          expect(stderr).toMatch(/action: exit \| result: success\n$/)
        }
        expect(outcomes.map(({ stdout }) => stdout).join("")).toBe("")
      }).pipe(Effect.scoped),
    TIMEOUT_MILLIS
  )
})

if (!RealBooks.areAtHand) console.warn("the real books are not available: using made-up ones")
