/** Goal: the winners of a CSV store are the ones that its draw recorded, or none are shown. */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeReader } from "../../../../src/server/store/csv/CsvReader.ts"
import * as CsvStore from "../../../../src/server/store/csv/CsvStore.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bytesOf, drawOf, holdDraw, winnersIn } from "../BetStore.conformance.ts"

const at = (path: string) => ({ path, drawId: "default" })

/** A store whose draw has been held, with two winning bets. */
const drawn = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "bets.csv")
  const holding = Effect.gen(function* () {
    const store = yield* CsvStore.make(at(path))
    yield* store.openDraw(drawOf([1]))
    yield* store.append(1, 0, bets(1, 0, 15), { last: whole(bets(1, 0, 15)) })
    yield* holdDraw(store)
  })
  yield* Effect.scoped(holding)
  return path
})

describe("the winners file", () => {
  it.live.each([
    ["is read again", false],
    ["is not needed: the winners are found in the bets", true]
  ])("%s", ([_, isMissing]) =>
    Effect.gen(function* () {
      const path = yield* drawn
      if (isMissing) rmSync(`${path}.winners.csv`)
      const expected = [[1, bytesOf([bets(1, 3, 1), bets(1, 13, 1)])]]
      const store = yield* CsvStore.make(at(path))
      expect(yield* winnersIn(store)).toEqual(expected)
      expect(yield* winnersIn(yield* makeReader(at(path)))).toEqual(expected)
    })
  )

  it.live.each<[string, (text: string) => string]>([
    ["is empty", () => ""],
    ["has only the first winner", (text) => text.slice(0, text.indexOf("\n") + 1)],
    ["has a winner twice", (text) => text + text]
  ])("is refused if it %s, instead of wrong winners", ([_, change]) =>
    Effect.gen(function* () {
      const path = yield* drawn
      const file = `${path}.winners.csv`
      writeFileSync(file, change(readFileSync(file, "utf8")))
      for (const open of [CsvStore.make(at(path)), makeReader(at(path))]) {
        const error = yield* Effect.flip(Effect.flatMap(open, ({ winners }) => winners))
        expect(error.message).toContain(`its winners file ${file} is not the one of its draw`)
      }
    }).pipe(Effect.scoped)
  )
})
