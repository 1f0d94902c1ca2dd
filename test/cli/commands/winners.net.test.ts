/**
 * Goal: `lottery winners` shows the winning bets of a draw, all of them and no others. Method: the
 * command as a process on stores that are filled directly, and next to a running server.
 */
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Bet } from "../../../src/domain/Bet.ts"
import { BetBatch } from "../../../src/domain/BetBatch.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets, drawOf } from "../../server/store/BetStore.conformance.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

const betOf = (firstName: string, lastName: string, number = 7574) =>
  new Bet({ firstName, lastName, document: "00123", birthdate: "1999-03-17", number })

const WINNING = [betOf("Ana", 'O"Hara, the 2nd'), betOf("王", "小明")]
const BOOKS = {
  1: BetBatch.fromBets([betOf("Eva", "Ruiz", 1), ...WINNING]),
  3: BetBatch.fromBets([betOf("Leo", "Paz")]),
  10: BetBatch.fromBets([WINNING[0]!])
}

/** Three books of which one is of an excluded agency, and agency 2 without bets. */
const fill = Effect.gen(function* () {
  const store = yield* BetStore
  yield* store.openDraw(drawOf([1, 2, 3, 10]))
  yield* store.append(1, 0, BOOKS[1], { last: whole(BOOKS[1]) })
  yield* store.append(3, 0, BOOKS[3])
  yield* store.append(10, 0, BOOKS[10], { last: whole(BOOKS[10]) })
  yield* store.finish(2, 0, whole())
})

const holdDraw = Effect.gen(function* () {
  const store = yield* BetStore
  yield* store.exclude([3])
  yield* store.recordNumber(7574)
  yield* store.recordDraw
})

const CSV = `1,Ana,"O""Hara, the 2nd",00123,1999-03-17,7574
1,王,小明,00123,1999-03-17,7574
10,Ana,"O""Hara, the 2nd",00123,1999-03-17,7574
`

const TABLE = `draw default: winning number 7574, 3 winners
agency  first name  last name        document  birthdate   number
     1  Ana         O"Hara, the 2nd     00123  1999-03-17    7574
     1  王          小明                00123  1999-03-17    7574
    10  Ana         O"Hara, the 2nd     00123  1999-03-17    7574
`

const EXCLUDED = /^.* WARNING +none of the bets of agency 3 can win: excluded from the draw\n$/

for (const scheme of ["sqlite", "csv"] as const) {
  const made = Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store")
    const url = `${scheme}:${path}`
    const use = <A, E>(effect: Effect.Effect<A, E, BetStore>) =>
      Effect.provide(effect, StoreUrl.layer({ _tag: scheme, path }, "default"))
    const winners = (...args: ReadonlyArray<string>) =>
      runLottery({ args: ["winners", "--store", url, ...args] })
    return { path, url, use, winners }
  })
  const drawn = Effect.tap(made, ({ use }) => use(Effect.andThen(fill, holdDraw)))

  describe.concurrent(`lottery winners on a ${scheme} store`, () => {
    it.live("shows the whole rows, and which agencies cannot have any", () =>
      Effect.gen(function* () {
        const { winners } = yield* drawn
        const table = yield* winners()
        expect(table).toMatchObject({ code: 0, stdout: TABLE })
        expect(table.stderr).toMatch(EXCLUDED)
        expect(yield* winners("--csv")).toMatchObject({ code: 0, stdout: CSV })
        const json = JSON.parse((yield* winners("--json")).stdout)
        const row = { document: "00123", birthdate: "1999-03-17", number: 7574 }
        expect(json).toEqual({
          draw: { id: "default", winningNumber: 7574, excluded: [3] },
          winners: [
            { agency: 1, firstName: "Ana", lastName: 'O"Hara, the 2nd', ...row },
            { agency: 1, firstName: "王", lastName: "小明", ...row },
            { agency: 10, firstName: "Ana", lastName: 'O"Hara, the 2nd', ...row }
          ]
        })
      })
    )

    it.live("shows those of one agency", () =>
      Effect.gen(function* () {
        const { winners } = yield* drawn
        const own = yield* winners("--agency", "10", "--csv")
        expect(own).toEqual({ code: 0, stdout: `${CSV.split("\n")[2]!.slice(3)}\n`, stderr: "" })
        const none = "draw default: winning number 7574, 0 winners\n"
        expect(yield* winners("--agency", "2")).toEqual({ code: 0, stdout: none, stderr: "" })
        const excluded = yield* winners("--agency", "3", "--json")
        expect(excluded.code).toBe(0)
        expect(JSON.parse(excluded.stdout)).toMatchObject({ draw: { excluded: [3] }, winners: [] })
        expect(excluded.stderr).toMatch(EXCLUDED)
        const { code, stderr, stdout } = yield* winners("--agency", "4")
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
        expect(stderr).toMatch(/^.* CRITICAL .* has no agency 4; its agencies are 1, 2, 3, 10\n$/)
      })
    )

    it.live("says before the draw what it waits for, in one line", () =>
      Effect.gen(function* () {
        const { use, winners } = yield* made
        const refused = Effect.fnUntraced(function* (reason: string) {
          const { code, stderr, stdout } = yield* winners()
          expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
          expect(stderr).toMatch(/^.* CRITICAL .*\n$/)
          expect(stderr).toContain(reason)
        })
        yield* refused("there is no such file")
        const early = Effect.flatMap(BetStore, (store) => store.append(1, 0, BOOKS[1]))
        yield* use(early)
        const held = "the draw default has not been held"
        yield* refused(`${held}: it has not been opened yet; start a server with this store first`)
        const open = Effect.flatMap(BetStore, (store) =>
          store.openDraw({ agencies: [1, 2], source: { _tag: "announced" } })
        )
        yield* use(open)
        yield* refused(`${held}: it is waiting for agencies 1, 2`)
        const finish = Effect.gen(function* () {
          const store = yield* BetStore
          yield* store.finish(1, 3, whole(BOOKS[1]))
          yield* store.finish(2, 0, whole())
        })
        yield* use(finish)
        yield* refused(
          `${held}: it is waiting for its winning number; announce it with lottery draw`
        )
        yield* use(Effect.flatMap(BetStore, (store) => store.recordNumber(5)))
        yield* refused(`${held}: every book is closed; a running server holds it now`)
      })
    )

    it.live("prints any number of winners as the export prints the books", () =>
      Effect.gen(function* () {
        const { url, use, winners } = yield* made
        const all = [bets(1, 0, 5000), bets(2, 0, 3000)].map((batch) =>
          BetBatch.fromBets([...batch].map((bet) => new Bet({ ...bet, number: 7574 })))
        )
        const store = Effect.gen(function* () {
          const books = yield* BetStore
          yield* books.openDraw(drawOf([1, 2]))
          for (const [index, batch] of all.entries()) {
            yield* books.append(index + 1, 0, batch, { last: whole(batch) })
          }
          yield* books.recordNumber(7574)
          yield* books.recordDraw
        })
        yield* use(store)
        for (const agency of [[], ["--agency", "2"]]) {
          const exported = yield* runLottery({ args: ["export", "--store", url, ...agency] })
          const { stdout } = yield* winners("--csv", ...agency)
          expect(stdout === exported.stdout).toBe(true)
          expect(stdout.length).toBeGreaterThan(100_000)
        }
        const table = yield* winners()
        expect(table.stdout.split("\n")).toHaveLength(8000 + 3)
        expect(JSON.parse((yield* winners("--json")).stdout).winners).toHaveLength(8000)
      })
    )

    it.live("works next to a running server", () =>
      Effect.gen(function* () {
        const { url, winners } = yield* drawn
        const args = ["server", "--port", "0", "--agencies", "1,2,3,10", "--store", url]
        const server = yield* startLottery({ args })
        yield* server.logged(/action: listen/)
        expect(yield* winners("--csv")).toMatchObject({ code: 0, stdout: CSV })
      })
    )
  })
}

it.live("lottery winners names a winning bet that was changed, and prints none", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store")
    const layer = StoreUrl.layer({ _tag: "sqlite", path }, "default")
    yield* Effect.provide(Effect.andThen(fill, holdDraw), layer)
    const database = new DatabaseSync(path)
    database.exec("update winners set document = 'x' where agency = 10")
    database.close()
    const winners = (...more: ReadonlyArray<string>) =>
      runLottery({ args: ["winners", "--store", `sqlite:${path}`, ...more] })
    const { code, stderr, stdout } = yield* winners("--csv")
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toMatch(
      /^.* CRITICAL agency 10: the stored bet at position 0 was changed: document: .*\n$/
    )
    // The other agencies still have theirs.
    expect((yield* winners("--agency", "1", "--csv")).code).toBe(0)
  })
)

it.live("lottery winners prints one form only", () =>
  Effect.gen(function* () {
    const { code, stderr, stdout } = yield* runLottery({ args: ["winners", "--csv", "--json"] })
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toBe("lottery: expected either --csv or --json\n")
  })
)
