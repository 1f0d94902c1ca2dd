/**
 * Goal: `lottery status --verify` finds each change that another program made to a finished book,
 * and says about where; an untouched store passes. Method: real stores of each kind, changed with
 * SQL or as text files between two runs of the built command.
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { it } from "@effect/vitest"
import { Clock, Effect, Schema } from "effect"
import { describe, expect } from "vitest"
import { Draw } from "../../../src/domain/Draw.ts"
import { entriesOf, type Seal } from "../../../src/domain/seal/Seal.ts"
import { signResult } from "../../../src/protocol/notes/DrawResult.ts"
import { signSeal, treeOf } from "../../../src/protocol/notes/SealFile.ts"
import { BetStore } from "../../../src/server/store/BetStore.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import { bets } from "../../server/store/BetStore.conformance.ts"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import { inFolder, STORES } from "../../support/processes/lotteryParties.ts"
import { SEAL_VKEY, sealKey } from "../../support/sealKey.ts"
import { describePostgres, freshSchema, query } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"

/** Agency 7 has more than one mark; agency 2 an empty book; agency 9 has not finished. */
const BOOKS = new Map([
  [1, bets(1, 0, 5)],
  [2, bets(2, 0, 0)],
  [7, bets(7, 0, 4000)]
])
const digestOf = (agency: number) => whole(BOOKS.get(agency)!)
const SECOND_MARK = "in bytes 65536 to 131072"

const open = Effect.fnUntraced(function* (
  store: string,
  program: (books: BetStore["Service"]) => Effect.Effect<unknown, unknown>
) {
  const url = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(store)
  const layer = StoreUrl.layer(url, "default")
  yield* Effect.orDie(Effect.provide(Effect.flatMap(BetStore, program), layer))
})

/** Stores the finished books, in a draw that also waits for an agency if it is not sealed. */
const fill = (store: string, isSealed: boolean) =>
  open(
    store,
    Effect.fnUntraced(function* (books) {
      const draw = {
        id: "default",
        agencies: isSealed ? ([1, 2, 7] as const) : ([1, 2, 7, 9] as const),
        source: { _tag: "announced" } as const
      }
      yield* books.openDraw(new Draw({ ...draw, ...(isSealed && { sealKey: SEAL_VKEY }) }))
      for (const [agency, book] of BOOKS) {
        if (book.count > 0) yield* books.append(agency, 0, book)
        yield* books.finish(agency, book.count, digestOf(agency))
      }
      if (!isSealed) return yield* books.append(9, 0, bets(9, 0, 3))
      const seal: Seal = {
        draw: "default",
        sealedAt: Math.floor((yield* Clock.currentTimeMillis) / 1000),
        source: { _tag: "announced" },
        agencies: [...BOOKS].map(([agency, { count }]) => ({
          ...{ agency, bets: count, salt: "0a".repeat(16) },
          ...digestOf(agency)
        }))
      }
      yield* books.recordEntries(seal)
      const tree = treeOf(entriesOf(seal).join(""))
      yield* books.recordNote("seal", signSeal({ draw: "default", tree }, sealKey))
    })
  )

const verify = (store: string, ...more: ReadonlyArray<string>) =>
  runLottery({ args: ["status", "--store", store, "--verify", ...more] })

const expectIntact = Effect.fnUntraced(function* (store: string, word: string) {
  const { code, stderr, stdout } = yield* verify(store)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  expect(stdout.match(new RegExp(`  ${word}$`, "gm"))).toHaveLength(3)
})

/** Checks that only this agency is named, with the line that the table shows. */
const expectChanged = Effect.fnUntraced(function* (store: string, agency: number, words: string) {
  const { code, stderr, stdout } = yield* verify(store)
  expect(code, stdout).toBe(1)
  expect(stderr).toMatch(/^\S+ \S+ CRITICAL [^\n]*\n$/)
  expect(stderr).toContain(`the book of agency ${agency} changed after it was finished\n`)
  expect(stdout).toMatch(new RegExp(`^ +${agency} .* ${words}$`, "m"))
  expect(stdout).toContain(`agency ${agency}: finished with `)
  expect(stdout.match(/^agency (\d+): found/gm)).toHaveLength(1)
  const json = JSON.parse((yield* verify(store, "--json")).stdout)
  const changed = json.books.filter((book: { changed: boolean }) => book.changed)
  expect(changed).toMatchObject([{ agency, changed: true }])
  return changed[0]
})

/** A store, and how another program changes it. */
interface Tools {
  readonly store: string
  readonly sql: (statement: string) => Effect.Effect<unknown, unknown>
}

const ROW = "agency = 7 and position = 2000"
const SET_NUMBER = (number: number) => `update bets set number = ${number} where ${ROW}`
const NUMBER = [...BOOKS.get(7)!][2000]!.number

/** Changes of a store in SQL, each of which is undone before the next one. */
const findsChanges = Effect.fnUntraced(function* ({ sql, store }: Tools, isSealed: boolean) {
  yield* fill(store, isSealed)
  yield* expectIntact(store, isSealed ? "as sealed" : "as finished")
  const { stdout } = yield* verify(store)
  expect(stdout).toContain(`3 finished books read, ${isSealed ? 0 : 1} not finished\n`)

  yield* sql(SET_NUMBER((NUMBER + 1) % 10_000))
  const json = yield* expectChanged(store, 7, `CHANGED ${SECOND_MARK}`)
  const { bytes, sha256 } = digestOf(7)
  expect(json).toMatchObject({
    verdict: "changed",
    changedIn: { from: 65_536, to: 131_072 },
    stored: { bets: 4000, bytes, sha256 },
    sealed: isSealed ? { bets: 4000, bytes, sha256 } : null
  })
  expect(json.found.sha256).not.toBe(sha256)
  yield* sql(SET_NUMBER(NUMBER))
  yield* expectIntact(store, isSealed ? "as sealed" : "as finished")

  yield* sql("delete from bets where agency = 1 and position = 4")
  yield* sql("update agencies set bets = 4 where agency = 1")
  yield* expectChanged(store, 1, `CHANGED in bytes 0 to ${digestOf(1).bytes}`)
})

/** A changed digest, a changed seal, and a changed result of a sealed draw. */
const findsChangedEvidence = Effect.fnUntraced(function* ({ sql, store }: Tools) {
  yield* fill(store, true)
  const same = "unchanged, but its stored digest was changed"
  yield* sql(`update agencies set sha256 = '${"ab".repeat(32)}' where agency = 1`)
  yield* expectChanged(store, 1, same)
  yield* sql(`update agencies set sha256 = '${digestOf(1).sha256}' where agency = 1`)
  const marks = Buffer.from(digestOf(7).marks).toString("hex")
  yield* sql(`update agencies set marks = zeroblob(${marks.length / 2}) where agency = 7`)
  yield* expectChanged(store, 7, same)
  yield* sql(`update agencies set marks = x'${marks}' where agency = 7`)
  yield* expectIntact(store, "as sealed")

  const expectWrong = Effect.fnUntraced(function* (reason: string) {
    const { code, stderr, stdout } = yield* verify(store)
    expect(code).toBe(1)
    expect(stderr).toContain(`the seal is wrong: ${reason}`)
    expect(stdout).toContain(`THE SEAL IS WRONG: ${reason}`)
    const { sealProblem } = JSON.parse((yield* verify(store, "--json")).stdout)
    expect(sealProblem).toContain(reason)
  })
  yield* sql("update draws set entries = replace(entries, 'book 1 5', 'book 1 6')")
  yield* expectWrong("")
  yield* sql("update draws set entries = replace(entries, 'book 1 6', 'book 1 5')")
  yield* expectIntact(store, "as sealed")
  const result = { draw: "default", number: 41, root: new Uint8Array(32), beacon: undefined }
  const winners = [...BOOKS.keys()].map((agency) => ({ agency, count: 0 }))
  yield* open(store, (books) =>
    Effect.andThen(
      books.recordNumber(42),
      books.recordNote("result", signResult({ ...result, winners }, sealKey))
    )
  )
  yield* expectWrong("the signed result is of another seal, draw or number")
  yield* sql("update draws set seal_note = null")
  yield* expectWrong("its signed note is missing")
  yield* sql("update draws set entries = null")
  yield* expectWrong("its entries are missing")
})

const sqliteTools = Effect.map(temporaryFolder, (folder): Tools => {
  const path = join(folder, "lottery.db")
  const sql = (statement: string) =>
    Effect.sync(() => {
      const database = new DatabaseSync(path)
      database.exec(statement)
      database.close()
    })
  return { store: `sqlite:${path}`, sql }
})

describe("lottery status --verify on SQLite", () => {
  it.live("finds changed books of an open draw", () =>
    Effect.flatMap(sqliteTools, (tools) => findsChanges(tools, false))
  )

  it.live("finds changed books of a sealed draw", () =>
    Effect.flatMap(sqliteTools, (tools) => findsChanges(tools, true))
  )

  it.live("finds a changed digest, seal and result", () =>
    Effect.flatMap(sqliteTools, findsChangedEvidence)
  )

  it.live("says which books have no stored digest", () =>
    Effect.gen(function* () {
      const { sql, store } = yield* sqliteTools
      yield* fill(store, false)
      const noDigest = "book_bytes = null, sha256 = null, marks = null"
      yield* sql(`update agencies set ${noDigest} where agency = 7`)
      const { code, stdout } = yield* verify(store)
      expect(code).toBe(0)
      expect(stdout).toMatch(/^ +7 .* {2}no digest stored: finished by an earlier release$/m)
    })
  )
})

describe("lottery status --verify on CSV", () => {
  const document = "000702000"
  const other = "000702001"
  /** The book of agency 7 after its bet at position 2000 has another document. */
  const changedBook = Buffer.from(BOOKS.get(7)!.bytes).toString().replace(document, other)

  it.live("finds changed books, even if their digest was changed too", () =>
    Effect.gen(function* () {
      for (const isSealed of [false, true]) {
        const path = join(yield* temporaryFolder, "bets.csv")
        const store = `csv:${path}`
        yield* fill(store, isSealed)
        yield* expectIntact(store, isSealed ? "as sealed" : "as finished")
        const change = (file: string, from: string, to: string) => {
          const text = readFileSync(file, "utf8")
          expect(text).toContain(from)
          writeFileSync(file, text.replace(from, to))
        }
        change(path, `,${document},`, `,${other},`)
        const refused = yield* verify(store)
        expect(refused).toMatchObject({ code: 1, stdout: "" })
        expect(refused.stderr).toContain(
          "the 4000 bets of agency 7 are not the ones it finished with; " +
            "its book differs first in bytes 65536 to 131072"
        )
        // Who changes a row can also change the digest that is stored with it.
        const { sha256 } = digestOf(7)
        const changed = createHash("sha256").update(changedBook).digest("hex")
        change(`${path}.state.json`, sha256, changed)
        const ofDigest = "unchanged, but its stored digest was changed"
        yield* expectChanged(store, 7, isSealed ? `CHANGED ${SECOND_MARK}` : ofDigest)
        const server = yield* Effect.exit(open(store, () => Effect.void))
        expect(String(server)).toContain(`its marks file ${path}.marks is not the one of its books`)
      }
    })
  )
})

describe.each(STORES)("lottery status --verify on %s", (store) => {
  it.live("fails for a draw that is not opened, and for a missing store", () =>
    Effect.gen(function* () {
      const url = inFolder(yield* temporaryFolder, store)
      expect(yield* verify(url)).toMatchObject({ code: 1, stdout: "" })
      yield* open(url, (books) => books.append(4, 0, bets(4, 0, 2)))
      const { code, stderr } = yield* verify(url)
      expect(code).toBe(1)
      expect(stderr).toContain("the draw has not been opened yet")
    })
  )
})

it.live("lottery status --verify refuses what it would ignore", () =>
  Effect.gen(function* () {
    const store = `csv:${join(yield* temporaryFolder, "bets.csv")}`
    for (const flag of ["--all", "--missing", "--watch"]) {
      expect(yield* verify(store, flag)).toEqual({
        code: 2,
        stdout: "",
        stderr: `lottery: --verify cannot be used with ${flag}\n`
      })
    }
  })
)

describePostgres("lottery status --verify on PostgreSQL", (database) => {
  const postgresTools = Effect.gen(function* () {
    const { url } = yield* database
    const store = yield* freshSchema(url)
    return { store, sql: (statement: string) => query(store, statement) }
  })

  it.live("finds changed books of an open draw", () =>
    Effect.flatMap(postgresTools, (tools) => findsChanges(tools, false))
  )

  it.live("finds changed books of a sealed draw", () =>
    Effect.flatMap(postgresTools, (tools) => findsChanges(tools, true))
  )
})
