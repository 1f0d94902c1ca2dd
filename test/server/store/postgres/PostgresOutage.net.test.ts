/**
 * Goal: acknowledged bets are stored once and in order, whatever happens to PostgreSQL or to the
 * network. Nothing waits forever, and no password is shown. Method: a real PostgreSQL is crashed,
 * stopped, paused and misconfigured, and a proxy in front of it loses answers. Long waits run on
 * the test's clock.
 */
import { randomUUID } from "node:crypto"
import { inspect } from "node:util"
import { expect, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Logger, Metric, Redacted, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as ControlClient from "../../../../src/server/operator/control/ControlClient.ts"
import { BetStore, BetStoreReader } from "../../../../src/server/store/BetStore.ts"
import * as CommitMetrics from "../../../../src/server/store/CommitMetrics.ts"
import * as PostgresStore from "../../../../src/server/store/postgres/PostgresStore.ts"
import * as StoreUrl from "../../../../src/server/store/StoreUrl.ts"
import { makeProxy, type Verdict } from "../../../support/peers/TcpProxy.ts"
import { DISCARD, hold, pause, until } from "../../../support/stores/HeldTransaction.ts"
import {
  describeCluster,
  freshSchema,
  type PostgresCluster,
  query
} from "../../../support/stores/PostgresCluster.ts"
import { whole } from "../../../support/wholeBook.ts"
import { bets, bookOf, bytesOf, drawOf, holdDraw } from "../BetStore.conformance.ts"
import { sealOf } from "../Sealing.conformance.ts"

type Store = BetStore["Service"]

const optionsOf = (url: string): PostgresStore.Options => ({
  url: Redacted.make(url),
  drawId: "default"
})

/** A server's store that relies on notifications and never polls. */
const open = (url: string) => PostgresStore.make({ ...optionsOf(url), pollInterval: "1 hour" })

const recordEntries = Effect.fnUntraced(function* (store: Store) {
  const draw = yield* Effect.flatMap(store.draw, Effect.fromOption)
  return yield* store.recordEntries(yield* sealOf(store, draw, { sealedAt: 1_692_806_304 }))
})
const recordNumber = (store: Store) => store.recordNumber(7574)
const recordDraw = (store: Store) => store.recordDraw
const exclude = (store: Store) => store.exclude([2])
const closeIfDue = (store: Store) => store.closeIfDue
const moveClose = (store: Store) => store.moveClose(4_000_000_000_000)
const discard = (store: Store) => store.discard(2, "act")

const textOf = (store: Store, agency: number) =>
  Effect.map(Effect.provideService(bookOf(agency), BetStore, store), ({ text }) => text)

const untilSo = (isSo: () => boolean) => until(Effect.sync(isSo))

/** Advances the test's clock by `step` ms every `realStep` ms while `work` runs. */
const moving =
  (step: number, realStep: number) =>
  <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E, Scope.Scope> =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkScoped(work)
      while (fiber.pollUnsafe() === undefined) {
        yield* TestClock.adjust(step)
        yield* pause(realStep)
      }
      return yield* Fiber.join(fiber)
    })

/** Shortens long waits; nothing else should run meanwhile. */
const hastened = moving(100, 2)
/** Runs at the speed of the real clock, for work that must not time out. */
const evenly = moving(5, 5)

const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    lines.push(`${logLevel} ${[message].flat().join(" ")}`)
  })
  return { lines, layer: Logger.layer([logger]) }
}

/** Every form in which an error may be shown or logged. */
const shownOf = (error: { readonly message: string }): string =>
  [String(error), error.message, JSON.stringify(error), inspect(error, { depth: 9 })].join("\n")

/** PostgreSQL's messages at the end of a statement, and during login. */
const DONE = {
  begin: "BEGIN",
  commit: "COMMIT",
  listen: "LISTEN",
  select: "SELECT 1",
  update: "UPDATE 1"
}
const LOGIN = "SCRAM-SHA-256"
const NOTIFICATION = "lottery_changes\0default\0"

/** A fresh schema behind a proxy that loses selected answers. */
const withProxy = Effect.fnUntraced(function* (cluster: PostgresCluster) {
  let judge = (_answer: Buffer): Verdict => "pass"
  const proxy = yield* makeProxy({
    targets: () => [cluster.port],
    random: () => 0,
    onAnswer: (chunk) => judge(Buffer.from(chunk))
  })
  const direct = yield* freshSchema(cluster.url())
  const url = new URL(direct)
  url.port = String(proxy.port)
  return {
    direct,
    url: url.href,
    judges: (by: typeof judge) => {
      judge = by
    },
    /** Loses the next `times` answers that contain `text`; returns a counter of lost answers. */
    loses: (text: string, times: number, verdict: Verdict = "cut") => {
      let lost = 0
      judge = (answer) => {
        if (lost === times || !answer.includes(text)) return "pass"
        lost += 1
        return verdict
      }
      return () => lost
    },
    /** Loses one answer of the next transaction; step 0 is its first statement. */
    losesWithin: (step: number) => {
      let left: number | undefined
      judge = (answer) => {
        if (left === undefined && answer.includes(DONE.begin)) left = step
        if (left === undefined || left < 0 || answer.includes(NOTIFICATION)) return "pass"
        left -= 1
        return left < 0 ? "cut" : "pass"
      }
      return () => left !== undefined && left < 0
    }
  }
})

/** Reads the draw after each tick; returns a wait for a text in the latest state. */
const watch = Effect.fnUntraced(function* (store: Store) {
  let seen = ""
  const look = Effect.gen(function* () {
    const progress = [...(yield* store.progress)]
    const draw = yield* Effect.flatMap(store.draw, Effect.fromOption)
    const evidence = yield* store.evidence
    seen = JSON.stringify({ progress, draw, evidence }, (_key, value) => value ?? null)
  })
  yield* Effect.forkScoped(Stream.runForEach(store.changes, () => look))
  return (text: string) => untilSo(() => seen.includes(text))
})

/**
 * Another server's changes to the draw of agencies 1 to 3, each with a part of the new state.
 * There are more of them than ticks without a change.
 */
const changesBy = (
  other: Store
): ReadonlyArray<readonly [Effect.Effect<unknown, unknown>, string]> => [
  [
    other.append(1, 0, bets(1, 0, 2), { last: whole(bets(1, 0, 2)) }),
    '[1,{"bets":2,"finished":true'
  ],
  [
    Effect.andThen(other.append(2, 0, bets(2, 0, 1)), other.discard(2, randomUUID())),
    '[2,{"bets":0,"finished":false,"excluded":false,"told":false,"edition":1'
  ],
  [other.finish(2, 0, whole()), '[2,{"bets":0,"finished":true'],
  [
    other.discard(1, randomUUID()),
    '[1,{"bets":0,"finished":false,"excluded":false,"told":false,"edition":1'
  ],
  [
    other.finish(1, 0, whole()),
    '[1,{"bets":0,"finished":true,"excluded":false,"told":false,"edition":1'
  ],
  [other.moveClose(4_000_000_000_123), '"closesAt":4000000000123'],
  [other.moveClose(undefined), '"closesAt":null'],
  [other.exclude([3]), '[3,{"bets":0,"finished":false,"excluded":true'],
  [recordEntries(other), '"sealedAt":1692806304'],
  [other.recordNote("seal", "a note"), '"sealed":true'],
  [other.recordNumber(7574), '"winningNumber":7574'],
  [other.recordDraw, '"drawn":true'],
  [other.recordNote("result", "a result"), '"result":"a result"'],
  [other.told(2), '[2,{"bets":0,"finished":true,"excluded":false,"told":true']
]

describeCluster("PostgresStore, while PostgreSQL or the network fails,", (shared) => {
  const proxied = Effect.flatMap(shared, withProxy)

  it.live("stores a write once if its answer is lost", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const store = yield* open(way.url)
      yield* store.openDraw(drawOf([1, 2]))
      const writes: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
        [DONE.select, store.append(1, 0, bets(1, 0, 7))],
        [DONE.select, store.append(1, 7, bets(1, 7, 300), { edition: 0 })],
        [DONE.select, store.append(1, 307, bets(1, 307, 2), { last: whole(bets(1, 0, 309)) })],
        [DONE.select, store.append(2, 0, bets(2, 0, 1))],
        [DONE.update, store.finish(2, 1, whole(bets(2, 0, 1)))],
        [DONE.commit, Effect.map(recordEntries(store), (isFirst) => expect(isFirst).toBe(true))],
        [DONE.update, store.recordNote("seal", "a note")],
        [DONE.update, store.told(2)]
      ]
      for (const [answer, write] of writes) {
        const lost = way.loses(answer, 1)
        yield* write
        expect(lost()).toBe(1)
      }
      expect([...(yield* store.progress)]).toEqual([
        [1, { bets: 309, finished: true, excluded: false, told: false, edition: 0 }],
        [2, { bets: 1, finished: true, excluded: false, told: true, edition: 0 }]
      ])
      expect([...(yield* store.digests)]).toEqual([
        [1, { ...whole(bets(1, 0, 309)), bets: 309 }],
        [2, { ...whole(bets(2, 0, 1)), bets: 1 }]
      ])
      expect((yield* store.evidence).seal).toBe("a note")
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 309)]))
      expect(yield* textOf(store, 2)).toBe(bytesOf([bets(2, 0, 1)]))
    })
  )

  it.live("stores a write once if it does not reach PostgreSQL at first", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const store = yield* open(way.url)
      yield* store.openDraw(drawOf([1]))
      const writes = [
        store.append(1, 0, bets(1, 0, 3)),
        store.append(1, 3, bets(1, 3, 2), { last: whole(bets(1, 0, 5)) }),
        store.finish(1, 5, whole(bets(1, 0, 5))),
        Effect.map(holdDraw(store), (isFirst) => expect(isFirst).toBe(true)),
        store.told(1)
      ]
      for (const write of writes) {
        // Every connection ends, and the next two end during login.
        const lost = way.loses(LOGIN, 2)
        yield* query(
          way.direct,
          `select pg_terminate_backend(pid) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()`
        )
        yield* write
        expect(lost()).toBe(2)
      }
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 5)]))
      expect(yield* store.progressOf(1)).toMatchObject({
        finished: true,
        excluded: false,
        told: true
      })
      expect(yield* holdDraw(store)).toBe(false)
    })
  )

  it.effect("counts an agency's writes, and every write that fails", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const store = yield* open(yield* freshSchema(cluster.url()))
      yield* store.openDraw(drawOf([1, 2]))
      const failures = Metric.withAttributes(CommitMetrics.failures, { reason: "unavailable" })
      const counts = Effect.map(
        Effect.all([Metric.value(CommitMetrics.commits), Metric.value(failures)]),
        ([done, failed]) => [Number(done.count), Number(failed.count)] as const
      )
      const [done, failed] = yield* counts
      yield* store.append(1, 0, bets(1, 0, 3))
      yield* store.finish(1, 3, whole(bets(1, 0, 3)))
      yield* store.finish(2, 0, whole())
      yield* holdDraw(store)
      yield* store.told(1)
      expect(yield* counts).toEqual([done + 4, failed])
      yield* cluster.stop("fast")
      const writes: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        store.append(1, 0, bets(1, 0, 3)),
        store.finish(2, 0, whole()),
        store.told(2),
        recordNumber(store),
        recordDraw(store)
      ]
      for (const write of writes) yield* Effect.flip(hastened(write))
      yield* cluster.start
      expect(yield* counts).toEqual([done + 4, failed + writes.length])
    })
  )

  it.live("reports the stored position if another server added bets after a lost answer", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const [store, other] = [yield* open(way.url), yield* open(way.direct)]
      yield* store.openDraw(drawOf([1]))
      let isShut = false
      way.judges((answer) => {
        isShut ||= answer.includes(DONE.select)
        return isShut ? "cut" : "pass"
      })
      const appending = yield* Effect.forkScoped(store.append(1, 0, bets(1, 0, 3)))
      yield* until(Effect.map(other.progressOf(1), (progress) => progress.bets === 3))
      yield* other.append(1, 3, bets(1, 3, 1))
      way.judges(() => "pass")
      expect(yield* Effect.flip(Fiber.join(appending))).toMatchObject({
        _tag: "Conflict",
        position: 0,
        expected: 4
      })
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 4)]))
    })
  )

  it.live("only one server records the draw, even if the answer is lost", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const servers = [yield* open(way.direct), yield* open(way.url), yield* open(way.direct)]
      yield* servers[0]!.openDraw(drawOf([1]))
      yield* servers[0]!.finish(1, 0, whole())
      for (const step of [recordEntries, recordNumber, recordDraw]) {
        const lost = way.loses(DONE.commit, 1)
        expect(yield* step(servers[1]!)).toBe(true)
        expect(lost()).toBe(1)
        for (const server of [...servers, ...servers]) expect(yield* step(server)).toBe(false)
      }
    })
  )

  it.live.each<{
    readonly name: string
    readonly act: (store: Store) => Effect.Effect<unknown, unknown>
    readonly first: unknown
    readonly repeated: unknown
  }>([
    { name: "entries", act: recordEntries, first: true, repeated: false },
    { name: "number", act: recordNumber, first: true, repeated: false },
    { name: "draw", act: recordDraw, first: true, repeated: false },
    { name: "exclusion", act: exclude, first: [{ agency: 2, bets: 4 }], repeated: [] },
    { name: "close", act: closeIfDue, first: [{ agency: 2, bets: 4 }], repeated: [] },
    { name: "new close time", act: moveClose, first: undefined, repeated: undefined },
    { name: "discard", act: discard, first: 4, repeated: 4 }
  ])(
    "records the $name once if the connection is lost anywhere in the transaction",
    ({ act, first, name, repeated }) =>
      Effect.gen(function* () {
        for (let [step, isLost] = [0, true]; isLost; step++) {
          const way = yield* proxied
          const [store, other] = [yield* open(way.url), yield* open(way.direct)]
          const draw = drawOf([1, 2])
          yield* other.openDraw(name === "close" ? { ...draw, closeAt: 1 } : draw)
          yield* other.append(2, 0, bets(2, 0, 4))
          yield* other.finish(1, 0, whole())
          if (["entries", "number", "draw"].includes(name)) {
            yield* other.finish(2, 4, whole(bets(2, 0, 4)))
          }
          if (name === "draw") yield* other.recordNumber(7574)
          const lost = way.losesWithin(step)
          expect(yield* act(store)).toEqual(first)
          isLost = lost()
          for (const server of [store, other]) expect(yield* act(server)).toEqual(repeated)
          expect((yield* store.progressOf(2)).edition).toBe(name === "discard" ? 1 : 0)
          expect(step).toBeGreaterThan(isLost ? -1 : 3)
        }
      })
  )

  it.live("reports an exclusion with the next call if its own answers are all lost", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const [store, other] = [yield* open(way.url), yield* open(way.direct)]
      yield* other.openDraw(drawOf([1, 2]))
      let isShut = false
      way.judges((answer) => {
        isShut ||= answer.includes(DONE.commit)
        return isShut ? "cut" : "pass"
      })
      expect(yield* Effect.flip(store.exclude([2]))).toMatchObject({ _tag: "StoreUnavailable" })
      expect((yield* other.progressOf(2)).excluded).toBe(true)
      way.judges(() => "pass")
      expect(yield* other.closeIfDue).toEqual([])
      expect(yield* store.closeIfDue).toEqual([{ agency: 2, bets: 0 }])
      expect(yield* store.closeIfDue).toEqual([])
    })
  )

  it.live("reports to each of two exclusions at once its own, if the first answer is lost", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const store = yield* open(way.url)
      yield* store.openDraw(drawOf([1, 2, 3]))
      const lost = way.loses(DONE.commit, 1)
      const excluded = yield* Effect.all([store.exclude([1]), store.exclude([2])], {
        concurrency: "unbounded"
      })
      expect(lost()).toBe(1)
      expect(excluded).toEqual([[{ agency: 1, bets: 0 }], [{ agency: 2, bets: 0 }]])
    })
  )

  it.live("fails to open if the connection is lost while tables are created, then opens", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const lost = way.losesWithin(2)
      expect(yield* Effect.flip(Effect.scoped(open(way.url)))).toMatchObject({
        _tag: "StoreOpenError",
        reason: "Connection closed"
      })
      expect(lost()).toBe(true)
      const store = yield* open(way.url)
      yield* store.append(1, 0, bets(1, 0, 3))
      expect(yield* textOf(store, 1)).toBe(bytesOf([bets(1, 0, 3)]))
    })
  )

  it.live("records the number once for concurrent requests if the first answers are lost", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 5; round++) {
        const way = yield* proxied
        const servers = [yield* open(way.url), yield* open(way.url), yield* open(way.url)]
        yield* servers[0]!.openDraw(drawOf([1]))
        yield* servers[0]!.finish(1, 0, whole())
        const lost = way.loses(DONE.commit, 2)
        const recorded = yield* Effect.all([...servers, ...servers].map(recordNumber), {
          concurrency: "unbounded"
        })
        expect(lost()).toBe(2)
        expect(recorded.filter((isFirst) => isFirst)).toHaveLength(1)
      }
    })
  )

  it.live("keeps acknowledged bets through crashes", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      // The database's default would lose the latest commits in a crash.
      yield* withAsynchronousCommit(cluster)
      const store = yield* open(yield* freshSchema(cluster.url()))
      const agencies = [1, 2, 3, 4, 5, 6]
      yield* store.openDraw(drawOf([1, 2, 3, 4, 5, 6]))
      const [batch, crashes] = [20, 3]
      let [appends, isOver] = [0, false]
      /** Where to go on if a slow machine's recovery takes longer than the store waits. */
      const resume = Effect.fnUntraced(function* (agency: number, acknowledged: number) {
        const { bets } = yield* Effect.retry(store.progressOf(agency), {
          while: ({ _tag }) => _tag === "StoreUnavailable"
        })
        expect([acknowledged, acknowledged + batch]).toContain(bets)
        return bets
      })
      const sending = yield* Effect.forkScoped(
        Effect.forEach(
          agencies,
          Effect.fnUntraced(function* (agency) {
            let position = 0
            while (!isOver) {
              position = yield* store.append(agency, position, bets(agency, position, batch)).pipe(
                Effect.as(position + batch),
                Effect.catchTag("StoreUnavailable", () => resume(agency, position))
              )
              appends += 1
            }
            yield* store.finish(agency, position, whole(bets(agency, 0, position)))
            return position
          }),
          { concurrency: "unbounded" }
        )
      )
      for (let crash = 0; crash < crashes; crash++) {
        const before = appends
        yield* untilSo(() => appends > before + 100 || sending.pollUnsafe() !== undefined)
        yield* cluster.restart("immediate")
      }
      const before = appends
      yield* untilSo(() => appends > before + 20 || sending.pollUnsafe() !== undefined)
      isOver = true
      const totals = yield* Fiber.join(sending)
      for (const [index, total] of totals.entries()) {
        const agency = agencies[index]!
        expect(total).toBeGreaterThan(0)
        expect(yield* store.progressOf(agency)).toMatchObject({ bets: total, finished: true })
        expect((yield* textOf(store, agency)) === bytesOf([bets(agency, 0, total)])).toBe(true)
      }
      expect(yield* holdDraw(store)).toBe(true)
    })
  )

  it.effect("is unavailable while PostgreSQL is down, says why, and works again afterwards", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const { layer, lines } = logged()
      const store = yield* Effect.provide(PostgresStore.make(optionsOf(url)), layer)
      yield* store.openDraw(drawOf([1]))
      yield* store.append(1, 0, bets(1, 0, 2))
      const seal = yield* sealOf(store, drawOf([1]))
      yield* cluster.stop("fast")
      const asked: ReadonlyArray<Effect.Effect<unknown, Error>> = [
        store.append(1, 2, bets(1, 2, 2)),
        store.finish(1, 2, whole(bets(1, 0, 2))),
        store.told(1),
        store.openDraw(drawOf([1])),
        store.recordEntries(seal),
        store.recordNote("seal", "a note"),
        store.recordNumber(7574),
        store.recordDraw,
        store.discard(1, randomUUID()),
        store.draw,
        store.progress,
        store.progressOf(1),
        store.winners,
        store.digests,
        store.evidence,
        Stream.runDrain(store.book(1, 0))
      ]
      const reason = `connect ECONNREFUSED 127.0.0.1:${cluster.port}`
      for (const attempt of asked) {
        const error = yield* Effect.flip(hastened(attempt))
        expect(error).toMatchObject({ _tag: "StoreUnavailable", reason })
        expect(shownOf(error)).not.toContain(cluster.password)
      }
      const refused = yield* Effect.flip(
        hastened(Effect.scoped(PostgresStore.make(optionsOf(url))))
      )
      expect(refused).toMatchObject({ _tag: "StoreOpenError", reason })
      expect(shownOf(refused)).not.toContain(cluster.password)
      yield* cluster.start
      yield* evenly(store.append(1, 2, bets(1, 2, 1), { last: whole(bets(1, 0, 3)) }))
      expect(yield* evenly(textOf(store, 1))).toBe(bytesOf([bets(1, 0, 3)]))
      expect(lines.join("\n")).toContain("store_listen | result: fail")
      expect(lines.join("\n")).not.toContain(cluster.password)
    })
  )

  it.effect("waits for a read-only PostgreSQL, such as a former primary", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1]))
      const readOnly = yield* Scope.fork(yield* Effect.scope)
      const setting = withSetting(cluster, "default_transaction_read_only", "on")
      yield* Scope.provide(setting, readOnly)
      expect(yield* Effect.flip(hastened(store.append(1, 0, bets(1, 0, 2))))).toMatchObject({
        _tag: "StoreUnavailable",
        reason: expect.stringContaining("(PostgreSQL 25006)")
      })
      const refusals = Effect.map(cluster.log, (log) => log.split("read-only transaction").length)
      const before = yield* refusals
      const appending = yield* Effect.forkScoped(store.append(1, 0, bets(1, 0, 2)))
      yield* until(Effect.map(refusals, (count) => count > before))
      yield* Scope.close(readOnly, Exit.void)
      yield* hastened(Fiber.join(appending))
      expect(yield* hastened(textOf(store, 1))).toBe(bytesOf([bets(1, 0, 2)]))
    })
  )

  it.effect("retries after transient errors only", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const store = yield* open(url)
      const passing = ["57P01", "57P02", "57P03", "53300", "55000", "25006", "40001", "40P01"]
      const states = [...passing, "22000", "40001"]
      const agencies = states.map((_, index) => index + 1)
      yield* Effect.forEach(agencies, (agency) => query(url, `create sequence tries_${agency}`))
      yield* query(
        url,
        `create function refuse() returns trigger language plpgsql as $$ begin
          if nextval('tries_' || new.agency) = 1 then
            raise 'not now' using errcode = (string_to_array('${states}', ','))[new.agency];
          end if;
          return new;
        end $$`
      )
      yield* query(
        url,
        "create trigger refuses before update on agencies for each row execute function refuse()"
      )
      yield* query(
        url,
        `create trigger refuses_first before insert on agencies for each row
          when (new.agency = ${states.length}) execute function refuse()`
      )
      // For the last agency `told` is the first write.
      const last = states.length
      const results = yield* hastened(
        Effect.forEach(
          agencies.map((agency) =>
            agency < last ? store.append(agency, 0, bets(agency, 0, 1)) : store.told(last)
          ),
          Effect.result,
          { concurrency: "unbounded" }
        )
      )
      const done = { _tag: "Success" }
      const refused = { _tag: "StoreUnavailable", reason: "not now (PostgreSQL 22000)" }
      expect(results).toMatchObject([...passing.map(() => done), { failure: refused }, done])
      expect((yield* hastened(store.progressOf(last))).told).toBe(true)
    })
  )

  it.effect(
    "times out while PostgreSQL hangs, works again afterwards, and knows what was stored",
    () =>
      Effect.gen(function* () {
        const cluster = yield* shared
        const url = yield* freshSchema(cluster.url())
        const store = yield* open(url)
        yield* store.openDraw(drawOf([1]))
        yield* store.append(1, 0, bets(1, 0, 2))
        yield* cluster.pause
        const reason = "PostgreSQL did not answer within 20 seconds"
        const hanging: ReadonlyArray<Effect.Effect<unknown, Error>> = [
          store.append(1, 2, bets(1, 2, 5)),
          store.progressOf(1),
          Stream.runDrain(store.book(1, 0)),
          store.recordNumber(7574)
        ]
        const errors = yield* hastened(
          Effect.forEach(hanging, Effect.flip, { concurrency: "unbounded" })
        )
        for (const error of errors)
          expect(error).toMatchObject({ _tag: "StoreUnavailable", reason })
        const opening = Effect.scoped(PostgresStore.make(optionsOf(url)))
        expect(yield* Effect.flip(hastened(opening))).toMatchObject({
          _tag: "StoreOpenError",
          reason: "Connection timed out"
        })
        yield* cluster.resume
        // PostgreSQL may finish the statements before it notices the closed connections.
        const activity = `select pid from pg_stat_activity where state = 'active'
        and backend_type = 'client backend' and pid <> pg_backend_pid()`
        yield* until(Effect.map(cluster.query(activity), (active) => active.length === 0))
        const { bets: stored } = yield* evenly(store.progressOf(1))
        expect([2, 7]).toContain(stored)
        yield* evenly(
          store.append(1, stored, bets(1, stored, 4), { last: whole(bets(1, stored, 4)) })
        )
        expect(yield* evenly(textOf(store, 1))).toBe(bytesOf([bets(1, 0, stored + 4)]))
        expect(yield* evenly(holdDraw(store))).toBe(true)
      })
  )

  it.effect("a close does not wait long while PostgreSQL hangs", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const scope = yield* Scope.make()
      const { layer, lines } = logged()
      const store = yield* Scope.provide(open(url), scope)
      yield* store.openDraw(drawOf([1, 2]))
      yield* store.append(2, 0, bets(2, 0, 3))
      yield* cluster.pause
      yield* Effect.addFinalizer(() => cluster.resume)
      yield* Effect.forkScoped(Effect.ignore(store.append(1, 0, bets(1, 0, 2))))
      yield* Effect.forkScoped(Effect.ignore(store.progressOf(1)))
      const discarding = yield* Effect.forkScoped(store.discard(2, randomUUID()))
      // Time for the statements to reach PostgreSQL.
      yield* pause(50)
      const stopped = yield* Clock.currentTimeMillis
      yield* hastened(Fiber.interrupt(discarding))
      yield* hastened(Effect.provide(Scope.close(scope, Exit.void), layer))
      expect((yield* Clock.currentTimeMillis) - stopped).toBeLessThan(4_000)
      expect(lines).toEqual(["Warn PostgreSQL does not answer: closing without waiting for it"])
      yield* cluster.resume
      // Each request was done completely or not at all.
      const again = yield* open(url)
      expect([0, 3]).toContain((yield* evenly(again.progressOf(2))).bets)
      expect([0, 2]).toContain((yield* evenly(again.progressOf(1))).bets)
    })
  )

  it.effect("the time limit of a write does not include its wait for a permit", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1, 2, 3, 4, 5]))
      const held = yield* hold(url, "select from agencies where agency < 5 for update")
      const waiting = yield* Effect.forEach([1, 2, 3, 4], (agency) =>
        held.keepsWaiting(Effect.flip(store.append(agency, 0, bets(agency, 0, 2))))
      )
      const last = yield* Effect.forkScoped(store.append(5, 0, bets(5, 0, 2)))
      for (const fiber of waiting) {
        expect(yield* hastened(Fiber.join(fiber))).toMatchObject({ _tag: "StoreUnavailable" })
      }
      yield* evenly(Fiber.join(last))
      expect(yield* evenly(textOf(store, 5))).toBe(bytesOf([bets(5, 0, 2)]))
      yield* held.rollback
    })
  )

  it.effect("a write that times out behind another server is not executed later", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1]))
      const held = yield* hold(url, "select from agencies where agency = 1 for update")
      const appending = yield* held.keepsWaiting(Effect.flip(store.append(1, 0, bets(1, 0, 5))))
      expect(yield* hastened(Fiber.join(appending))).toMatchObject({
        _tag: "StoreUnavailable",
        reason: "PostgreSQL did not answer within 20 seconds"
      })
      yield* until(Effect.map(held.isAwaited, (awaited) => !awaited))
      yield* held.rollback
      expect((yield* evenly(store.progressOf(1))).bets).toBe(0)
      yield* evenly(store.append(1, 0, bets(1, 0, 2)))
      expect(yield* evenly(textOf(store, 1))).toBe(bytesOf([bets(1, 0, 2)]))
    })
  )

  it.effect("finding the winners has no time limit", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* freshSchema(cluster.url())
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1]))
      yield* store.finish(1, 0, whole())
      yield* store.recordNumber(7574)
      const held = yield* hold(url, "lock table winners in exclusive mode")
      const drawing = yield* held.keepsWaiting(store.recordDraw)
      yield* hastened(Effect.sleep("1 minute"))
      expect(drawing.pollUnsafe()).toBeUndefined()
      yield* held.commit
      expect(yield* evenly(Fiber.join(drawing))).toBe(true)
    })
  )

  it.effect("polls again after a poll without an answer", () =>
    Effect.gen(function* () {
      const way = yield* withProxy(yield* shared)
      const other = yield* open(way.direct)
      yield* other.openDraw(drawOf([1, 2, 3]))
      const store = yield* PostgresStore.make({ ...optionsOf(way.url), pollInterval: "2 seconds" })
      const hasSeen = yield* watch(store)
      // From here on the proxy drops all notifications and the answer of the first poll.
      let unanswered = 0
      way.judges((answer) => {
        if (answer.includes(NOTIFICATION)) return "drop"
        if (unanswered > 0 || !answer.includes("seen")) return "pass"
        unanswered++
        return "drop"
      })
      // The clock moves faster than a loaded machine answers.
      yield* hastened(untilSo(() => unanswered === 1))
      yield* other.finish(1, 0, whole())
      yield* hastened(hasSeen('[1,{"bets":0,"finished":true'))
    })
  )

  it.live("polling finds changes if notifications are lost", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const other = yield* open(way.direct)
      yield* other.openDraw(drawOf([1, 2, 3]))
      const lost = way.loses(NOTIFICATION, Number.POSITIVE_INFINITY, "drop")
      const store = yield* PostgresStore.make({ ...optionsOf(way.url), pollInterval: "20 millis" })
      const hasSeen = yield* watch(store)
      for (const [change, text] of changesBy(other)) {
        yield* change
        yield* hasSeen(text)
      }
      yield* untilSo(() => lost() > 0)
    })
  )

  it.live("logs once that it cannot listen and once that it can again, and polls meanwhile", () =>
    Effect.gen(function* () {
      const way = yield* proxied
      const other = yield* open(way.direct)
      yield* other.openDraw(drawOf([1, 2, 3]))
      const lost = way.loses(DONE.listen, Number.POSITIVE_INFINITY)
      const { layer, lines } = logged()
      const store = yield* PostgresStore.make({
        ...optionsOf(way.url),
        pollInterval: "20 millis"
      }).pipe(Effect.provide(layer))
      const hasSeen = yield* watch(store)
      for (const [change, text] of changesBy(other)) {
        yield* change
        yield* hasSeen(text)
      }
      yield* untilSo(() => lost() > 4)
      const failed = "Warn action: store_listen | result: fail | error: Connection closed"
      const works = "Info action: store_listen | result: success"
      expect(lines).toEqual([failed])
      way.judges(() => "pass")
      yield* untilSo(() => lines.length > 1)
      expect(lines).toEqual([failed, works])
      const terminate = `select pg_terminate_backend(pid) from pg_stat_activity
        where query like 'LISTEN %' and pid <> pg_backend_pid()`
      for (const times of [1, 2]) {
        yield* query(way.direct, terminate)
        yield* untilSo(() => lines.length > 1 + 2 * times)
        expect(lines.slice(2 * times)).toEqual([
          expect.stringMatching(/^Warn .*: terminating connection .* \(PostgreSQL 57P01\)$/),
          works
        ])
      }
    })
  )
})

const withAsynchronousCommit = (cluster: PostgresCluster) =>
  Effect.acquireRelease(cluster.query("alter database lottery set synchronous_commit = off"), () =>
    Effect.orDie(cluster.query("alter database lottery reset synchronous_commit"))
  )

const withoutSetting = (setting: string, startup: Buffer): Buffer => {
  const [, before, after] = startup.toString("latin1").match(`^(.*\0)${setting}\0.*?\0(.*)$`) ?? []
  const message = Buffer.from(`${before}${after}`, "latin1")
  message.writeInt32BE(message.length)
  return message
}

const withSetting = (cluster: PostgresCluster, name: string, value: string) => {
  const set = Effect.fnUntraced(function* (statement: string, expected: (now: string) => boolean) {
    yield* cluster.query(statement)
    yield* cluster.query("select pg_reload_conf()")
    const now = cluster.query(`select current_setting('${name}') as now`)
    yield* until(Effect.map(now, ([row]) => expected(String(row?.now))))
  })
  return Effect.acquireRelease(
    set(`alter system set ${name} = ${value}`, (now) => now === value),
    () => Effect.orDie(set(`alter system reset ${name}`, (now) => now !== value))
  )
}

/** Creates a user who may use the schema; `grant` adds the rights to its tables. */
const withUser = Effect.fnUntraced(function* (url: string) {
  const [name, password] = ["clerk", "an open secret"]
  yield* Effect.acquireRelease(
    query(url, `create role ${name} login password '${password}'`),
    // `drop owned` revokes its privileges.
    () =>
      Effect.orDie(
        Effect.andThen(query(url, `drop owned by ${name}`), query(url, `drop role ${name}`))
      )
  )
  const [row] = yield* query(url, "select current_schema() as schema")
  yield* query(url, `grant usage on schema ${row?.schema} to ${name}`)
  const grant = query(
    url,
    `grant select, insert, update, delete on all tables in schema ${row?.schema} to ${name}`
  )
  const own = new URL(url)
  own.username = name
  own.password = encodeURIComponent(password)
  return { url: own.href, grant }
})

describeCluster("PostgresStore, in a PostgreSQL with other settings,", (shared) => {
  const schema = Effect.flatMap(shared, (cluster) => freshSchema(cluster.url()))

  it.live("warns only if PostgreSQL may lose acknowledged bets", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* schema
      const { layer, lines } = logged()
      yield* Effect.scoped(Effect.provide(open(url), layer))
      expect(lines).toEqual([])
      yield* withSetting(cluster, "fsync", "off")
      yield* Effect.scoped(Effect.provide(open(url), layer))
      expect(lines).toEqual([
        "Warn PostgreSQL runs with fsync = off: a power failure may lose acknowledged bets"
      ])
    })
  )

  it.live("refuses the draw during a discard, whatever the default isolation level is", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* schema
      yield* Effect.acquireRelease(
        cluster.query(
          "alter database lottery set default_transaction_isolation = 'repeatable read'"
        ),
        () =>
          Effect.orDie(cluster.query("alter database lottery reset default_transaction_isolation"))
      )
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1]))
      yield* store.append(1, 0, bets(1, 0, 3), { last: whole(bets(1, 0, 3)) })
      const held = yield* hold(url, ...DISCARD)
      const recording = yield* held.keepsWaiting(store.recordNumber(7574))
      yield* held.commit
      expect(yield* Effect.flip(Fiber.join(recording))).toMatchObject({
        _tag: "NotAllFinished",
        missing: [1]
      })
    })
  )

  it.live("creates no tables in a database that cannot store every name", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      yield* cluster.query("create database latin encoding 'LATIN1' locale 'C' template template0")
      const url = cluster.url().replace(/lottery$/, "latin")
      const { reason } = yield* Effect.flip(open(url))
      expect(reason).toBe("its encoding is LATIN1, expected UTF8")
      expect(
        yield* query(url, "select tablename from pg_tables where schemaname = 'public'")
      ).toEqual([])
    })
  )

  it.live("every commit waits for the disk, whatever the database's default is", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = yield* schema
      yield* withAsynchronousCommit(cluster)
      expect(yield* query(url, "show synchronous_commit")).toEqual([{ synchronous_commit: "off" }])
      yield* Effect.scoped(open(url))
      yield* query(url, "create table seen (by text, waits text, idles text)")
      yield* query(
        url,
        `create function see() returns trigger language plpgsql as $$ begin
          insert into seen values (tg_table_name || ' ' || tg_op,
            current_setting('synchronous_commit'),
            current_setting('idle_in_transaction_session_timeout'));
          return null;
        end $$`
      )
      for (const table of ["draws", "agencies", "bets", "winners", "discards"]) {
        yield* query(
          url,
          `create trigger sees after insert or update or delete on ${table}
            for each statement execute function see()`
        )
      }
      const store = yield* open(url)
      yield* store.openDraw(drawOf([1, 2]))
      yield* store.append(1, 0, bets(1, 0, 3))
      yield* store.discard(1, randomUUID())
      yield* (yield* PostgresStore.makeExisting(optionsOf(url))).discard(1, randomUUID())
      yield* store.finish(1, 0, whole())
      yield* store.exclude([2])
      yield* holdDraw(store)
      yield* store.told(1)
      const writes = yield* query(url, "select distinct waits, idles from seen")
      expect(writes).toEqual([{ waits: "on", idles: "30s" }])
      expect(yield* query(url, "select distinct by from seen order by by")).toEqual(
        [
          ["agencies INSERT", "agencies UPDATE", "bets DELETE", "bets INSERT"],
          ["discards INSERT", "discards UPDATE"],
          ["draws INSERT", "draws UPDATE", "winners INSERT"]
        ]
          .flat()
          .map((by) => ({ by }))
      )
    })
  )

  it.live("is not opened through a pooler that drops session settings", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = new URL(yield* schema)
      const pooler = yield* makeProxy({
        targets: () => [cluster.port],
        random: () => 0,
        join: (client, target) => {
          client.once("data", (startup: Buffer) => {
            target.write(withoutSetting("synchronous_commit", startup))
            client.pipe(target)
          })
          target.pipe(client)
        }
      })
      url.port = String(pooler.port)
      yield* Effect.scoped(open(url.href))
      yield* withAsynchronousCommit(cluster)
      expect(yield* Effect.flip(Effect.scoped(open(url.href)))).toMatchObject({
        _tag: "StoreOpenError",
        reason:
          "its connections have synchronous_commit = off, expected on; " +
          "if a connection pooler drops this setting, set it for the database user"
      })
    })
  )

  it.live("works with a user who may only select, insert, update and delete", () =>
    Effect.gen(function* () {
      const owner = yield* schema
      const user = yield* withUser(owner)
      expect(yield* Effect.flip(open(user.url))).toMatchObject({
        _tag: "StoreOpenError",
        reason: expect.stringMatching(/^permission denied for schema \w+ \(PostgreSQL 42501\)$/)
      })
      yield* Effect.scoped(open(owner))
      yield* user.grant
      const options = optionsOf(user.url)
      const [store, other] = [yield* open(user.url), yield* open(user.url)]
      yield* store.openDraw(drawOf([1, 2, 3]))
      const hasSeen = yield* watch(store)
      for (const [change, text] of changesBy(other)) {
        yield* change
        yield* hasSeen(text)
      }
      const existing = yield* PostgresStore.makeExisting(options)
      expect(yield* Effect.flip(existing.discard(1, randomUUID()))).toMatchObject({
        _tag: "BookKept"
      })
      const reader = yield* PostgresStore.makeReader(options)
      expect([...(yield* reader.progress).keys()]).toEqual([1, 2, 3])
    })
  )

  it.live("a wrong password is refused, and neither it nor the right one is shown", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = cluster.url().replace(cluster.password, "wrong-hunter2")
      for (const opening of [open(url), PostgresStore.makeReader(optionsOf(url))]) {
        const error = yield* Effect.flip(opening)
        expect(error.message).toBe(
          `cannot open postgres://lottery@127.0.0.1:${cluster.port}/lottery: ` +
            'password authentication failed for user "lottery" (PostgreSQL 28P01)'
        )
        expect(shownOf(error)).not.toMatch(/hunter2/)
        expect(shownOf(error)).not.toContain(cluster.password)
      }
    })
  )

  it.live("can be reached through a Unix socket, with everything else as parameters", () =>
    Effect.gen(function* () {
      const cluster = yield* shared
      const url = new URL(yield* schema)
      const [row] = yield* cluster.query("show unix_socket_directories")
      const { unix_socket_directories: host } = row as { unix_socket_directories: string }
      const { password, port, username: user } = url
      const parameters = Object.entries({ host, port, user, password, dbname: "lottery" }).map(
        ([name, value]) => `${name}=${encodeURIComponent(value)}`
      )
      const text = `postgresql:///${url.search}&${parameters.join("&")}`
      const decoded = yield* Schema.decodeEffect(StoreUrl.StoreUrlFromText)(text)
      expect(StoreUrl.show(decoded)).toBe(`postgres://lottery@${host}:${port}/lottery`)
      yield* Effect.flatMap(BetStore, (store) => store.append(1, 0, bets(1, 0, 3))).pipe(
        Effect.provide(StoreUrl.layer(decoded, "default"))
      )
      const read = Effect.flatMap(BetStoreReader, ({ progress }) => progress)
      const progress = yield* Effect.provide(read, StoreUrl.layerReader(decoded, "default"))
      expect(progress.get(1)?.bets).toBe(3)
      const discarded = ControlClient.act(decoded, "default", (control) =>
        control.Discard({ draw: "default", agency: 1, act: randomUUID() })
      )
      expect(yield* discarded).toBe(3)
    })
  )
})
