/**
 * Goal: a database of version 1 or 2 is read as it is and updated by the first server that opens
 * it, but never under running servers of that version. Method: real databases of these versions,
 * loaded from SQL; a running server is a session that listens as those servers do.
 */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as PgClient from "@effect/sql-pg/PgClient"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, Redacted } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { BetStore } from "../../../../src/server/store/BetStore.ts"
import * as PostgresStore from "../../../../src/server/store/postgres/PostgresStore.ts"
import type { StoredDraw } from "../../../../src/server/store/StoredDraw.ts"
import { hold, until } from "../../../support/stores/HeldTransaction.ts"
import { describeCluster, freshSchema, query } from "../../../support/stores/PostgresCluster.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bookOf, drawOf, storedDraw, winnersIn } from "../BetStore.conformance.ts"

const samples = join(import.meta.dirname, "..", "samples")

const connect = (url: string, settings: Partial<PgClient.PgClientConfig> = {}) =>
  Effect.provide(PgClient.makeClient({ url: Redacted.make(url), ...settings }), Reactivity.layer)

/** Runs the statements of a file that `pg_dump` wrote. */
const load = Effect.fnUntraced(function* (url: string, file: string) {
  const text = readFileSync(join(samples, file), "utf8")
  const sql = yield* connect(url)
  for (const statement of text.split(/;\n/)) {
    if (statement.trim() !== "") yield* sql.unsafe(statement)
  }
}, Effect.scoped)

const optionsOf = (url: string, drawId = "default"): PostgresStore.Options => ({
  url: Redacted.make(url),
  drawId
})
const open = (url: string, drawId?: string) =>
  PostgresStore.make({ ...optionsOf(url, drawId), pollInterval: "1 hour" })

const draw = drawOf([1, 2, 3])
const none = { finished: false, excluded: false, told: false, edition: 0 }
const OPEN: ReadonlyArray<unknown> = [
  [1, { ...none, bets: 60, finished: true }],
  [2, { ...none, bets: 25 }]
]
const DRAWN: ReadonlyArray<unknown> = [1, 2, 3].map((agency) => [
  agency,
  { ...none, bets: 60, finished: true, told: true }
])
const WON_BY_1 =
  "Luna,Álvarez,29107789,1944-07-26,7574\nCristian Fermín,Pereyra,36225670,1944-09-07,7574\n"
const WON_BY_2 =
  "Victoria,Domínguez,34766956,1967-04-02,7574\nDiego,Godoy,25831806,1998-06-15,7574\n"
const WINNERS = [
  [1, WON_BY_1],
  [2, WON_BY_2]
]

const versions = (url: string) =>
  Effect.map(query(url, "select migration_id from lottery_migrations order by 1"), (rows) =>
    rows.map((row) => row.migration_id)
  )

interface State {
  readonly version: number
  readonly drawId: string
  readonly file: string
  readonly stored: StoredDraw
  readonly progress: ReadonlyArray<unknown>
  readonly winners: ReadonlyArray<unknown>
  /** The book of agency 1. */
  readonly rows: number
}

const OPEN_1: State = {
  version: 1,
  drawId: "default",
  file: "version1/postgres-open.sql",
  stored: storedDraw(draw),
  progress: OPEN,
  winners: [],
  rows: 60
}
const DRAWN_1: State = {
  ...OPEN_1,
  file: "version1/postgres-drawn.sql",
  stored: storedDraw(draw, true),
  progress: DRAWN,
  winners: WINNERS
}
const DRAWN_2: State = { ...DRAWN_1, version: 2, file: "version2/postgres-both.sql" }
const OPEN_2: State = {
  ...DRAWN_2,
  drawId: "open",
  stored: {
    ...storedDraw(draw),
    source: { _tag: "announced" },
    closeAt: 4_000_000_000_000,
    closesAt: 4_100_000_000_000
  },
  progress: [
    [1, { ...none, bets: 8, finished: true }],
    [2, { ...none, bets: 4, edition: 1 }],
    [3, { ...none, bets: 0, excluded: true }]
  ],
  winners: [],
  rows: 8
}

const refusal = (pids: string) =>
  `servers of an earlier release use it (PostgreSQL processes ${pids}): ` +
  "stop all of them, and start this server again, which then updates the tables"

/** A server of an earlier version, as far as other sessions can see it. */
const startEarlier = Effect.fnUntraced(function* (
  url: string,
  settings: Partial<PgClient.PgClientConfig> = {},
  channel = "lottery"
) {
  const sql = yield* connect(url, settings)
  const [row] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
  yield* sql.unsafe(`LISTEN "${channel}"`)
  return String(row!.pid)
})

describeCluster("PostgresStore, with tables of an earlier version,", (shared) => {
  const sample = Effect.fnUntraced(function* ({ file }: State) {
    const url = yield* freshSchema((yield* shared).url())
    yield* load(url, file)
    return url
  })

  it.live.each([OPEN_1, DRAWN_1, OPEN_2, DRAWN_2])(
    "reads the draw $drawId of $file, before its update and after it",
    (expected) =>
      Effect.gen(function* () {
        const { drawId, rows, stored, version } = expected
        const url = yield* sample(expected)
        const look = Effect.gen(function* () {
          const reader = yield* PostgresStore.makeReader(optionsOf(url, drawId))
          expect(yield* reader.draw).toEqual(Option.some(stored))
          expect([...(yield* reader.digests)]).toEqual([])
          expect(yield* reader.evidence).toEqual({
            entries: undefined,
            seal: undefined,
            result: undefined
          })
          expect([...(yield* reader.progress)]).toEqual(expected.progress)
          expect(yield* winnersIn(reader)).toEqual(expected.winners)
          const text = Effect.map(bookOf(1), (book) => book.text)
          const read = yield* Effect.provideService(text, BetStore, reader as BetStore["Service"])
          expect(read.split("\n")).toHaveLength(rows + 1)
          return read
        })
        const before = yield* Effect.scoped(look)
        expect(yield* versions(url)).toEqual([1, 2].slice(0, version))
        const store = yield* open(url, drawId)
        expect(yield* versions(url)).toEqual([1, 2, 3])
        expect(yield* store.openDraw(stored)).toEqual(stored)
        expect(yield* winnersIn(store)).toEqual(expected.winners)
        expect(yield* look).toBe(before)
      })
  )

  it.live("continues an open draw of version 1, whose number is fixed", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_1)
      const store = yield* open(url)
      yield* store.append(2, 25, bets(2, 25, 1), { last: whole() })
      expect(yield* store.exclude([3])).toEqual([{ agency: 3, bets: 0 }])
      expect(yield* Effect.flip(store.recordNumber(1))).toMatchObject({ _tag: "OtherNumber" })
      expect(yield* store.recordNumber(7574)).toBe(true)
      expect(yield* store.recordDraw).toBe(true)
      expect(yield* winnersIn(store)).toEqual([
        [1, WON_BY_1],
        [2, `${WON_BY_2.split("\n")[0]}\n`]
      ])
    })
  )

  it.live("people can query the recorded winners, and no number has an index any more", () =>
    Effect.gen(function* () {
      const url = yield* sample(DRAWN_1)
      yield* Effect.scoped(open(url))
      const columns = "agency, first_name, last_name, document, birthdate::text, number"
      expect(yield* query(url, `select ${columns} from winners order by agency limit 1`)).toEqual([
        {
          agency: 1,
          first_name: "Luna",
          last_name: "Álvarez",
          document: "29107789",
          birthdate: "1944-07-26",
          number: 7574
        }
      ])
      expect(
        yield* query(
          url,
          "select indexrelid::regclass::text as name " +
            "from pg_index where indrelid = 'bets'::regclass"
        )
      ).toEqual([{ name: "bets_pkey" }])
      expect(yield* query(url, "select numbered_by = recorded_by as same from draws")).toEqual([
        { same: true }
      ])
    })
  )

  it.live("is updated once by three servers that open it at once", () =>
    Effect.gen(function* () {
      const url = yield* sample(DRAWN_1)
      const three = yield* Effect.all([open(url), open(url), open(url)], {
        concurrency: "unbounded"
      })
      for (const store of three) expect(yield* winnersIn(store)).toEqual(WINNERS)
      expect(yield* versions(url)).toEqual([1, 2, 3])
    })
  )

  it.live.each([
    { ...OPEN_1, channel: "lottery" },
    { ...OPEN_2, channel: "lottery_draws" }
  ])("is not updated while a server of version $version listens", ({ channel, ...state }) =>
    Effect.gen(function* () {
      const url = yield* sample(state)
      const before = yield* versions(url)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const pid = yield* startEarlier(url, { applicationName: "lottery" }, channel)
          const refused: { readonly reason: string } = yield* Effect.flip(Effect.scoped(open(url)))
          expect(refused).toMatchObject({ _tag: "StoreOpenError", reason: refusal(pid) })
          expect(yield* versions(url)).toEqual(before)
        })
      )
      yield* open(url)
      expect(yield* versions(url)).toEqual([1, 2, 3])
    })
  )

  it.live("gives a book that was finished in version 2 its digest, once", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_2)
      const store = yield* open(url, "open")
      yield* query(url, "update draws set closes_at = now() where name = 'open'")
      const digest = whole(bets(1, 0, 8))
      yield* store.finish(1, 8, digest)
      yield* store.finish(1, 8, whole())
      expect([...(yield* store.digests)]).toEqual([[1, { ...digest, bets: 8 }]])
      expect(yield* Effect.flip(store.finish(2, 4, digest))).toMatchObject({ _tag: "Excluded" })
      expect([...(yield* store.digests).keys()]).toEqual([1])
    })
  )

  it.live("waits for a statement of another server before the update", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_1)
      const held = yield* hold(url, "update agencies set bets = 0 where agency = 2")
      const opened = Effect.flatMap(open(url), ({ progressOf }) => progressOf(2))
      const opening = yield* held.keepsWaiting(Effect.scoped(opened))
      yield* held.commit
      expect((yield* Fiber.join(opening)).bets).toBe(0)
    })
  )

  it.live("is only read by a command", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_1)
      expect(yield* Effect.flip(PostgresStore.makeExisting(optionsOf(url)))).toMatchObject({
        _tag: "StoreOpenError",
        reason: "its tables have version 1: start a server of this release to update them"
      })
      expect(yield* versions(url)).toEqual([1])
    })
  )

  it.live("is not updated if another program has a table with a new name", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_1)
      yield* query(url, "create table winners (horse text)")
      expect(yield* Effect.flip(open(url))).toMatchObject({
        reason: 'cannot update its tables: relation "winners" already exists (PostgreSQL 42P07)'
      })
      expect(yield* versions(url)).toEqual([1])
    })
  )

  it.live("fails statements of a server of an earlier version that was not found", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_1)
      const store = yield* open(url)
      yield* store.finish(1, 60, whole())
      const statements = [
        // Opens the draw, records it, and finishes the book of an excluded agency.
        `insert into draws (name, agencies, winning_number) values ('default', '{1}', 7574)
          on conflict (name) do update set
            winning_number = coalesce(draws.winning_number, excluded.winning_number)`,
        "update draws set recorded_by = coalesce(recorded_by, 'old'), recorded_at = now()",
        "update agencies set finished = true where agency = 2",
        // Discards a book without its digest, as version 2 does.
        "update agencies set bets = 0, finished = false where agency = 1"
      ]
      yield* store.exclude([2])
      for (const statement of statements) {
        const { reason } = yield* Effect.flip(query(url, statement))
        expect(String(reason.cause)).toContain("violates check constraint")
      }
      expect(yield* store.draw).toEqual(Option.some(storedDraw(draw)))
    })
  )

  /** A role that may log in, until the scope is closed. */
  const withRole = Effect.fnUntraced(function* (url: string) {
    const name = `role_${randomBytes(4).toString("hex")}`
    yield* Effect.acquireRelease(query(url, `create role ${name} login password 'open'`), () =>
      Effect.orDie(
        Effect.andThen(query(url, `drop owned by ${name} cascade`), query(url, `drop role ${name}`))
      )
    )
    const own = new URL(url)
    own.username = name
    own.password = "open"
    return { name, url: own.href }
  })

  it.live("is not updated while another role, whose statements are hidden, may run a server", () =>
    Effect.gen(function* () {
      const url = yield* sample(OPEN_1)
      const [owner, server, reader] = [
        yield* withRole(url),
        yield* withRole(url),
        yield* withRole(url)
      ]
      const [row] = yield* query(url, "select current_schema() as schema")
      for (const role of [server, reader]) {
        yield* query(url, `grant usage on schema ${row?.schema} to ${role.name}`)
      }
      yield* query(url, `grant create, usage on schema ${row?.schema} to ${owner.name}`)
      for (const table of ["draws", "agencies", "bets", "lottery_migrations"]) {
        yield* query(url, `grant select on ${table} to ${reader.name}`)
        yield* query(url, `grant select, insert, update, delete on ${table} to ${server.name}`)
        yield* query(url, `alter table ${table} owner to ${owner.name}`)
      }
      // PostgreSQL keeps a session for a moment after its client has closed it.
      const others = `select from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`
      const alone = until(Effect.map(query(url, others), (rows) => rows.length === 0))
      const sessions: ReadonlyArray<[string, string]> = [
        [server.url, "by another name"],
        [server.url, "lottery"],
        [url, "@effect/sql-pg"]
      ]
      for (const [as, applicationName] of sessions) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* alone
            const pid = yield* startEarlier(as, { applicationName })
            const refused: { readonly reason: string } = yield* Effect.flip(
              Effect.scoped(open(owner.url))
            )
            expect(refused).toMatchObject({ reason: refusal(pid) })
          })
        )
      }
      yield* alone
      // Neither may this role add bets, nor is a superuser of another name a server.
      yield* startEarlier(reader.url, { applicationName: "a reader" })
      yield* startEarlier(url, { applicationName: "psql" })
      yield* open(owner.url)
      expect(yield* versions(url)).toEqual([1, 2, 3])
    })
  )
})
