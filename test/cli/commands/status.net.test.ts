/** `lottery status`, `export` and `discard` as processes, with a running server and without. */
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, rmSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets, drawOf } from "../../server/store/BetStore.conformance.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

/** Stores one finished book and one that is not finished. */
const fill = Effect.gen(function* () {
  const store = yield* BetStore
  yield* store.openDraw(drawOf([1, 2, 7]))
  yield* store.append(1, 0, bets(1, 0, 1200), { last: whole(bets(1, 0, 1200)) })
  yield* store.append(7, 0, bets(7, 0, 30))
})

const holdDraw = Effect.gen(function* () {
  const store = yield* BetStore
  yield* store.finish(2, 0, whole())
  yield* store.finish(7, 30, whole(bets(7, 0, 30)))
  yield* store.recordNumber(7574)
  yield* store.recordDraw
  yield* store.told(7)
})

/** What the store shows if no server answers. */
const TABLE = `draw default: agencies 1, 2, 7, winning number 7574, taking bets
total: 1230 bets, 1 of 3 agencies finished
agency  bets     %  bets/s  last activity     state
     1  1200  100%       –              –  finished
     2     0     –       –              –         –
     7    30     –       –              –         –
`

/** What a server adds before an agency has connected. */
const SERVED = `draw default: agencies 1, 2, 7, winning number 7574, taking bets
total: 1230 bets, 0/s, 1 of 3 agencies finished, 0 connections
agency  bets     %  bets/s  last activity     state
     1  1200  100%       0              –  finished
     2     0     –       0              –      away
     7    30     –       0              –      away
`

/** The keys of `--json` that only a server knows. */
const UNKNOWN = { perSecond: null, lastActivity: null, connections: null }

const canMount = spawnSync("unshare", ["--mount", "true"]).status === 0
/** Runs a command with the folder mounted read-only. */
const READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'

for (const scheme of ["sqlite", "csv"] as const) {
  const made = Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "store")
    const url = `${scheme}:${path}`
    const use = <A, E>(effect: Effect.Effect<A, E, BetStore>) =>
      Effect.provide(effect, StoreUrl.layer({ _tag: scheme, path }, "default"))
    const lottery = (command: string, ...args: ReadonlyArray<string>) =>
      runLottery({ args: [command, "--store", url, ...args] })
    const statusOf = (...args: ReadonlyArray<string>) =>
      Effect.map(lottery("status", ...args), ({ code, stderr, stdout }) => {
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        return stdout
      })
    return { path, url, use, lottery, statusOf }
  })

  const withServer = Effect.gen(function* () {
    const store = yield* made
    yield* store.use(fill)
    const args = ["server", "--port", "0", "--agencies", "1,2,7", "--store", store.url]
    const server = yield* startLottery({ args })
    yield* server.logged(/action: listen/)
    return { ...store, server }
  })

  describe(`lottery status on a ${scheme} store`, () => {
    it.live.skipIf(!canMount)("works in a read-only folder", () =>
      Effect.gen(function* () {
        const { path, url, use } = yield* made
        yield* use(fill)
        const args = ["status", "--store", url]
        const under = ["unshare", "--mount", "sh", "-c", READ_ONLY, dirname(path)]
        const { code, stderr, stdout } = yield* runLottery({ args, under })
        expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: TABLE })
        if (scheme === "csv") return
        // The journal of a killed server cannot be read there, so the command fails.
        const database = new DatabaseSync(path)
        database.exec("update agencies set told = 1")
        const killed = `${path}-killed`
        for (const log of ["", "-wal"]) copyFileSync(path + log, killed + log)
        database.close()
        const refused = yield* runLottery({
          args: ["status", "--store", `${scheme}:${killed}`],
          under
        })
        expect(refused).toMatchObject({ code: 1, stdout: "" })
      })
    )

    it.live("shows the draw and every agency that takes part", () =>
      Effect.gen(function* () {
        const { statusOf, use } = yield* made
        yield* use(fill)
        expect(yield* statusOf()).toBe(TABLE)
        const draw = { id: "default", agencies: [1, 2, 7], winningNumber: 7574 }
        const none = { finished: false, told: false, excluded: false, state: null }
        const unfinished = { ...none, ...UNKNOWN, bookBets: null }
        const finished = { finished: true, state: "finished" }
        const json = yield* statusOf("--json")
        expect(json.trimEnd().split("\n")).toHaveLength(1)
        expect(JSON.parse(json)).toEqual({
          draw: {
            ...{ ...draw, held: false, phase: "taking bets", closesAt: null },
            ...{ sealedAt: null, round: null, roundAt: null }
          },
          agencies: [
            { ...unfinished, agency: 1, bets: 1200, ...finished, bookBets: 1200 },
            { ...unfinished, agency: 2, bets: 0 },
            { ...unfinished, agency: 7, bets: 30 }
          ],
          total: {
            ...{ ...UNKNOWN, bets: 1230, agencies: 3, finished: 1, excluded: 0, told: 0 },
            bookBets: null
          },
          at: expect.any(Number)
        })
        const missing = yield* statusOf("--missing", "--json")
        expect(JSON.parse(missing)).toMatchObject({
          agencies: [{ agency: 2 }, { agency: 7 }],
          total: { bets: 1230 }
        })
        yield* use(holdDraw)
        expect(yield* statusOf()).toMatch(/^draw default: .*, drawn\n/)
        expect(JSON.parse(yield* statusOf("--json"))).toMatchObject({
          draw: { ...draw, held: true },
          agencies: [{}, {}, { agency: 7, finished: true, told: true }]
        })
      })
    )

    it.live("shows every draw of the store with --all", () =>
      Effect.gen(function* () {
        const { path, statusOf, use } = yield* made
        yield* use(Effect.andThen(fill, holdDraw))
        const heads = "draw     bets  agencies  finished  excluded  winners sent  number"
        const first = "default  1230         3         3         0             1    7574"
        if (scheme === "csv") {
          expect(yield* statusOf("--all")).toBe(`${heads}  phase\n${first}  drawn\n`)
          // As Python's program leaves it.
          rmSync(`${path}.state.json`)
          expect(yield* statusOf("--all")).toMatch(/\ndefault +1230 .* not opened yet\n$/)
          return
        }
        const open = Effect.flatMap(BetStore, (store) => store.openDraw(drawOf([4, 5])))
        yield* Effect.provide(open, StoreUrl.layer({ _tag: scheme, path }, "sunday"))
        expect(yield* statusOf("--all")).toBe(
          [
            `${heads}        phase`,
            `${first}        drawn`,
            "sunday      0         2         0         0             0    7574  taking bets",
            ""
          ].join("\n")
        )
        expect(JSON.parse(yield* statusOf("--all", "--json"))).toMatchObject({
          draws: [
            { id: "default", draw: { held: true }, total: { bets: 1230, told: 1 } },
            { id: "sunday", draw: { agencies: [4, 5] }, total: { bets: 0 } }
          ]
        })
      })
    )

    it.live("reports a draw that has not been opened, and a missing store", () =>
      Effect.gen(function* () {
        const { lottery, path, statusOf, use } = yield* made
        const missing = yield* lottery("status")
        expect(yield* lottery("status", "--all")).toMatchObject({ code: 1, stdout: "" })
        expect(missing).toMatchObject({ code: 1, stdout: "" })
        expect(missing.stderr).toMatch(/^.* CRITICAL .*there is no such file.*\n$/)
        expect(existsSync(path)).toBe(false)

        yield* use(Effect.flatMap(BetStore, (store) => store.append(4, 0, bets(4, 0, 2))))
        expect(yield* statusOf()).toBe(
          [
            "draw default: not opened yet",
            "total: 2 bets",
            "agency  bets  %  bets/s  last activity  state",
            "     4     2  –       –              –      –",
            ""
          ].join("\n")
        )
        expect(JSON.parse(yield* statusOf("--json"))).toMatchObject({
          draw: null,
          agencies: [{ agency: 4, bets: 2, finished: false, told: false }]
        })
      })
    )
  })

  describe(`lottery export of an agency from a ${scheme} store`, () => {
    it.live("fails if there is no such agency, and warns if it has sent nothing yet", () =>
      Effect.gen(function* () {
        const { lottery, use } = yield* made
        yield* use(fill)
        const none = yield* lottery("export", "--agency", "200")
        const noBook = yield* lottery("discard", "--agency", "200", "--yes")
        expect([none.code, none.stdout, noBook.code]).toEqual([1, "", 1])
        for (const { stderr } of [none, noBook]) {
          expect(stderr).toMatch(
            /^.* CRITICAL the draw default has no agency 200; its agencies are 1, 2, 7\n$/
          )
        }
        const empty = yield* lottery("export", "--agency", "2")
        expect(empty).toMatchObject({ code: 0, stdout: "" })
        expect(empty.stderr).toMatch(/^.* WARNING +agency 2 has sent no bets yet\n$/)
        const book = yield* lottery("export", "--agency", "7")
        expect(book).toMatchObject({ code: 0, stderr: "" })
        expect(book.stdout.split("\n")).toHaveLength(31)
      })
    )

    it.live("knows agencies with stored bets before the draw is opened", () =>
      Effect.gen(function* () {
        const { lottery, use } = yield* made
        yield* use(Effect.flatMap(BetStore, (store) => store.append(4, 0, bets(4, 0, 2))))
        expect((yield* lottery("export", "--agency", "4")).code).toBe(0)
        const { code, stderr } = yield* lottery("export", "--agency", "1")
        expect(code).toBe(1)
        expect(stderr).toMatch(/^.* CRITICAL the draw default has no agency 1\n$/)
      })
    )
  })

  describe(`lottery discard on a ${scheme} store`, () => {
    it.live("discards a book without a server, and reports it only in the log", () =>
      Effect.gen(function* () {
        const { lottery, statusOf, use } = yield* made
        yield* use(fill)
        const { code, stderr, stdout } = yield* lottery("discard", "--agency", "1", "--yes")
        expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
        expect(stderr).toMatch(
          /^.* INFO +action: book_discarded \| result: success \| agencia: 1 \| cantidad: 1200\n$/
        )
        expect(yield* statusOf()).toMatch(/^ +1 +0 +– .* –$/m)
      })
    )

    it.live("discards nothing without --yes, and shows what it would discard", () =>
      Effect.gen(function* () {
        const { lottery, statusOf, use } = yield* made
        yield* use(fill)
        const { code, stderr, stdout } = yield* lottery("discard", "--agency", "1")
        expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
        expect(stderr).toMatch(/the finished book of agency 1 with 1200 bets .*; add --yes/)
        expect(stderr.trimEnd().split("\n")).toHaveLength(1)
        expect(yield* statusOf()).toBe(TABLE)
      })
    )

    it.live("discards nothing after the draw, and creates no store if there is none", () =>
      Effect.gen(function* () {
        const { lottery, path, use } = yield* made
        for (const args of [[], ["--yes"]]) {
          const missing = yield* lottery("discard", "--agency", "1", ...args)
          expect(missing).toMatchObject({ code: 1, stdout: "" })
          expect(missing.stderr).toMatch(/^.* CRITICAL .*there is no such file.*\n$/)
          expect(existsSync(path)).toBe(false)
        }
        yield* use(Effect.andThen(fill, holdDraw))
        for (const args of [[], ["--yes"]]) {
          const { code, stderr } = yield* lottery("discard", "--agency", "1", ...args)
          expect(code).toBe(1)
          expect(stderr).toMatch(/^.* CRITICAL the draw default has been held: .*\n$/)
        }
      })
    )

    it.live("lets the server that has the store open discard the book", () =>
      Effect.gen(function* () {
        const { lottery, path, server, statusOf } = yield* withServer
        expect(yield* statusOf()).toBe(SERVED)
        const { code, stderr, stdout } = yield* lottery("discard", "--agency", "1", "--yes")
        expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
        const line = /book_discarded \| result: success \| agencia: 1 \| cantidad: 1200\n/
        expect(stderr).toMatch(line)
        yield* server.logged(/ WARNING +action: book_discarded \| result: success/)
        yield* server.logged(line)
        expect(yield* statusOf()).toMatch(/^ +1 +0 +– .* away$/m)
        expect(statSync(`${path}.sock`).mode & 0o777).toBe(0o600)

        const other = yield* lottery("discard", "--agency", "7", "--yes", "--log-level", "error")
        expect(other).toEqual({ code: 0, stdout: "", stderr: "" })
        yield* server.signal("SIGTERM")
        expect((yield* server.outcome).code).toBe(0)
        expect(existsSync(`${path}.sock`)).toBe(false)
      })
    )
  })
}

it.live("a server of another draw refuses a discard, in one line", () =>
  Effect.gen(function* () {
    const url = `sqlite:${join(yield* temporaryFolder, "lottery.db")}`
    for (const draw of ["monday", "tuesday"]) {
      const args = ["server", "--port", "0", "--store", url, "--draw", draw]
      const server = yield* startLottery({ args })
      yield* server.logged(/action: listen/)
      if (draw === "monday") {
        yield* server.signal("SIGTERM")
        yield* server.outcome
      }
    }
    const args = ["discard", "--store", url, "--draw", "monday", "--agency", "1", "--yes"]
    const { code, stderr } = yield* runLottery({ args })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^.* CRITICAL .* open serves the draw tuesday, not monday\n$/)
  })
)
