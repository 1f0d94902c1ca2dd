/**
 * Goal: a discarded book does not come back from a client that still waits, and the corrected book
 * enters the draw. Method: the built command, in each dialect.
 */
import { writeFileSync } from "node:fs"
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
