/**
 * Goal: a discarded book does not come back from a client that still waits, and the corrected book
 * enters the draw; a discard is done whatever state the server is in. Method: the built command, in
 * each dialect.
 */
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  generate,
  inFolder,
  launchServer,
  STORES,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const WRONG = "Wrong,Book,1,1999-03-17,7574\n"

describe.each(["native", "binary", "json"])("a discard while a %s client waits", (dialect) => {
  it.live.each(STORES)("discards its book for good: %s", (store) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 500)
      const right = bookOf(folder, 1)
      const url = inFolder(folder, store)
      const server = yield* startServer({ store: url, more: ["--agencies", "2"] })
      writeFileSync(join(folder, "agency-1.csv"), WRONG)
      const wrong = yield* startLottery({ args: clientArgs(folder, 1, server, dialect) })
      yield* wrong.logged(/apuestas_enviadas/)
      yield* Effect.sleep("300 millis")
      const args = ["discard", "--store", url, "--agency", "1", "--yes"]
      const dropped = yield* runLottery({ args })
      expect(dropped.code, dropped.stderr).toBe(0)
      // Long enough for a client to reconnect.
      yield* Effect.sleep("500 millis")
      expect(yield* exported(url, 1)).toBe("")
      writeFileSync(join(folder, "agency-1.csv"), right)
      const corrected = yield* startLottery({ args: clientArgs(folder, 1, server, "native") })
      yield* corrected.logged(/waiting_for_draw/)
      const other = yield* runLottery({ args: clientArgs(folder, 2, server, "native") })
      expect(other.code, other.stderr).toBe(0)
      expect(yield* corrected.outcome).toMatchObject({ code: 0, stdout: winnersOf(right) })
      expect(yield* wrong.outcome).toMatchObject({ code: 1, stdout: "" })
      expect(yield* exported(url, 1)).toBe(right)
    })
  )
})

const discardArgs = (store: string, agency: number) => [
  ...["discard", "--store", store, "--agency", `${agency}`, "--yes"]
]

/** Two finished books in a store, and the server that has it open. */
const withBooks = Effect.fnUntraced(function* (store: string) {
  const folder = yield* temporaryFolder
  yield* generate(folder, 50)
  const url = inFolder(folder, store)
  const server = yield* startServer({ store: url, more: ["--agencies", "3"] })
  for (const agency of [1, 2]) {
    const client = yield* startLottery({ args: clientArgs(folder, agency, server, "native") })
    yield* client.logged(/waiting_for_draw/)
    yield* client.signal("SIGKILL")
  }
  return { url, server, socket: `${url.slice(url.indexOf(":") + 1)}.sock` }
})

describe.each(STORES)("a discard from %s", (store) => {
  it.live(
    "is done by the command if the server was killed, whose socket the next one replaces",
    () =>
      Effect.gen(function* () {
        const { server, socket, url } = yield* withBooks(store)
        yield* server.signal("SIGKILL")
        yield* server.outcome
        expect(existsSync(socket)).toBe(true)
        const alone = yield* runLottery({ args: discardArgs(url, 1) })
        expect(alone.stderr).toMatch(
          /book_discarded \| result: success \| agencia: 1 \| cantidad: 50/
        )
        const next = yield* startServer({ store: url, more: ["--agencies", "3"] })
        const asked = yield* runLottery({ args: discardArgs(url, 2) })
        expect(asked.stderr).toMatch(
          /book_discarded \| result: success \| agencia: 2 \| cantidad: 50/
        )
        yield* next.logged(/book_discarded \| result: success \| agencia: 2/)
      })
  )

  it.live("is done by the command if the server is killed while the command waits", () =>
    Effect.gen(function* () {
      const { server, url } = yield* withBooks(store)
      yield* server.signal("SIGSTOP")
      const waiting = yield* startLottery({ args: discardArgs(url, 1) })
      yield* Effect.sleep("1 second")
      expect(waiting.child.exitCode).toBe(null)
      yield* server.signal("SIGKILL")
      const { code, stderr } = yield* waiting.outcome
      expect(code, stderr).toBe(0)
      expect(stderr).toMatch(/book_discarded \| result: success \| agencia: 1 \| cantidad: 50/)
    })
  )

  it.live("waits for a server that starts, with other commands", () =>
    Effect.gen(function* () {
      const { server, socket, url } = yield* withBooks(store)
      yield* server.signal("SIGTERM")
      yield* server.outcome
      const next = yield* launchServer({ store: url, more: ["--agencies", "3"] })
      while (!existsSync(socket)) yield* Effect.sleep("1 millis")
      const outcomes = yield* Effect.all(
        [1, 2, 3].map((agency) => runLottery({ args: discardArgs(url, agency) })),
        { concurrency: 3 }
      )
      for (const { code, stderr } of outcomes) expect(code, stderr).toBe(0)
      yield* next.logged(/agencia: 1 \| cantidad: 50/)
      yield* next.logged(/agencia: 2 \| cantidad: 50/)
    })
  )
})
