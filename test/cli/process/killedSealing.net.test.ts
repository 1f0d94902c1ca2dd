/**
 * Goal: a kill at any data sync from the last finished book to the last agency that is told leaves
 * one seal, one round and one number, and a sealed draw never changes. Method: strace kills the
 * server at each sync in turn; what is recorded then is compared with what the next server ends
 * with, and with the evidence that agencies keep. The round is a real one of 2023, from the test's
 * own endpoint, and the server's clock is of that time.
 */
import { cpSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { GENUINE, startDrand } from "../../support/peers/DrandEnd.ts"
import { freePorts, inFolder, STORES, startServer } from "../../support/processes/lotteryParties.ts"
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
  ROUND,
  recordedIn,
  SEALING,
  serverFlags,
  stepOf
} from "../../support/processes/sealedParties.ts"
import {
  attach,
  COUNTABLE,
  canTrace,
  type Kill,
  killsIn
} from "../../support/processes/syncKills.ts"
import { sealFlags } from "../../support/sealKey.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const IS_LONG = Boolean(process.env.LOTTERY_TEST_LONG)
/** Which syncs the short form takes, as parts of all: those near the seal and the number. */
const SAMPLE = [1 / 3, 1 / 2, 3 / 4]

interface Run {
  readonly store: string
  /** A folder for the run, which is empty except for the store. */
  readonly folder: string
  readonly to: string | Kill
}

/** What a server logs of a seal with another round. */
const OTHER_ROUND = new RegExp(`draw_sealed .*round: (?!${ROUND} ).*`)

const untilTold = Effect.fnUntraced(function* (store: string) {
  while (!(yield* recordedIn(store)).agencies.every((agency) => agency?.told)) {
    yield* Effect.sleep("20 millis")
  }
})

/** Holds the draw, whose server may be killed; returns what was recorded when it ended. */
const hold = Effect.fnUntraced(function* ({ folder, store, to }: Run) {
  const drand = yield* startDrand(GENUINE)
  const clock = makeClock(join(folder, "clock"), EARLY)
  const ports = yield* freePorts
  const serve = startServer({
    ...{ store, ports, env: { ...COUNTABLE, ...clock.env } },
    more: [...serverFlags(drand.url), ...sealFlags(folder)]
  })
  const server = yield* serve
  const { kept, start } = makeAgencies(folder)
  const [one, two] = yield* Effect.all([start(1, ports), start(2, ports)])
  yield* one.logged(/waiting_for_draw/)
  yield* two.logged(/apuestas_enviadas/)
  yield* attach(server.child, to)
  const last = yield* start(LAST, ports)
  yield* Effect.forkScoped(
    Effect.andThen(
      one.logged(/seal_received/),
      Effect.sync(() => clock.set(LATE))
    )
  )
  const succeed = Effect.forEach([one, two, last], ({ outcome }) =>
    Effect.map(outcome, ({ code, stderr }) => expect(code, stderr).toBe(0))
  )
  const isHeld = succeed.pipe(
    Effect.andThen(untilTold(store)),
    Effect.andThen(server.signal("SIGTERM"))
  )
  yield* Effect.raceFirst(server.outcome, isHeld)
  const wasKilled = (yield* server.outcome).code === null
  const recorded = yield* recordedIn(store)
  if (wasKilled) {
    if (recorded.draw.sealedAt !== undefined) {
      yield* expectClosed(store)
      // The next server must not seal again: with this clock it would be another round.
      clock.set(LATE)
    }
    const next = yield* serve
    // A server that sealed again would wait for another round, for ever.
    const isWrong = Effect.flatMap(next.logged(OTHER_ROUND), ([line]) =>
      Effect.die(new Error(line))
    )
    yield* Effect.raceFirst(succeed, isWrong)
    yield* next.signal("SIGTERM")
    expect((yield* next.outcome).code).toBe(0)
  }
  yield* expectHeld(store, { clients: { 1: one, 2: two, [LAST]: last }, kept })
  expectKept(recorded, yield* recordedIn(store))
  return { wasKilled, step: stepOf(recorded) }
}, Effect.scoped)

const sampleOf = (kills: ReadonlyArray<Kill>): ReadonlyArray<Kill> => {
  if (IS_LONG) return kills
  const syncs = kills.filter(([call]) => call === "fsync")
  return SAMPLE.map((part) => syncs[Math.floor(part * syncs.length)]!)
}

describe.skipIf(!canTrace)("kill -9 at a data sync of the server", () => {
  it.live.each(STORES)(
    "keeps one seal, one round and one number: %s",
    (scheme) =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const original = join(folder, "prepared")
        mkdirSync(original)
        yield* prepare(inFolder(original, scheme))
        const run = (name: string, to: string | Kill) => {
          const copy = join(folder, name)
          cpSync(original, copy, { recursive: true })
          return hold({ store: inFolder(copy, scheme), folder: copy, to })
        }
        const trace = join(folder, "trace")
        expect(yield* run("whole", trace)).toEqual({ wasKilled: false, step: "told" })
        const kills = killsIn(readFileSync(trace, "utf8"))
        const steps = new Set<string>()
        for (const kill of sampleOf(kills)) {
          const { step, wasKilled } = yield* run(kill.join("-"), kill)
          // Agencies that are told at the same time can share a sync, so that the last do not come.
          if (wasKilled) steps.add(step)
          else expect(step).toBe("told")
        }
        // Some kill was between each step and the next one.
        if (IS_LONG) expect([...steps]).toEqual(expect.arrayContaining(SEALING))
        else expect(steps.size).toBeGreaterThan(1)
      }),
    600_000
  )
})
