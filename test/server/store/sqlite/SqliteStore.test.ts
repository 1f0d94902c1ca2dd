import { randomUUID } from "node:crypto"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Worker } from "node:worker_threads"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BetBatch } from "../../../../src/domain/BetBatch.ts"
import { BetStore, BetStoreReader } from "../../../../src/server/store/BetStore.ts"
import type { Write } from "../../../../src/server/store/embedded/Write.ts"
import { SqliteBooks } from "../../../../src/server/store/sqlite/SqliteBooks.ts"
import * as SqliteFile from "../../../../src/server/store/sqlite/SqliteFile.ts"
import { prepareTables } from "../../../../src/server/store/sqlite/SqliteSchema.ts"
import * as SqliteStore from "../../../../src/server/store/sqlite/SqliteStore.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bytesOf, conformance, drawOf, type Stores } from "../BetStore.conformance.ts"
import { closingConformance } from "../Closing.conformance.ts"
import { sealingConformance } from "../Sealing.conformance.ts"

const layer = (path: string, drawId = "default") =>
  Layer.effect(BetStore, SqliteStore.make({ path, drawId }))

const layerReader = (path: string, drawId = "default") =>
  Layer.effect(BetStoreReader, SqliteStore.makeReader({ path, drawId }))

const stores: Stores = {
  place: temporaryFolder,
  layer: (folder, drawId) => layer(join(folder, "lottery.db"), drawId),
  layerReader: (folder, drawId) => layerReader(join(folder, "lottery.db"), drawId),
  manyDraws: true,
  isEmbedded: true
}
conformance("SqliteStore", stores)
closingConformance("SqliteStore", stores)
sealingConformance("SqliteStore", stores)

const programOf = (name: string) => new URL(`../../../support/stores/${name}.ts`, import.meta.url)

describe("SqliteStore", () => {
  it.live("a reader next to the writer sees one book, even if it is discarded meanwhile", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      yield* Effect.gen(function* () {
        const store = yield* BetStore
        yield* store.append(1, 0, bets(1, 0, 6000))
        const replace = Effect.andThen(
          store.discard(1, randomUUID()),
          store.append(1, 0, bets(9, 0, 5000))
        )
        const seen: Array<BetBatch> = []
        yield* Effect.flatMap(BetStoreReader, ({ book, progress }) =>
          Stream.runForEach(book(1, 0), (batch) => {
            seen.push(batch)
            return seen.length === 1 ? replace : Effect.void
          }).pipe(
            Effect.andThen(progress),
            Effect.map((now) => expect(now.get(1)?.bets).toBe(5000)),
            Effect.andThen(Stream.runCollect(book(1, 0))),
            Effect.map((next) => expect(bytesOf(next)).toBe(bytesOf([bets(9, 0, 5000)])))
          )
        ).pipe(Effect.provide(layerReader(path)))
        expect(seen.length).toBeGreaterThan(1)
        expect(bytesOf(seen)).toBe(bytesOf([bets(1, 0, 6000)]))
      }).pipe(Effect.provide(layer(path)))
    })
  )

  it.live("people can query the database, with documents as text", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      yield* Effect.gen(function* () {
        const store = yield* BetStore
        yield* store.openDraw(drawOf([1]))
        yield* store.append(1, 0, bets(1, 0, 4))
      }).pipe(Effect.provide(layer(path)))
      const database = new DatabaseSync(path)
      expect(
        database
          .prepare("select agency, first_name, last_name, document, birthdate, number from bets")
          .all()
          .at(-1)
      ).toEqual({
        agency: 1,
        first_name: "王",
        last_name: "小明",
        document: "000100003",
        birthdate: "1990-02-28",
        number: 7574
      })
      database.close()
    })
  )

  it.live("a file that is not a bet store is refused and left unchanged", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const other = join(folder, "other.db")
      const database = new DatabaseSync(other)
      database.exec("create table things (thing)")
      database.close()
      const before = readFileSync(other)
      const text = join(folder, "text.db")
      writeFileSync(text, "not a database ".repeat(100))
      for (const [path, reason] of [
        [other, "it is another program's database, not a bet store"],
        [text, "it is not an SQLite database"]
      ] as const) {
        const error = yield* Effect.flip(Effect.provide(BetStore, layer(path)))
        expect(error).toMatchObject({ _tag: "StoreOpenError", store: path, reason })
        const reading = Effect.provide(BetStoreReader, layerReader(path))
        expect(yield* Effect.flip(reading)).toMatchObject({ reason })
      }
      expect(readFileSync(other)).toEqual(before)
    })
  )

  /** A closed store with two books, one of them finished. */
  const stored = Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const path = join(folder, "lottery.db")
    yield* Effect.gen(function* () {
      const store = yield* BetStore
      yield* store.openDraw(drawOf([1, 2]))
      yield* store.append(1, 0, bets(1, 0, 30), { last: whole(bets(1, 0, 30)) })
      yield* store.append(2, 0, bets(2, 0, 9))
    }).pipe(Effect.provide(layer(path)))
    return { path, restored: join(folder, "restored.db") }
  })

  /** Does what the shell's `.dump` does: copies the tables and their rows, but no pragma. */
  const dumpAndRestore = (from: string, to: string, sql = "") => {
    const database = new DatabaseSync(to)
    const schema = "select sql from old.sqlite_schema where sql not null"
    database.exec(`attach '${from}' as old`)
    for (const { sql } of database.prepare(schema).all()) database.exec(String(sql))
    for (const table of ["draws", "agencies", "bets"]) {
      database.exec(`insert into main.${table} select * from old.${table}`)
    }
    database.exec(`detach old; ${sql}`)
    database.close()
  }

  const progressIn = (path: string) =>
    Effect.flatMap(BetStoreReader, (books) => books.progress).pipe(
      Effect.provide(layerReader(path))
    )

  const pragmasOf = (path: string) => {
    const database = new DatabaseSync(path, { readOnly: true })
    const pragmas = ["application_id", "user_version"].map((name) =>
      Object.values(database.prepare(`pragma ${name}`).get()!)
    )
    database.close()
    return pragmas.flat()
  }

  it.live("a dumped and restored store is recognized by its tables and marked again", () =>
    Effect.gen(function* () {
      const { path, restored } = yield* stored
      dumpAndRestore(path, restored)
      expect(pragmasOf(restored)).toEqual([0, 0])
      const expected = yield* progressIn(path)
      expect(yield* progressIn(restored)).toEqual(expected)
      expect(pragmasOf(restored)).toEqual([0, 0])
      yield* Effect.gen(function* () {
        const store = yield* BetStore
        expect(yield* store.progress).toEqual(expected)
        yield* store.append(2, 9, bets(2, 9, 1))
      }).pipe(Effect.provide(layer(restored)))
      expect(pragmasOf(restored)).toEqual(pragmasOf(path))
    })
  )

  it.live("a full copy keeps the marks", () =>
    Effect.gen(function* () {
      const { path, restored } = yield* stored
      const database = new DatabaseSync(path)
      database.exec(`vacuum into '${restored}'`)
      database.close()
      expect(pragmasOf(restored)).toEqual(pragmasOf(path))
      expect(yield* progressIn(restored)).toEqual(yield* progressIn(path))
    })
  )

  it.live("a partly restored store or another program's file is refused and left unchanged", () =>
    Effect.gen(function* () {
      const { path, restored } = yield* stored
      const changes = [
        ["delete from bets where position > 25", "agency 1 should have 30 bets, but 26 were found"],
        [
          "delete from bets where position = 3 and agency = 2",
          "agency 2 should have 9 bets, but their positions have gaps"
        ],
        ["delete from agencies where agency = 2", "agency 2 should have 0 bets, but 9 were found"],
        ["alter table bets add note text", "another program's database"],
        ["pragma application_id = 7", "another program's database"],
        [
          "pragma application_id = 1280267348; pragma user_version = 9",
          "it has version 9, but this release"
        ]
      ] as const
      for (const [index, [sql, reason]] of changes.entries()) {
        const other = `${restored}-${index}`
        dumpAndRestore(path, other, sql)
        const before = readFileSync(other)
        for (const readOnly of [false, true]) {
          const settings = { path: other, drawId: "default", readOnly, busyTimeoutMillis: 0 }
          expect(() => SqliteFile.openFile(settings)).toThrow(reason)
        }
        expect(readFileSync(other).equals(before)).toBe(true)
      }
    })
  )

  it.live("the store is unavailable while another process writes the file, then works again", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* temporaryFolder, "lottery.db")
        const store = yield* SqliteStore.make({ path, drawId: "default", busyTimeoutMillis: 50 })
        yield* store.append(1, 0, bets(1, 0, 2))
        const other = new DatabaseSync(path)
        other.exec("begin immediate")
        expect(yield* Effect.flip(store.append(1, 2, bets(1, 2, 1)))).toMatchObject({
          _tag: "StoreUnavailable",
          reason: "database is locked (SQLite 5)"
        })
        other.exec("rollback")
        other.close()
        yield* store.append(1, 2, bets(1, 2, 1))
        expect((yield* store.progressOf(1)).bets).toBe(3)
      })
    )
  )

  it.live("a write waits for another process that writes the file", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* temporaryFolder, "lottery.db")
        const store = yield* SqliteStore.make({ path, drawId: "default" })
        const other = new DatabaseSync(path)
        other.exec("begin immediate")
        const appending = yield* Effect.forkScoped(store.append(1, 0, bets(1, 0, 2)))
        yield* Effect.sleep("50 millis")
        other.close()
        yield* Fiber.join(appending)
      })
    )
  )

  it.live("each reader gets its own answer, even if other readers were interrupted", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      yield* Effect.gen(function* () {
        const store = yield* BetStore
        const agencies = [1, 2, 3, 4, 5, 6]
        for (const agency of agencies) yield* store.append(agency, 0, bets(agency, 0, agency))
        const readers = yield* Effect.forEach(agencies, (agency) =>
          Effect.forkChild(store.progressOf(agency), { startImmediately: true })
        )
        for (const reader of [readers[0]!, readers[3]!]) yield* Fiber.interrupt(reader)
        const answers = yield* Effect.forEach(readers, Fiber.await)
        expect(answers.map((exit) => (Exit.isSuccess(exit) ? exit.value.bets : "gone"))).toEqual([
          "gone",
          ...[2, 3],
          "gone",
          ...[5, 6]
        ])
        expect((yield* store.progressOf(6)).bets).toBe(6)
      }).pipe(Effect.provide(layer(path)))
    })
  )

  it.live("all pending writes fail when the worker dies, and the store is broken", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* temporaryFolder, "lottery.db")
        const worker = programOf("DyingWorker")
        const store = yield* SqliteStore.make({ path, drawId: "default", worker })
        const errors = yield* Effect.forEach(
          [1, 2, 3],
          (agency) => Effect.flip(store.append(agency, 0, bets(agency, 0, 1))),
          { concurrency: "unbounded" }
        )
        expect(errors.map((error) => error._tag)).toEqual(Array(3).fill("StoreBroken"))
        expect(String(yield* Effect.flip(store.broken))).toContain("exited with code 3")
        expect(yield* Effect.flip(store.progress)).toMatchObject({ _tag: "StoreUnavailable" })
      })
    )
  )

  it.live("a commit that fails to sync also fails the one behind it, which stores nothing", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const worker = programOf("UncommittedWorker")
      const broken = Effect.gen(function* () {
        const store = yield* SqliteStore.make({ path, drawId: "default", worker })
        // Each is large enough to be handed to the worker while another one is on its way.
        const errors = yield* Effect.forEach(
          [1, 2, 3],
          (agency) => Effect.flip(store.append(agency, 0, bets(agency, 0, 5000))),
          { concurrency: "unbounded" }
        )
        expect(errors.map((error) => error._tag)).toEqual(Array(3).fill("StoreBroken"))
      })
      yield* Effect.scoped(broken)
      yield* Effect.gen(function* () {
        expect([...(yield* (yield* BetStore).progress).keys()]).toEqual([])
      }).pipe(Effect.provide(layer(path)))
    })
  )

  it.live("the store cannot be opened if the worker dies first", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const worker = new URL("data:text/javascript,process.exit(4)")
      const opened = Effect.scoped(SqliteStore.make({ path, drawId: "default", worker }))
      expect(yield* Effect.flip(opened)).toMatchObject({
        _tag: "StoreOpenError",
        reason: "the store's worker exited with code 4"
      })
    })
  )

  it.live("a sync that fails during a checkpoint breaks the store", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const path = join(yield* temporaryFolder, "lottery.db")
        const worker = programOf("UnsyncedWorker")
        const store = yield* SqliteStore.make({ path, drawId: "default", worker })
        yield* store.append(1, 0, bets(1, 0, 1))
        // A discard triggers a checkpoint.
        expect(yield* store.discard(1, randomUUID())).toBe(1)
        expect(yield* Effect.flip(store.broken)).toMatchObject({ _tag: "StoreBroken" })
        expect(yield* Effect.flip(store.told(1))).toMatchObject({ _tag: "StoreBroken" })
      })
    )
  )

  it.live.each([
    ["of the final checkpoint", Effect.void],
    // A discard triggers a checkpoint, which takes a moment.
    ["after the last commit", Effect.flatMap(BetStore, (store) => store.discard(1, randomUUID()))]
  ] as const)("a close reports a failed sync %s", ([, last]) =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const scope = yield* Scope.make()
      const worker = programOf("UnsyncedWorker")
      const store = yield* SqliteStore.make({ path, drawId: "default", worker }).pipe(
        Scope.provide(scope)
      )
      yield* store.append(1, 0, bets(1, 0, 1))
      yield* Effect.provideService(last, BetStore, store)
      const closed = yield* Effect.exit(Scope.close(scope, Exit.void))
      expect(String(closed)).toContain("disk I/O error (SQLite 1034)")
    })
  )

  it.effect("a close gives up on a worker that does not answer", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const scope = yield* Scope.make()
      const store = SqliteStore.make({ path, drawId: "default", worker: programOf("DeafWorker") })
      const worker = new Promise<Worker>((resolve) => process.once("worker", resolve))
      yield* Scope.provide(store, scope)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("9 seconds")
      expect(closing.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      // The worker is terminated.
      expect((yield* Effect.promise(() => worker)).threadId).toBe(-1)
    })
  )

  it("only a failed sync breaks the store", () => {
    const failing = (errcode: number) => Object.assign(new Error("disk I/O error"), { errcode })
    for (const errcode of [1034, 1290])
      expect(SqliteFile.failureOf(failing(errcode)).kind).toBe("broken")
    for (const errcode of [5, 8, 10, 13, 778]) {
      expect(SqliteFile.failureOf(failing(errcode)).kind).toBe("unavailable")
    }
  })

  const TOLD: ReadonlyArray<Write> = [{ kind: "told", agency: 1 }]

  const appendOf = (batch: BetBatch): Write => ({
    ...{ kind: "append", agency: 1, position: 0, last: undefined, edition: undefined },
    ...{ runs: batch.runs, size: batch.byteLength, count: batch.count }
  })

  const inMemory = () => {
    const database = new DatabaseSync(":memory:")
    prepareTables(database)
    const exec = database.exec.bind(database)
    return {
      database,
      books: new SqliteBooks(database, "default"),
      /** Makes exactly these statements fail, with SQLite's error codes. */
      fails: (...failing: ReadonlyArray<readonly [sql: string, errcode: number]>) => {
        database.exec = (sql) => {
          const errcode = new Map(failing).get(sql)
          if (errcode === undefined) exec(sql)
          else throw Object.assign(new Error("disk I/O error"), { errcode })
        }
      }
    }
  }

  it("nothing is committed after a failed sync or a failed rollback", () => {
    for (const [failing, reason] of [
      [[["commit", 1034]], "disk I/O error (SQLite 1034)"],
      [
        [
          ["commit", 13],
          ["rollback", 10]
        ],
        "disk I/O error (SQLite 13); then disk I/O error"
      ]
    ] as const) {
      const { books, database, fails } = inMemory()
      fails(...failing)
      const broken = { kind: "broken", reason }
      expect(books.commit(TOLD)).toEqual(broken)
      fails()
      expect(books.commit(TOLD)).toEqual(broken)
      database.close()
    }
  })

  it("a commit on a full disk stores nothing, and works once there is room", () => {
    const { books, database } = inMemory()
    const limit = (pages: number) => database.exec(`pragma max_page_count = ${pages}`)
    limit(8)
    // There is room for the draw's row, which must be rolled back too.
    expect(books.commit([appendOf(bets(1, 0, 500))])).toMatchObject({
      kind: "unavailable",
      reason: "database or disk is full (SQLite 13)"
    })
    limit(1000)
    expect(books.commit([appendOf(bets(1, 0, 500))])).toEqual([{ kind: "done" }])
    const again = new SqliteBooks(database, "default")
    expect(again.progressOf(1)).toMatchObject({ bets: 500 })
    database.close()
  })

  it("entries that do not fit on the disk leave the draw open, and are stored later", () => {
    const { books, database } = inMemory()
    books.commit([{ kind: "openDraw", terms: drawOf([1]) }])
    books.commit([{ kind: "finish", agency: 1, bets: 0, digest: whole(), edition: undefined }])
    const seal: Write = {
      kind: "recordEntries",
      entries: "entry\n".repeat(10_000),
      sealedAt: 1000,
      agencies: [{ agency: 1, bets: 0, sha256: whole().sha256 }],
      isLate: false
    }
    const open = books.draw()
    database.exec("pragma max_page_count = 14")
    expect(books.commit([seal])).toMatchObject({ kind: "unavailable" })
    const again = new SqliteBooks(database, "default")
    expect(again.draw()).toEqual(open)
    expect(again.evidence().entries).toBeUndefined()
    database.exec("pragma max_page_count = 1000")
    expect(books.commit([seal])).toEqual([{ kind: "done" }])
    expect(again.draw()).toEqual({ ...open, sealedAt: 1000 })
    expect(again.evidence().entries).toBe(seal.entries)
    database.close()
  })

  it("a close time that another program damaged excludes nobody", () => {
    const { books, database } = inMemory()
    books.commit([{ kind: "openDraw", terms: { ...drawOf([1, 2]), closeAt: 1000 } }])
    books.commit([{ kind: "finish", agency: 1, bets: 0, digest: whole(), edition: undefined }])
    database.exec("update draws set closes_at = 'tomorrow'")
    expect(books.commit([{ kind: "closeIfDue", now: 500 }])).toMatchObject({
      kind: "unavailable",
      reason: expect.stringContaining("in the table draws, got tomorrow")
    })
    expect(books.progressOf(2).excluded).toBe(false)
    database.close()
  })

  it("a discard that could not be committed does not change the edition", () => {
    const { books, database, fails } = inMemory()
    books.commit([appendOf(bets(1, 0, 5))])
    fails(["commit", 13])
    expect(books.commit([{ kind: "discard", agency: 1, act: "act" }])).toMatchObject({
      kind: "unavailable"
    })
    fails()
    expect(books.progressOf(1)).toMatchObject({ bets: 5, edition: 0 })
    database.close()
  })

  it.effect("the log is copied into the file after 4 MiB, after a discard and at the end", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "lottery.db")
      const settings = { path, drawId: "default", readOnly: false, busyTimeoutMillis: 0 }
      const database = SqliteFile.openFile(settings)
      const books = new SqliteBooks(database, "default")
      /** Whether the checkpoint after a commit changed the file. */
      const isCopied = (write: Write, grownBytes?: number) => {
        expect(books.commit([write])).not.toHaveProperty("kind")
        const before = readFileSync(path)
        expect(books.checkpoint(grownBytes)).toBeUndefined()
        return !readFileSync(path).equals(before)
      }
      const told = (agency: number): Write => ({ kind: "told", agency })
      const name = "a".repeat(100)
      const row = Buffer.from(`${name},${name},1,1990-01-01,1\n`)
      const count = Math.ceil((4 * 2 ** 20) / row.length)
      const book = new BetBatch(Buffer.alloc(count * row.length, row), count)
      const before = statSync(path).size
      // SQLite's automatic checkpoint must be off, because it hides a failed sync.
      expect(books.commit([appendOf(book)])).toEqual([{ kind: "done" }])
      expect(statSync(path).size).toBe(before)
      expect(isCopied(told(2))).toBe(true)
      expect(isCopied(told(3))).toBe(false)
      expect(isCopied({ kind: "discard", agency: 1, act: "act" })).toBe(true)
      expect(isCopied(told(4), 1)).toBe(true)
      database.close()
    }).pipe(Effect.scoped)
  )
})
