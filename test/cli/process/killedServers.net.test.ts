/**
 * Goal: two of three servers that share a draw die at any step from the last finished book to the
 * last agency that is told, and the third goes on with the same seal, round and number. Method:
 * triggers in the test's own PostgreSQL stop a transaction that records the step until its server
 * is killed. Then it is rolled back, or committed without anybody who gets the answer.
 */
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { expect } from "vitest"
import { GENUINE, startDrand } from "../../support/peers/DrandEnd.ts"
import { makeProxy } from "../../support/peers/TcpProxy.ts"
import type { Running } from "../../support/processes/lotteryCommand.ts"
import { type Ports, startServer } from "../../support/processes/lotteryParties.ts"
import { makeClock } from "../../support/processes/processClock.ts"
import {
  EARLY,
  expectClosed,
  expectHeld,
  expectKept,
  LAST,
  LATE,
  makeAgencies,
  prepare,
  type Recorded,
  recordedIn,
  SEALING,
  serverFlags,
  stepOf
} from "../../support/processes/sealedParties.ts"
import { sealFlags } from "../../support/sealKey.ts"
import {
  describeCluster,
  freshSchema,
  type PostgresCluster,
  query
} from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

/** The table that each step changes, and how. */
const CHANGES: Readonly<Record<(typeof SEALING)[number], readonly [table: string, when: string]>> =
  {
    finish: ["agencies", "new.finished and not old.finished"],
    entries: ["draws", "new.entries is not null and old.entries is null"],
    seal: ["draws", "new.seal_note is not null and old.seal_note is null"],
    number: ["draws", "new.winning_number is not null and old.winning_number is null"],
    winners: ["draws", "new.recorded_by is not null and old.recorded_by is null"],
    result: ["draws", "new.result_note is not null and old.result_note is null"],
    told: ["agencies", "new.told and not old.told"]
  }
type Step = keyof typeof CHANGES

/** What becomes of the step at which a server dies. */
type Fate = "lost" | "committed"

/**
 * PostgreSQL's own clock decides whether a round is published. A schema that is searched before
 * the system's can replace it.
 */
const shadowed = (store: string) => store.replace(/(search_path(?:=|%3D)\w+)/, "$1,pg_catalog")

/** A transaction waits at the gate until its process is released, or the gate is gone. */
const GATE = [
  `create function clock_timestamp() returns timestamptz language sql
    as $$ select to_timestamp(${EARLY} / 1000.0) $$`,
  "create table gate (released int[] not null)",
  "insert into gate values ('{}')",
  `create function wait_at_gate() returns trigger language plpgsql as $$
    begin
      while exists (select from gate where pg_backend_pid() <> all (released)) loop
        perform pg_sleep(0.01);
      end loop;
      return null;
    end $$`
]

/** A deferred trigger fires at the commit. */
const triggerOf = (step: Step, fate: Fate) => {
  const [table, when] = CHANGES[step]
  const [kind, mode] =
    fate === "lost" ? ["trigger", ""] : ["constraint trigger", "deferrable initially deferred"]
  return `create ${kind} at_${step} after update on ${table} ${mode}
    for each row when (${when}) execute function wait_at_gate()`
}

const NAME = "test-server-"

/** Waits for a transaction at the gate; returns its process and the index of its server. */
const untilWaiting = (store: string) =>
  Effect.gen(function* () {
    while (true) {
      const [found] = yield* query(
        store,
        `select pid, application_name as name from pg_stat_activity, gate
          where datname = current_database() and wait_event = 'PgSleep'
            and application_name like '${NAME}%' and pid <> all (released)
          order by query_start limit 1`
      )
      if (found !== undefined) {
        return { pid: Number(found.pid), server: Number(String(found.name).slice(NAME.length)) }
      }
      yield* Effect.sleep("10 millis")
    }
  })

/** Waits until a transaction has ended, whose client is dead. */
const untilGone = Effect.fnUntraced(function* (store: string, pid: number) {
  while ((yield* query(store, `select from pg_stat_activity where pid = ${pid}`)).length > 0) {
    yield* Effect.sleep("10 millis")
  }
})

/** Kills the first two servers at the gate, then opens it. Returns what each kill left recorded. */
const killTwo = Effect.fnUntraced(function* (
  cluster: PostgresCluster,
  store: string,
  servers: ReadonlyArray<Running>,
  fate: Fate
) {
  const killed = new Set<number>()
  const recorded: Array<Recorded> = []
  while (killed.size < 2) {
    const { pid, server } = yield* untilWaiting(store)
    if (!killed.has(server)) {
      killed.add(server)
      yield* servers[server]!.signal("SIGKILL")
      yield* servers[server]!.outcome
      recorded.push(yield* recordedIn(store))
    }
    if (fate === "lost") yield* cluster.query(`select pg_terminate_backend(${pid}, 5000)`)
    yield* query(store, `update gate set released = released || ${pid}`)
    yield* untilGone(store, pid)
  }
  yield* query(store, "delete from gate")
  return { recorded, left: servers.filter((_, index) => !killed.has(index)) }
})

/** One port for bets and one for winners; each connection goes to the next server. */
const takeTurns = Effect.fnUntraced(function* (servers: ReadonlyArray<Ports>) {
  const turn = (portOf: (server: Ports) => number) => {
    let next = 0
    const targets = () => {
      const first = next++ % servers.length
      return [...servers.slice(first), ...servers.slice(0, first)].map(portOf)
    }
    return makeProxy({ random: () => 0, targets })
  }
  const bets = yield* turn(({ port }) => port)
  const winners = yield* turn(({ winnersPort }) => winnersPort)
  return { port: bets.port, winnersPort: winners.port } satisfies Ports
})

/** Holds a draw whose servers die at a step, or if it is committed, at the next one, too. */
const hold = Effect.fnUntraced(function* (cluster: PostgresCluster, step: Step, fate: Fate) {
  const folder = yield* temporaryFolder
  const store = shadowed(yield* freshSchema(cluster.url()))
  yield* prepare(store)
  const drand = yield* startDrand(GENUINE)
  const clock = makeClock(join(folder, "clock"), EARLY)
  for (const sql of GATE) yield* query(store, sql)
  const more = [...serverFlags(drand.url), ...sealFlags(folder)]
  const servers = yield* Effect.forEach(
    [0, 1, 2],
    (index) =>
      startServer({ store: `${store}&application_name=${NAME}${index}`, more, env: clock.env }),
    { concurrency: "unbounded" }
  )
  const name = yield* takeTurns(servers)
  const { kept, start } = makeAgencies(folder)
  const one = yield* start(1, name)
  yield* one.logged(/waiting_for_draw/)
  const two = yield* start(2, name)
  yield* two.logged(/apuestas_enviadas/)
  const at = SEALING.indexOf(step)
  const steps = SEALING.slice(at, fate === "lost" ? at + 1 : at + 2)
  for (const each of steps) yield* query(store, triggerOf(each, fate))

  const killing = yield* Effect.forkScoped(killTwo(cluster, store, servers, fate))
  const sealing = yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* one.logged(/seal_received/)
      const recorded = yield* recordedIn(store)
      yield* expectClosed(store)
      clock.set(LATE)
      return recorded
    })
  )
  const clients = { 1: one, 2: two, [LAST]: yield* start(LAST, name) }
  yield* expectHeld(store, { clients, kept })
  const { left, recorded } = yield* Fiber.join(killing)
  const isLater = SEALING.slice(at).some((each) => each === stepOf(recorded[1]!))
  expect(isLater).toBe(fate === "committed")
  const end = yield* recordedIn(store)
  for (const earlier of [...recorded, yield* Fiber.join(sealing)]) expectKept(earlier, end)
  yield* expectClosed(store)
  for (const server of left) {
    yield* server.signal("SIGTERM")
    expect(yield* server.outcome).toMatchObject({ code: 0 })
  }
}, Effect.scoped)

const FATES = ["lost", "committed"] as const
const CASES = SEALING.flatMap((step) => FATES.map((fate) => ({ step, fate }))).filter(
  ({ fate, step }) =>
    process.env.LOTTERY_TEST_LONG ||
    (step === "entries" && fate === "lost") ||
    (step === "seal" && fate === "committed")
)

describeCluster("three servers, two of which are killed", (shared) => {
  it.live.each(CASES)(
    "keep one seal, one round and one number: $step, $fate",
    ({ fate, step }) => Effect.flatMap(shared, (cluster) => hold(cluster, step, fate)),
    120_000
  )
})
