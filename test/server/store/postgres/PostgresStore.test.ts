/**
 * Goal: the PostgreSQL store keeps the contract, even with several servers on one draw; people can
 * query its tables, and it leaves other programs' tables alone. Method: a real PostgreSQL, with one
 * schema per test. If the order of two servers' transactions matters, the test holds one open on
 * its own connection until PostgreSQL reports that the store waits for it.
 */
import { randomUUID } from "node:crypto"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, type Scope, Stream } from "effect"
import type { ExpectedAgencies } from "../../../../src/domain/Draw.ts"
import { BetStore, BetStoreReader } from "../../../../src/server/store/BetStore.ts"
import * as PostgresStore from "../../../../src/server/store/postgres/PostgresStore.ts"
import { showPostgresUrl } from "../../../../src/server/store/postgres/PostgresUrl.ts"
import { DISCARD, hold, until } from "../../../support/stores/HeldTransaction.ts"
import {
  describePostgres,
  freshSchema,
  query,
  type TestDatabase
} from "../../../support/stores/PostgresCluster.ts"
import { whole } from "../../../support/wholeBook.ts"
import {
  bets,
  bookOf,
  bytesOf,
  conformance,
  drawOf,
  holdDraw,
  type Stores,
  storedDraw
} from "../BetStore.conformance.ts"
import { closingConformance, finishOrExclude } from "../Closing.conformance.ts"
import { sealingConformance, sealOf } from "../Sealing.conformance.ts"

const optionsOf = (url: string, drawId = "default"): PostgresStore.Options => ({
  url: Redacted.make(url),
  drawId
})

/** A server's store that relies on notifications and never polls. */
const open = (url: string, drawId?: string) =>
  PostgresStore.make({ ...optionsOf(url, drawId), pollInterval: "1 hour" })

const textOf = (store: BetStore["Service"], agency: number) =>
  Effect.map(Effect.provideService(bookOf(agency), BetStore, store), ({ text }) => text)

const ADD_EVA = `
  insert into bets (draw, agency, position, birthdate, number, first_name, last_name, document)
  select draw, agency, 3, '1999-12-31', 12, 'Eva', 'Díaz', '12345678'
  from agencies where agency = 1`
/** The effect of appending one bet of agency 1 at position 3. */
const APPEND = ["update agencies set bets = 4 where agency = 1 and bets = 3", ADD_EVA]
const EVA = "Eva,Díaz,12345678,1999-12-31,12\n"

/** The effect of recording the number. */
const RECORD = [
  "select id from draws for update",
  "update draws set winning_number = 7574, numbered_by = 'another server', numbered_at = now()"
]

const contents = (url: string) =>
  query(
    url,
    `select relname, relkind, reltype from pg_class
      where relnamespace = current_schema()::regnamespace order by relname`
  )

describePostgres("PostgresStore", (database) => {
  const schema = Effect.flatMap(database, ({ url }: TestDatabase) => freshSchema(url))

  const stores: Stores = {
    place: Effect.orDie(schema),
    layer: (url, drawId) => Layer.effect(BetStore, PostgresStore.make(optionsOf(url, drawId))),
    layerReader: (url, drawId) =>
      Layer.effect(BetStoreReader, PostgresStore.makeReader(optionsOf(url, drawId))),
    manyDraws: true,
    isEmbedded: false
  }
  conformance("PostgresStore", stores)
  closingConformance("PostgresStore", stores)
  sealingConformance("PostgresStore", stores)

  /** A store with an open draw of agencies 1 and 2, and with three bets of agency 1. */
  const withThreeBets = Effect.gen(function* () {
    const url = yield* schema
    const store = yield* open(url)
    yield* store.openDraw(drawOf([1, 2]))
    yield* store.append(1, 0, bets(1, 0, 3))
    return { url, store }
  })

  const withFinishedBooks = Effect.tap(withThreeBets, ({ store }) =>
    Effect.andThen(store.finish(1, 3, whole(bets(1, 0, 3))), store.finish(2, 0, whole()))
  )

  it.live("people can query the tables, with documents as text and birthdates as dates", () =>
    Effect.gen(function* () {
      const url = yield* schema
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1]))
      yield* store.append(1, 0, bets(1, 0, 4))
      const columns = "agency, first_name, last_name, document, birthdate::text, number"
      const types =
        "pg_typeof(document)::text as document_is, pg_typeof(birthdate)::text as date_is"
      expect(
        yield* query(url, `select ${columns}, ${types} from bets where number = 7574`)
      ).toEqual([
        {
          agency: 1,
          first_name: "王",
          last_name: "小明",
          document: "000100003",
          birthdate: "1990-02-28",
          number: 7574,
          document_is: "text",
          date_is: "date"
        }
      ])
      expect(
        yield* query(url, "select count(*)::int4 as young from bets where birthdate > '1990-02-27'")
      ).toEqual([{ young: 4 }])
    })
  )

  it.live("a page stops at a bet that another program deleted", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      yield* query(url, "delete from bets where position = 1")
      expect(bytesOf([yield* store.page(1, { from: 0, until: 3, edition: 0 })])).toBe(
        bytesOf([bets(1, 0, 1)])
      )
      const read = Stream.runDrain(store.book(1, 0))
      expect((yield* Effect.flip(read)).message).toContain("bet 1 of agency 1 is missing")
    })
  )

  it.live("stores each agency's own bets, although the buffers for them are used again", () =>
    Effect.gen(function* () {
      const store = yield* open(yield* schema)
      const agencies = [1, 2, 3, 4, 5, 6, 7, 8] as const
      yield* store.openDraw(drawOf(agencies))
      // The first appends wait for new connections after their bets are encoded. All batches have
      // the same size, so that a buffer used too early would not be replaced by a larger one.
      yield* Effect.forEach(agencies, (agency) => store.append(agency, 0, bets(agency, 0, 5)), {
        concurrency: "unbounded"
      })
      for (const agency of agencies) {
        expect(yield* textOf(store, agency)).toBe(bytesOf([bets(agency, 0, 5)]))
      }
    })
  )

  it.live("three servers that open an empty schema at once create the tables once", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 4; round++) {
        const url = yield* schema
        const three = yield* Effect.all([open(url), open(url), open(url)], {
          concurrency: "unbounded"
        })
        expect(yield* query(url, "select migration_id, name from lottery_migrations")).toEqual([
          { migration_id: 1, name: "tables" },
          { migration_id: 2, name: "steps" },
          { migration_id: 3, name: "seal" }
        ])
        for (const [index, store] of three.entries()) {
          yield* store.append(1, index, bets(1, index, 1), {
            last: index === 2 ? whole(bets(1, 0, 3)) : undefined
          })
        }
        for (const store of three) {
          expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 3)]))
        }
      }
    })
  )

  it.live("three servers can open the draw at once", () =>
    Effect.gen(function* () {
      const draw = drawOf([1, 2, 3])
      for (let round = 0; round < 15; round++) {
        const url = yield* schema
        const three = yield* Effect.all([open(url), open(url), open(url)])
        const opened = yield* Effect.all(
          three.map((store) => store.openDraw(draw)),
          { concurrency: "unbounded" }
        )
        expect(opened).toEqual(Array(3).fill(storedDraw(draw)))
      }
    })
  )

  it.live("reopening a draw does not wait for locks on the tables", () =>
    Effect.gen(function* () {
      const { url } = yield* withThreeBets
      const held = yield* hold(url, ADD_EVA, "select from lottery_migrations")
      const another = yield* open(url)
      expect((yield* another.openDraw(drawOf([1, 2]))).drawn).toBe(false)
      yield* held.rollback
    })
  )

  it.live("another program's tables are refused in one line and left unchanged", () =>
    Effect.gen(function* () {
      const url = yield* schema
      yield* query(url, "create table draws as select 'a pencil' as drawn_with")
      const before = yield* contents(url)
      expect(yield* Effect.flip(open(url))).toMatchObject({
        _tag: "StoreOpenError",
        store: showPostgresUrl(Redacted.make(url)),
        reason: "it has another program's tables: draws"
      })
      expect(yield* query(url, "select * from draws")).toEqual([{ drawn_with: "a pencil" }])
      expect(yield* contents(url)).toEqual(before)
    })
  )

  it.live("another program's table with the name of the migrations table is refused", () =>
    Effect.gen(function* () {
      const url = yield* schema
      yield* query(url, "create table lottery_migrations (birds text)")
      const before = yield* contents(url)
      for (const opening of [open(url), PostgresStore.makeReader(optionsOf(url))]) {
        const { reason } = yield* Effect.flip(opening)
        expect(reason).toBe('column "migration_id" does not exist (PostgreSQL 42703)')
      }
      expect(yield* contents(url)).toEqual(before)
    })
  )

  it.live("tables of a newer version are refused for writing, reading and discarding", () =>
    Effect.gen(function* () {
      const { url } = yield* withThreeBets
      yield* query(url, "insert into lottery_migrations (migration_id, name) values (7, 'future')")
      const options = optionsOf(url)
      const opening: ReadonlyArray<Effect.Effect<unknown, unknown, Scope.Scope>> = [
        PostgresStore.make(options),
        PostgresStore.makeReader(options),
        PostgresStore.makeExisting(options)
      ]
      for (const attempt of opening) {
        expect(yield* Effect.flip(attempt)).toMatchObject({
          _tag: "StoreOpenError",
          reason:
            "its tables have version 7, but this release supports at most 3: use a newer release"
        })
      }
      expect(yield* query(url, "select count(*)::int4 as bets from bets")).toEqual([{ bets: 3 }])
    })
  )

  it.live("a reader and a discard create no tables", () =>
    Effect.gen(function* () {
      const url = yield* schema
      const reason = "no lottery tables yet; start a server with this store first"
      const reading = PostgresStore.makeReader(optionsOf(url))
      expect(yield* Effect.flip(reading)).toMatchObject({ _tag: "StoreOpenError", reason })
      const existing = PostgresStore.makeExisting(optionsOf(url))
      expect(yield* Effect.flip(existing)).toMatchObject({ _tag: "StoreOpenError", reason })
      expect(yield* contents(url)).toEqual([])
    })
  )

  it.live("one of two servers' batches is stored at each position, and none is lost", () =>
    Effect.gen(function* () {
      const url = yield* schema
      const servers = [yield* open(url), yield* open(url)]
      const batchOf = (server: number, position: number) => bets(server + 1, position, 5)
      const won: Array<number> = []
      for (let round = 0; round < 60; round++) {
        const position = round * 5
        const exits = yield* Effect.all(
          servers.map((store, server) =>
            Effect.result(store.append(1, position, batchOf(server, position)))
          ),
          { concurrency: "unbounded" }
        )
        const winners = exits.flatMap(({ _tag }, server) => (_tag === "Success" ? [server] : []))
        expect(winners).toHaveLength(1)
        won.push(...winners)
        expect(exits.find(({ _tag }) => _tag === "Failure")).toMatchObject({
          failure: { _tag: "Conflict", agency: 1, position, expected: position + 5 }
        })
      }
      const expected = bytesOf(won.map((server, round) => batchOf(server, round * 5)))
      for (const store of servers) expect(yield* textOf(store, 1)).toBe(expected)
    })
  )

  it.live(
    "an append waits for another server's at the same position, then fails with a conflict",
    () =>
      Effect.gen(function* () {
        const { url, store } = yield* withThreeBets
        const held = yield* hold(url, ...APPEND)
        const appending = yield* held.keepsWaiting(store.append(1, 3, bets(1, 3, 2)))
        yield* held.commit
        expect(yield* Effect.flip(Fiber.join(appending))).toMatchObject({
          _tag: "Conflict",
          position: 3,
          expected: 4
        })
        expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 3)]) + EVA)
      })
  )

  it.live("an append that waited for one that was rolled back is stored", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, ...APPEND)
      const appending = yield* held.keepsWaiting(
        store.append(1, 3, bets(1, 3, 2), { last: whole(bets(1, 0, 5)) })
      )
      yield* held.rollback
      yield* Fiber.join(appending)
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 5)]))
      expect((yield* store.progressOf(1)).finished).toBe(true)
    })
  )

  it.live("a blocked append does not delay other agencies", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, ...APPEND)
      const appending = yield* held.keepsWaiting(store.append(1, 3, bets(1, 3, 2)))
      yield* store.append(2, 0, bets(2, 0, 4), { last: whole(bets(2, 0, 4)) })
      expect(yield* store.progressOf(2)).toMatchObject({ bets: 4, finished: true })
      yield* held.rollback
      yield* Fiber.join(appending)
    })
  )

  it.live("a book that another server added to meanwhile is not finished", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, ...APPEND)
      const finishing = yield* held.keepsWaiting(store.finish(1, 3, whole(bets(1, 0, 3))))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(finishing))).toMatchObject({
        _tag: "BookMismatch",
        bets: 3,
        stored: 4
      })
      expect(yield* store.progressOf(1)).toMatchObject({ bets: 4, finished: false })
    })
  )

  it.live("nothing is added to a book that another server finished meanwhile", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, "update agencies set finished = true where agency = 1")
      const appending = yield* held.keepsWaiting(store.append(1, 3, bets(1, 3, 2)))
      const finishing = yield* Effect.forkScoped(store.finish(1, 3, whole(bets(1, 0, 3))))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(appending))).toMatchObject({
        _tag: "AlreadyFinished",
        bets: 3
      })
      yield* Fiber.join(finishing)
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 3)]))
    })
  )

  it.live("nothing is added from an edition that another server discarded meanwhile", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, ...DISCARD)
      const late = store.append(1, 3, bets(1, 3, 2), { edition: 0 })
      const appending = yield* held.keepsWaiting(late)
      yield* held.commit
      const discarded = { _tag: "Discarded", agency: 1 }
      expect(yield* Effect.flip(Fiber.join(appending))).toMatchObject(discarded)
      // Not even at a position that fits the new edition.
      const again = store.append(1, 0, bets(1, 0, 2), { edition: 0 })
      expect(yield* Effect.flip(again)).toMatchObject(discarded)
      expect(yield* store.progressOf(1)).toEqual({
        bets: 0,
        finished: false,
        excluded: false,
        told: false,
        edition: 1
      })
    })
  )

  it.live("an interrupted read leaves no statement behind", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, "lock table agencies in access exclusive mode")
      const reading = yield* held.keepsWaiting(store.progressOf(1))
      yield* Fiber.interrupt(reading)
      yield* Effect.timeout(until(Effect.map(held.isAwaited, (is) => !is)), "3 seconds")
      yield* held.rollback
    })
  )

  it.live("a discard includes what another server has just added", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, ...APPEND)
      const discarding = yield* held.keepsWaiting(store.discard(1, randomUUID()))
      yield* held.commit
      expect(yield* Fiber.join(discarding)).toBe(4)
      expect(yield* query(url, "select * from bets")).toEqual([])
    })
  )

  it.live("the draw waits for a running discard, and is refused if the discard succeeds", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withFinishedBooks
      const taken = yield* hold(url, ...DISCARD)
      const recording = yield* taken.keepsWaiting(store.recordNumber(7574))
      yield* taken.rollback
      expect(yield* Fiber.join(recording)).toBe(true)

      const { url: second, store: other } = yield* withFinishedBooks
      const held = yield* hold(second, ...DISCARD)
      const refused = yield* held.keepsWaiting(other.recordNumber(7574))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(refused))).toMatchObject({
        _tag: "NotAllFinished",
        missing: [1]
      })
      expect(yield* query(second, "select numbered_by from draws")).toEqual([{ numbered_by: null }])
    })
  )

  it.live("a discard waits for a running draw, and is refused if the draw is recorded", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withFinishedBooks
      const held = yield* hold(url, ...RECORD)
      const discarding = yield* held.keepsWaiting(store.discard(1, randomUUID()))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(discarding))).toMatchObject({
        _tag: "BookKept",
        agency: 1,
        drawId: "default"
      })
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 3)]))
      expect(yield* store.progressOf(1)).toMatchObject({ bets: 3, finished: true, edition: 0 })
      expect(yield* store.recordNumber(7574)).toBe(false)

      const { url: second, store: other } = yield* withFinishedBooks
      const taken = yield* hold(second, ...RECORD)
      const dropped = yield* taken.keepsWaiting(other.discard(1, randomUUID()))
      yield* taken.rollback
      expect(yield* Fiber.join(dropped)).toBe(3)
    })
  )

  it.live("one of many servers that try at once records the draw", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 5; round++) {
        const { url, store } = yield* withFinishedBooks
        const servers = [store, yield* open(url), yield* open(url), yield* open(url)]
        const recorded = yield* Effect.all(
          [...servers, ...servers].map((server) =>
            Effect.all([server.recordNumber(7574), server.recordDraw])
          ),
          { concurrency: "unbounded" }
        )
        for (const step of [0, 1]) {
          expect(recorded.filter((isFirst) => isFirst[step])).toHaveLength(1)
        }
      }
    })
  )

  it.live("an exclusion waits for a running append, and reports its bets", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const held = yield* hold(url, ...APPEND)
      const excluding = yield* held.keepsWaiting(store.exclude([1]))
      yield* held.commit
      expect(yield* Fiber.join(excluding)).toEqual([{ agency: 1, bets: 4 }])
    })
  )

  it.live("no agency of a request is excluded if one of them finishes meanwhile", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const other = yield* open(url, "large")
      yield* other.openDraw(drawOf([1, 2, 3], 7574, "large"))
      const finish = (agency: number) =>
        `update agencies set finished = true
          where agency = ${agency} and draw = (select id from draws where name = 'large')`
      const held = yield* hold(url, finish(2))
      const excluding = yield* held.keepsWaiting(other.exclude([1, 2]))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(excluding))).toMatchObject({
        _tag: "NotExcluded",
        why: "finished",
        agencies: [2]
      })
      expect([...(yield* other.progress).keys()]).toEqual([2])
      const taken = yield* hold(url, finish(3))
      const again = yield* taken.keepsWaiting(other.exclude([1, 3]))
      yield* taken.rollback
      expect(yield* Fiber.join(again)).toEqual([
        { agency: 1, bets: 0 },
        { agency: 3, bets: 0 }
      ])
      expect((yield* store.progressOf(1)).excluded).toBe(false)
    })
  )

  it.live("bets and finishes that waited for an exclusion are refused", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      for (const write of [
        store.append(1, 3, bets(1, 3, 2)),
        store.append(1, 3, bets(1, 3, 2), { last: whole(bets(1, 0, 5)) }),
        store.finish(1, 3, whole(bets(1, 0, 3)))
      ] as ReadonlyArray<Effect.Effect<void, unknown>>) {
        yield* query(url, "update agencies set excluded = false")
        const held = yield* hold(url, "update agencies set excluded = true where agency = 1")
        const writing = yield* held.keepsWaiting(write)
        yield* held.commit
        expect(yield* Effect.flip(Fiber.join(writing))).toMatchObject({
          _tag: "Excluded",
          agency: 1
        })
      }
      expect(yield* store.progressOf(1)).toMatchObject({ bets: 3, finished: false })
    })
  )

  it.live("PostgreSQL's clock closes the draw for every server, before any of them acts", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      const other = yield* open(url)
      yield* store.moveClose(Date.now() - 1)
      // No book is finished yet, so the draw waits for one.
      yield* other.append(1, 3, bets(1, 3, 2))
      yield* other.append(2, 0, bets(2, 0, 2))
      yield* other.finish(2, 2, whole(bets(2, 0, 2)))
      const late: ReadonlyArray<Effect.Effect<void, unknown>> = [
        store.append(1, 5, bets(1, 5, 1)),
        store.append(1, 5, bets(1, 5, 1), { last: whole(bets(1, 0, 6)) }),
        store.finish(1, 5, whole(bets(1, 0, 5)))
      ]
      for (const write of late) {
        expect(yield* Effect.flip(write)).toMatchObject({ _tag: "Excluded", agency: 1 })
      }
      expect(yield* store.progressOf(1)).toMatchObject({ bets: 5, excluded: false })
      expect(yield* Effect.flip(other.append(2, 2, bets(2, 2, 1)))).toMatchObject({
        _tag: "AlreadyFinished"
      })
      yield* other.finish(2, 2, whole(bets(2, 0, 2)))
      const closed = yield* Effect.all([store.closeIfDue, other.closeIfDue], {
        concurrency: "unbounded"
      })
      expect(closed.flat()).toEqual([{ agency: 1, bets: 5 }])
    })
  )

  it.live("an agency finishes at one of three servers or is excluded at another", () =>
    Effect.gen(function* () {
      const agencies = Array.from({ length: 1_000 }, (_, index) => index + 1)
      const url = yield* schema
      const servers = [yield* open(url), yield* open(url), yield* open(url)]
      yield* servers[0]!.openDraw(drawOf([...agencies, 2_000] as unknown as ExpectedAgencies))
      const finished = yield* Effect.forEach(
        agencies,
        (agency) => finishOrExclude(agency, servers[agency % 3]!, servers[(agency + 1) % 3]!),
        { concurrency: 6 }
      )
      // Each side won sometimes, so both were really tried at once.
      expect(new Set(finished)).toEqual(new Set([true, false]))
      yield* servers[0]!.finish(2_000, 0, whole())
      for (const step of ["recordNumber", "recordDraw"] as const) {
        const isFirst = yield* Effect.forEach(
          servers,
          (server): Effect.Effect<boolean, unknown> =>
            step === "recordDraw" ? server.recordDraw : server.recordNumber(7574),
          { concurrency: "unbounded" }
        )
        expect(isFirst.toSorted()).toEqual([false, false, true])
      }
    })
  )

  const withRefusedDiscard = Effect.gen(function* () {
    const { store } = yield* withFinishedBooks
    yield* holdDraw(store)
    expect(yield* Effect.flip(store.discard(9, randomUUID()))).toMatchObject({ _tag: "BookKept" })
    return store
  })

  it.live("an agency can send bets after a refused discard as its first request", () =>
    Effect.gen(function* () {
      const store = yield* withRefusedDiscard
      yield* store.append(9, 0, bets(9, 0, 2))
      expect(yield* textOf(store, 9)).toBe(bytesOf([bets(9, 0, 2)]))
    })
  )

  it.live("an agency can be marked as told after a refused discard as its first request", () =>
    Effect.gen(function* () {
      const store = yield* withRefusedDiscard
      yield* store.told(9)
      expect((yield* store.progressOf(9)).told).toBe(true)
    })
  )

  it.live("the store starts over if the tables are emptied while it runs", () =>
    Effect.gen(function* () {
      const { url, store } = yield* withThreeBets
      yield* query(url, "truncate draws, agencies, bets, winners, discards")
      expect(yield* Effect.flip(store.append(1, 3, bets(1, 3, 1)))).toMatchObject({
        _tag: "Conflict",
        expected: 0
      })
      yield* store.append(1, 0, bets(1, 0, 2), { last: whole(bets(1, 0, 2)) })
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 2)]))
    })
  )

  it.live("every server is notified of changes to its own draw only", () =>
    Effect.gen(function* () {
      const url = yield* schema
      const other = yield* open(url, "today")
      yield* other.openDraw(drawOf([1, 2, 3], 7574, "today"))
      const store = yield* open(url, "today")
      let ticks = 0
      yield* Effect.forkScoped(
        Stream.runForEach(store.changes, () => Effect.sync(() => (ticks += 1)))
      )
      const ticked = (count: number) => until(Effect.sync(() => ticks >= count))
      // Wait until it listens.
      yield* ticked(1)
      const changes: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        other.append(1, 0, bets(1, 0, 2), { last: whole(bets(1, 0, 2)) }),
        other.finish(2, 0, whole()),
        Effect.scoped(
          Effect.flatMap(PostgresStore.makeExisting(optionsOf(url, "today")), (store) =>
            store.discard(1, randomUUID())
          )
        ),
        other.finish(1, 0, whole()),
        other.moveClose(Date.now() + 3_600_000),
        other.exclude([3]),
        Effect.flatMap(sealOf(other, drawOf([1, 2, 3])), other.recordEntries),
        other.recordNote("seal", "a note"),
        other.recordNumber(7574),
        other.recordDraw,
        other.recordNote("result", "a result"),
        other.told(1)
      ]
      let expected = 1
      for (const change of changes) {
        yield* change
        expected += 1
        yield* ticked(expected)
      }
      const another = yield* open(url, "tomorrow")
      yield* another.openDraw(drawOf([1], 1, "tomorrow"))
      yield* another.finish(1, 0, whole())
      yield* holdDraw(another, 1)
      // Time for a tick that the other draw would cause.
      yield* Effect.sleep("500 millis")
      expect(ticks).toBe(expected)
    })
  )
})
