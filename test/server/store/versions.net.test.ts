/**
 * Goal: an embedded store of an earlier version is read as it is, and continued by the first server
 * that opens it, even if that server dies. Method: stores that earlier releases left, in a draw
 * whose first agency has finished and whose second is in the middle of its book, and after a draw.
 */
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Scope, Stream } from "effect"
import { describe } from "vitest"
import { BetBatchBuilder } from "../../../src/domain/BetBatch.ts"
import { BetStore, BetStoreReader, NO_PROGRESS } from "../../../src/server/store/BetStore.ts"
import { openStore } from "../../../src/server/store/csv/CsvStore.ts"
import type { Disk } from "../../../src/server/store/embedded/Disk.ts"
import type { StoredDraw } from "../../../src/server/store/StoredDraw.ts"
import * as StoreUrl from "../../../src/server/store/StoreUrl.ts"
import * as SqliteSchema from "../../../src/server/store/sqlite/SqliteSchema.ts"
import * as M from "../../support/peers/messages.ts"
import * as RawPeer from "../../support/peers/RawPeer.ts"
import * as TestServer from "../../support/peers/TestServer.ts"
import { runLottery } from "../../support/processes/lotteryCommand.ts"
import * as CrashDisk from "../../support/stores/CrashDisk.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"
import { whole } from "../../support/wholeBook.ts"
import { drawOf, storedDraw, winnersIn } from "./BetStore.conformance.ts"

const SAMPLES = join(import.meta.dirname, "samples")
const KINDS = {
  csv: { file: "bets.csv", current: 4 },
  sqlite: { file: "lottery.db", current: 3 }
} as const
type Kind = keyof typeof KINDS
interface Sample {
  readonly kind: Kind
  readonly version: number
}
type State = "open" | "drawn"
const CSV: ReadonlyArray<Sample> = [2, 3].map((version) => ({ kind: "csv", version }))
const SQLITE: ReadonlyArray<Sample> = [1, 2].map((version) => ({ kind: "sqlite", version }))
const folderOf = ({ kind, version }: Sample) => join(SAMPLES, `${kind}-version${version}`)
const STATES: ReadonlyArray<State> = ["open", "drawn"]

/** The books that the agencies send: the rows of the drawn store, without the agency. */
const ROWS = readFileSync(join(SAMPLES, "csv-version2", "drawn", "bets.csv"), "utf8").split("\r\n")
const bookOf = (agency: number) =>
  ROWS.filter((row) => row.startsWith(`${agency},`)).map((row) => row.split(",").slice(1))
const batchOf = (agency: number) => {
  const builder = new BetBatchBuilder()
  for (const bet of bookOf(agency)) expect(builder.addTexts(bet)).toBeUndefined()
  return builder.build()
}
const winningRows = (agency: number) => bookOf(agency).filter((bet) => bet[4] === "7574")
const documentsOf = (agency: number) => winningRows(agency).map((bet) => bet[2])

const WINNERS = [1, 2].map((agency) => [agency, M.rowsOf(winningRows(agency))])
/** What `lottery winners --csv` prints. */
const WINNING_ROWS = M.rowsOf(
  [1, 2].flatMap((agency) => winningRows(agency).map((bet) => [`${agency}`, ...bet]))
)
const finished = { ...NO_PROGRESS, bets: 60, finished: true }
const FOUND: Readonly<
  Record<
    State,
    {
      readonly draw: StoredDraw
      readonly progress: ReadonlyMap<number, unknown>
      readonly winners: ReadonlyArray<unknown>
      readonly bets: ReadonlyArray<number>
    }
  >
> = {
  open: {
    draw: storedDraw(drawOf([1, 2, 3])),
    progress: new Map<number, unknown>([
      [1, finished],
      [2, { ...NO_PROGRESS, bets: 25 }]
    ]),
    winners: [],
    bets: [60, 25, 0]
  },
  drawn: {
    draw: storedDraw(drawOf([1, 2, 3]), true),
    progress: new Map([1, 2, 3].map((agency) => [agency, { ...finished, told: true }])),
    winners: WINNERS,
    bets: [60, 60, 60]
  }
}

const copyOf = Effect.fnUntraced(function* (sample: Sample, state: State) {
  const { kind } = sample
  const folder = yield* temporaryFolder
  const { file } = KINDS[kind]
  cpSync(join(folderOf(sample), state), folder, { recursive: true })
  return { folder, url: { _tag: kind, path: join(folder, file) } as const }
})

/** The content of a folder, without the files that even a reader creates. */
const contentOf = (folder: string) =>
  readdirSync(folder)
    .filter((name) => !/(\.lock|-shm|-wal)$/.test(name))
    .sort()
    .map((name) => [name, readFileSync(join(folder, name)).toString("latin1")])

const read = <A, E>(
  url: StoreUrl.StoreUrl,
  of: (reader: BetStoreReader["Service"]) => Effect.Effect<A, E>
) => Effect.provide(Effect.flatMap(BetStoreReader, of), StoreUrl.layerReader(url, "default"))

const rowsIn = (books: Pick<BetStoreReader["Service"], "book">, agency: number) =>
  Effect.map(Stream.runCollect(books.book(agency, 0)), (batches) =>
    Buffer.concat([...batches].map(({ bytes }) => bytes)).toString()
  )

const expectFound = Effect.fnUntraced(function* (reader: BetStoreReader["Service"], state: State) {
  const { bets, draw, progress, winners } = FOUND[state]
  expect(yield* reader.draw).toEqual(Option.some(draw))
  expect(yield* reader.progress).toEqual(progress)
  expect(yield* winnersIn(reader)).toEqual(winners)
  for (const agency of [1, 2, 3]) {
    const rows = M.rowsOf(bookOf(agency).slice(0, bets[agency - 1]))
    expect(yield* rowsIn(reader, agency)).toBe(rows)
  }
})

const pragmaOf = (path: string, name: string) => {
  const database = new DatabaseSync(path, { readOnly: true })
  const value = Object.values(database.prepare(`pragma ${name}`).get()!)[0]
  database.close()
  return value
}

const versionOf = (kind: Kind, path: string) =>
  kind === "sqlite"
    ? pragmaOf(path, "user_version")
    : JSON.parse(readFileSync(`${path}.state.json`, "utf8")).version

/** Sends what is missing of a book and returns the winners. */
const finishBook = Effect.fnUntraced(function* (port: number, agency: number, stored: number) {
  const book = bookOf(agency)
  const peer = yield* RawPeer.connect(port)
  yield* peer.send(M.helloOf(agency))
  const sha256 = M.sha256Of(M.rowsOf(book.slice(0, stored)))
  expect(yield* peer.control).toMatchObject({ _tag: "Welcome", bets: stored, sha256 })
  if (stored < book.length) yield* peer.send(M.betsOf(stored, book.slice(stored)))
  yield* peer.send(Buffer.concat([M.finishOf(book), M.AWAIT_WINNERS]))
  const winners = Effect.map(peer.rest, (bytes) => M.controlsIn(bytes).at(-1))
  // Winners count as sent once the agency closes.
  return Effect.tap(winners, () => peer.halfClose)
})

const expectAllTold = Effect.fnUntraced(function* (
  { lottery, port }: TestServer.TestServer,
  stored: ReadonlyArray<number>
) {
  const waiting = yield* Effect.forEach([1, 2, 3], (agency) =>
    finishBook(port, agency, stored[agency - 1]!)
  )
  for (const [index, told] of waiting.entries()) {
    const documents = documentsOf(index + 1)
    expect(yield* told).toEqual({ _tag: "Winners", number: 7574, documents, more: false })
  }
  yield* lottery.allTold
})

describe.each([...CSV, ...SQLITE])("a $kind store of version $version", (sample) => {
  const { kind } = sample

  it.live.each(STATES)("is read without a change to it: %s", (state) =>
    Effect.gen(function* () {
      const { folder, url } = yield* copyOf(sample, state)
      const before = contentOf(folder)
      yield* read(url, (reader) => expectFound(reader, state))
      const store = StoreUrl.show(url)
      const status = yield* runLottery({ args: ["status", "--store", store, "--json"] })
      expect(status.code, status.stderr).toBe(0)
      expect(JSON.parse(status.stdout)).toMatchObject({
        draw: { id: "default", agencies: [1, 2, 3], winningNumber: 7574, held: state === "drawn" }
      })
      const exported = yield* runLottery({ args: ["export", "--store", store, "--agency", "2"] })
      const rows = M.rowsOf(bookOf(2).slice(0, FOUND[state].bets[1]))
      expect(exported).toMatchObject({ code: 0, stdout: rows })
      const winners = yield* runLottery({ args: ["winners", "--store", store, "--csv"] })
      if (state === "open") expect(winners).toMatchObject({ code: 1, stdout: "" })
      else expect(winners.stdout).toBe(WINNING_ROWS)
      expect(contentOf(folder)).toEqual(before)
      expect(versionOf(kind, url.path)).toBe(sample.version)
    })
  )

  it.live.each(STATES)("is continued by a server, and tells the same winners again: %s", (state) =>
    Effect.gen(function* () {
      const { url } = yield* copyOf(sample, state)
      yield* Effect.gen(function* () {
        const server = yield* TestServer.start(url, [1, 2, 3])
        yield* expectFound(server.store, state)
        yield* expectAllTold(server, FOUND[state].bets)
      }).pipe(Effect.scoped)
      expect(versionOf(kind, url.path)).toBe(KINDS[kind].current)
      yield* read(url, (reader) => expectFound(reader, "drawn"))
      const args = ["winners", "--store", StoreUrl.show(url), "--csv"]
      expect(yield* runLottery({ args })).toMatchObject({ code: 0, stdout: WINNING_ROWS })
      // A restart finds the draw.
      const server = yield* TestServer.start(url, [1, 2, 3])
      expect(server.log[0]).toContain("action: draw_held")
      yield* expectAllTold(server, [60, 60, 60])
    })
  )

  it.live("can be closed by a command, which migrates it", () =>
    Effect.gen(function* () {
      const { url } = yield* copyOf(sample, "open")
      const args = ["close", "--store", StoreUrl.show(url), "--without", "2"]
      const asked = yield* runLottery({ args })
      expect(asked).toMatchObject({ code: 2, stdout: "" })
      expect(asked.stderr).toContain("exclude agency 2 (25 stored bets)")
      expect(versionOf(kind, url.path)).toBe(sample.version)
      const done = yield* runLottery({ args: [...args, "--yes"] })
      expect(done.code, done.stderr).toBe(0)
      expect(versionOf(kind, url.path)).toBe(KINDS[kind].current)
      const server = yield* TestServer.start(url, [1, 2, 3])
      const waiting = yield* finishBook(server.port, 1, 60)
      yield* Effect.flatten(finishBook(server.port, 3, 0))
      expect(yield* waiting).toMatchObject({ _tag: "Winners", documents: documentsOf(1) })
      expect(yield* winnersIn(server.store)).toEqual(WINNERS.slice(0, 1))
    })
  )

  it.live("refuses another number or other agencies, as before", () =>
    Effect.gen(function* () {
      const { url } = yield* copyOf(sample, "open")
      const start = Effect.flip(TestServer.start(url, [1, 2, 3], 7))
      expect((yield* start).message).toContain("winning number 7574")
    })
  )

  it.live("is refused if it has a version that this release does not know", () =>
    Effect.gen(function* () {
      const { folder, url } = yield* copyOf(sample, "open")
      const newer = KINDS[kind].current + 1
      if (kind === "sqlite") {
        const database = new DatabaseSync(url.path)
        database.exec(`pragma user_version = ${newer}`)
        database.close()
      } else {
        const path = `${url.path}.state.json`
        const state = JSON.parse(readFileSync(path, "utf8"))
        writeFileSync(path, JSON.stringify({ ...state, version: newer }))
      }
      const before = contentOf(folder)
      const store = StoreUrl.show(url)
      for (const args of [
        ["server", "--port", "0", "--agencies", "3", "--store", store],
        ["status", "--store", store],
        ["close", "--without", "3", "--yes", "--store", store]
      ]) {
        const { code, stderr } = yield* runLottery({ args })
        expect(code, stderr).toBe(1)
        expect(stderr).toContain(
          `has version ${newer}, but this release supports at most ${KINDS[kind].current}: ` +
            "use the release that wrote it, or a newer one"
        )
      }
      expect(contentOf(folder)).toEqual(before)
    })
  )

  it.live("has a digest of each finished book once that is finished again", () =>
    Effect.gen(function* () {
      const { url } = yield* copyOf(sample, "open")
      const book = batchOf(1)
      const digests = new Map([[1, { bets: 60, ...whole(book) }]])
      // A CSV store reads the whole book when it is opened.
      const before = kind === "csv" ? digests : new Map()
      expect(yield* read(url, (reader) => reader.digests)).toEqual(before)
      yield* Effect.gen(function* () {
        const store = yield* BetStore
        expect(yield* store.digests).toEqual(before)
        yield* store.finish(1, 60, whole(book))
        expect(yield* store.digests).toEqual(digests)
      }).pipe(Effect.provide(StoreUrl.layer(url, "default")))
      expect(yield* read(url, (reader) => reader.digests)).toEqual(digests)
    })
  )
})

describe.each(CSV)("a CSV store of version $version", (sample) => {
  const PATH = "/store/bets.csv"
  /** More yields than a migration needs. */
  const TURNS = 1000

  /** Puts the files of a sample on a disk in memory. */
  const diskWith = Effect.fnUntraced(function* (state: State) {
    const crash = CrashDisk.make("/store")
    const disk: Disk = crash.attach()
    const from = join(folderOf(sample), state)
    for (const name of readdirSync(from)) {
      const file = yield* disk.open(`/store/${name}`, "wx+")
      yield* disk.write(file, readFileSync(join(from, name)), 0)
      yield* disk.sync(file)
    }
    yield* disk.sync(yield* disk.open("/store", "r"))
    return crash
  })

  const opening = (crash: CrashDisk.CrashDisk) =>
    openStore(crash.attach(), PATH, { path: PATH, drawId: "default" })

  it.live.each(STATES)("opens after a crash at any moment of its migration: %s", (state) =>
    Effect.gen(function* () {
      const whole = yield* diskWith(state)
      const from = whole.operations()
      yield* Effect.scoped(opening(whole))
      const operations = whole.operations() - from
      for (const stop of [0, 0.5, 1, "end", "killed"] as const) {
        for (let after = 0; after <= operations; after++) {
          const crash = yield* diskWith(state)
          crash.stopAfter(after)
          // Never ends, because its disk no longer answers.
          yield* Effect.forkDetach(Scope.provide(opening(crash), Scope.makeUnsafe()))
          for (let turn = 0; turn < TURNS && !crash.hasStopped(); turn++) yield* Effect.yieldNow
          if (stop === "killed") crash.kill()
          else crash.cut(stop)
          const again = Effect.flatMap(opening(crash), (store) => expectFound(store, state))
          yield* Effect.scoped(again)
        }
      }
    })
  )
})

describe.each(SQLITE)("an SQLite store of version $version", (sample) => {
  const definitions = (path: string) => {
    const database = new DatabaseSync(path, { readOnly: true })
    const found = database.prepare("select type, name, sql from sqlite_schema order by name").all()
    database.close()
    return found.map((row) => ({ ...row }))
  }

  it.live("has the same tables as a new one after its migration, and no index", () =>
    Effect.gen(function* () {
      const { folder, url } = yield* copyOf(sample, "drawn")
      const fresh = { _tag: "sqlite", path: join(folder, "new.db") } as const
      for (const at of [url, fresh]) {
        yield* Effect.scoped(Layer.build(StoreUrl.layer(at, "default")))
      }
      expect(definitions(url.path)).toEqual(definitions(fresh.path))
    })
  )

  it.live("keeps people's own views after its migration, even broken ones", () =>
    Effect.gen(function* () {
      const { url } = yield* copyOf(sample, "drawn")
      const views = (of: (database: DatabaseSync) => unknown) => {
        const database = new DatabaseSync(url.path)
        const found = of(database)
        database.close()
        return found
      }
      views((database) =>
        database.exec(`
          create view broken as select * from no_such_table;
          create view sizes as select name, agency, bets from draws
            join agencies on agencies.draw = draws.id`)
      )
      yield* Effect.scoped(Layer.build(StoreUrl.layer(url, "default")))
      const found = views((database) => database.prepare("select * from sizes").all())
      expect(found).toEqual([1, 2, 3].map((agency) => ({ name: "default", agency, bets: 60 })))
    })
  )

  it.live.each(STATES)("opens after a crash in the middle or at the end of it: %s", (state) =>
    Effect.gen(function* () {
      const { folder, url } = yield* copyOf(sample, state)
      const database = new DatabaseSync(url.path)
      // Writes changed pages to the log before the commit.
      database.exec("pragma journal_mode = wal; pragma wal_autocheckpoint = 0")
      database.exec("pragma cache_size = 1; pragma cache_spill = 1; begin immediate")
      SqliteSchema.prepareTables(database)
      const left: Array<string> = []
      const crash = () => {
        const copy = join(folder, `crash-${left.length}.db`)
        for (const end of ["", "-wal"]) {
          if (existsSync(url.path + end)) cpSync(url.path + end, copy + end)
        }
        left.push(copy)
      }
      crash()
      database.exec("commit")
      crash()
      database.close()
      expect(readFileSync(`${left[0]}-wal`).length).toBeGreaterThan(0)
      for (const path of left) {
        const copy = { _tag: "sqlite", path } as const
        yield* read(copy, (reader) => expectFound(reader, state))
        yield* Effect.flatMap(BetStore, (store) => expectFound(store, state)).pipe(
          Effect.provide(StoreUrl.layer(copy, "default"))
        )
        expect(pragmaOf(path, "user_version")).toBe(KINDS.sqlite.current)
      }
    })
  )

  /** Does what the shell's `.dump` does: copies the tables and their rows, but no pragma. */
  const restore = (from: string, to: string) => {
    const database = new DatabaseSync(to)
    database.exec(`attach '${from}' as old`)
    const schema = "select name, sql from old.sqlite_schema where sql not null order by type desc"
    for (const { name, sql } of database.prepare(schema).all()) {
      database.exec(String(sql))
      if (/^create table/i.test(String(sql))) {
        database.exec(`insert into main.${name} select * from old.${name}`)
      }
    }
    database.close()
  }

  it.live.each(STATES)("is recognized and migrated after a restored dump: %s", (state) =>
    Effect.gen(function* () {
      const { folder, url } = yield* copyOf(sample, state)
      const restored = { _tag: "sqlite", path: join(folder, "restored.db") } as const
      restore(url.path, restored.path)
      expect(pragmaOf(restored.path, "user_version")).toBe(0)
      yield* read(restored, (reader) => expectFound(reader, state))
      expect(pragmaOf(restored.path, "user_version")).toBe(0)
      const server = yield* TestServer.start(restored, [1, 2, 3])
      yield* expectAllTold(server, FOUND[state].bets)
      expect(pragmaOf(restored.path, "user_version")).toBe(KINDS.sqlite.current)
    })
  )

  it.live("is refused if a restored dump lacks bets", () =>
    Effect.gen(function* () {
      const { folder, url } = yield* copyOf(sample, "open")
      const path = join(folder, "restored.db")
      restore(url.path, path)
      const database = new DatabaseSync(path)
      database.exec("delete from bets where agency = 1 and position = 59")
      database.close()
      const reason = "it was only partly restored: agency 1 should have 60 bets, but 59 were found"
      const store = StoreUrl.layer({ _tag: "sqlite", path }, "default")
      const failed = yield* Effect.flip(Effect.scoped(Layer.build(store)))
      expect(failed.message).toContain(reason)
    })
  )
})
