/** Goal: when a client shows its progress, in the log and on a terminal. On the test clock. */
import { it } from "@effect/vitest"
import { Duration, Effect, References } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import * as ClientProgress from "../../../src/cli/log/ClientProgress.ts"
import { CurrentStatusLine, StatusLine } from "../../../src/cli/log/StatusLine.ts"
import type { UploadProgress } from "../../../src/client/UploadProgress.ts"
import { keepLog } from "../../support/clientBooks.ts"
import { makeSettableClock } from "../../support/model/SettableClock.ts"

const makeStatus = (isTerminal: boolean) => {
  const writes: Array<string> = []
  const write = (text: string) => void writes.push(text)
  return { writes, status: new StatusLine({ isTerminal, columns: () => 100, write }) }
}

/** Runs `use` on the progress of a book of 27,000 bets and returns the log. */
const logOf = Effect.fnUntraced(function* (
  use: (progress: UploadProgress, log: ReadonlyArray<string>) => Effect.Effect<void>,
  status = makeStatus(false).status
) {
  const { layer, lines } = keepLog()
  yield* Effect.flatMap(ClientProgress.make(1, 27_000), ({ progress }) =>
    use(progress, lines)
  ).pipe(Effect.scoped, Effect.provide(layer), Effect.provideService(CurrentStatusLine, status))
  return lines
})

const carga = (acknowledged: number, per_second: number) =>
  "action: upload_progress | result: in_progress | agencia: 1 | " +
  `acknowledged: ${acknowledged} | total: 27000 | per_second: ${per_second}`

const espera = (finished: number) =>
  "action: waiting_for_draw | result: in_progress | agencia: 1 | " +
  `finished: ${finished} | expected: 5`

describe("in the log", () => {
  it.effect("an upload is logged just as often if the system clock is set back", () =>
    Effect.gen(function* () {
      const { run, setBack } = yield* makeSettableClock
      const log = yield* run(
        logOf(
          Effect.fnUntraced(function* (progress) {
            yield* progress.acknowledge(0)
            yield* TestClock.adjust("5 seconds")
            yield* setBack("1 hour")
            yield* progress.acknowledge(15_000)
            yield* TestClock.adjust("5 seconds")
          })
        )
      )
      expect(log).toEqual([carga(15_000, 1500)])
    })
  )

  it.effect("an upload is logged every 10 s until it is complete", () =>
    Effect.gen(function* () {
      const log = yield* logOf(
        Effect.fnUntraced(function* (progress, lines) {
          yield* progress.acknowledge(0)
          yield* TestClock.adjust("9 seconds")
          expect(lines).toEqual([])
          yield* progress.acknowledge(15_000)
          yield* TestClock.adjust("1 second")
          expect(lines).toEqual([carga(15_000, 1500)])
          yield* TestClock.adjust("9 seconds")
          // After a reconnection the count starts again; stored bets stay stored.
          yield* progress.acknowledge(1000)
          yield* TestClock.adjust("1 second")
          yield* progress.acknowledge(27_000)
          yield* TestClock.adjust("60 seconds")
        })
      )
      expect(log).toEqual([carga(15_000, 1500), carga(15_000, 0)])
    })
  )

  it.effect("the speed does not include bets that were already stored", () =>
    Effect.gen(function* () {
      const log = yield* logOf(
        Effect.fnUntraced(function* (progress) {
          yield* TestClock.adjust("2 seconds")
          yield* progress.resume(20_000)
          yield* TestClock.adjust("3 seconds")
          yield* progress.acknowledge(21_000)
          yield* TestClock.adjust("2 seconds")
          // After a reconnection the server has more bets than were acknowledged.
          yield* progress.resume(25_000)
          yield* progress.acknowledge(26_000)
          yield* TestClock.adjust("3 seconds")
        })
      )
      expect(log).toEqual([carga(26_000, 200)])
    })
  )

  it.effect("the wait is logged at once, then at most every 10 s when it changes", () =>
    Effect.gen(function* () {
      const log = yield* logOf(
        Effect.fnUntraced(function* (progress, lines) {
          yield* progress.acknowledge(27_000)
          yield* TestClock.adjust("3500 millis")
          yield* progress.wait({ finished: 1, expected: 5 })
          expect(lines).toEqual([espera(1)])
          yield* progress.wait({ finished: 2, expected: 5 })
          yield* TestClock.adjust("5 seconds")
          yield* progress.wait({ finished: 3, expected: 5 })
          yield* TestClock.adjust("4 seconds")
          expect(lines).toEqual([espera(1)])
          yield* TestClock.adjust("2 seconds")
          expect(lines).toEqual([espera(1), espera(3)])
          yield* progress.wait({ finished: 3, expected: 5 })
          yield* TestClock.adjust("60 seconds")
          yield* progress.wait({ finished: 4, expected: 5 })
        })
      )
      expect(log).toEqual([espera(1), espera(3), espera(4)])
    })
  )

  it.effect("ends with its scope", () =>
    Effect.gen(function* () {
      const log = yield* logOf(() => Effect.void)
      yield* TestClock.adjust("60 seconds")
      expect(log).toEqual([])
    })
  )
})

describe("on a terminal", () => {
  /** What a person sees, without what moves the cursor. */
  const shown = (writes: ReadonlyArray<string>) =>
    /^\r(?:\u001b\[\?7l(.*)\u001b\[\?7h)?\u001b\[J$/.exec(writes.at(-1)!)?.[1]

  it.effect("the progress is drawn, not logged, and erased at the end", () =>
    Effect.gen(function* () {
      const { status, writes } = makeStatus(true)
      const log = yield* logOf(
        Effect.fnUntraced(function* (progress) {
          yield* TestClock.adjust("1 second")
          expect(shown(writes)).toBe("connecting")
          yield* progress.acknowledge(0)
          yield* TestClock.adjust("1 second")
          yield* progress.acknowledge(13_500)
          yield* TestClock.adjust("1 second")
          expect(shown(writes)).toContain("13500 of 27000 bets, 50%, 4500/s, 0:03 left")
          yield* TestClock.adjust("30 seconds")
          yield* progress.acknowledge(27_000)
          yield* TestClock.adjust("1 second")
          expect(shown(writes)).toContain("27000 of 27000 bets, 100%")
          yield* progress.finish()
          yield* TestClock.adjust("1 second")
          expect(shown(writes)).toBe("waiting for the draw")
          yield* progress.wait({ finished: 3, expected: 5 })
          yield* TestClock.adjust("1 second")
          expect(shown(writes)).toBe("waiting for the draw: 3 of 5 agencies have finished")
        }),
        status
      )
      expect(log).toEqual([])
      expect(writes.at(-1)).toBe("\r\u001b[J")
    })
  )

  it.effect("a lost connection is shown, without what may have changed since", () =>
    Effect.gen(function* () {
      const { status, writes } = makeStatus(true)
      yield* logOf(
        Effect.fnUntraced(function* (progress) {
          const shownAfter = Effect.fnUntraced(function* (change: Effect.Effect<void>) {
            yield* change
            yield* TestClock.adjust("1 second")
            return shown(writes)
          })
          const lose = progress.interrupt("lost")
          expect(yield* shownAfter(lose)).toBe("no connection; trying again")
          yield* shownAfter(progress.resume(13_500))
          expect(yield* shownAfter(lose)).toMatch(
            /^no connection; \[#+-+\] 13500 of 27000 bets, 50%$/
          )
          expect(yield* shownAfter(progress.reconnect())).toMatch(/^\[#+-+\] 13500 of .*, 0\/s$/)
          yield* progress.acknowledge(27_000)
          yield* progress.finish()
          yield* progress.wait({ finished: 3, expected: 5 })
          expect(yield* shownAfter(lose)).toBe("no connection; waiting for the draw")
        }),
        status
      )
    })
  )
})

describe("the end", () => {
  /** Sends a book, of which `before` bets were stored before, in 9 s and prints two winners. */
  const endOf = Effect.fnUntraced(function* (isTerminal: boolean, before?: number) {
    const { status, writes } = makeStatus(isTerminal)
    const { layer, levels, lines } = keepLog()
    yield* Effect.gen(function* () {
      const { printWinners, progress } = yield* ClientProgress.make(7, 27_000)
      if (before !== undefined) yield* progress.resume(before)
      yield* TestClock.adjust("9 seconds")
      // After a reconnection the server has more bets than were acknowledged.
      if (before !== undefined) yield* progress.resume(20_000)
      yield* progress.acknowledge(27_000)
      yield* progress.finish()
      yield* TestClock.adjust("1 hour")
      yield* progress.finish()
      yield* printWinners(["1", "2"])
    }).pipe(
      Effect.scoped,
      Effect.provide(layer),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provideService(CurrentStatusLine, status)
    )
    const ends = writes.flatMap((text) => /agency 7: .*\n/.exec(text) ?? [])
    return { ends, level: levels.at(-1), line: lines.at(-1) }
  })
  const line = "action: consulta_ganadores | result: success | cant_ganadores: 2 | agencia: 7"

  it.effect("is a line of the log", () =>
    Effect.gen(function* () {
      expect(yield* endOf(false)).toEqual({ ends: [], level: "Info", line })
    })
  )

  it.effect("is one line for a person on a terminal", () =>
    Effect.gen(function* () {
      const ends = ["agency 7: 27000 bets in 9.0 s, 3000/s; 2 winners\n"]
      expect(yield* endOf(true)).toEqual({ ends, level: "Debug", line })
    })
  )

  it.effect("does not count the bets of an earlier run", () =>
    Effect.gen(function* () {
      const { ends } = yield* endOf(true, 18_000)
      expect(ends).toEqual(["agency 7: 27000 bets, 9000 of them in 9.0 s, 1000/s; 2 winners\n"])
    })
  )
})

it.effect("a client that gives up reports what is stored", () =>
  logOf(
    Effect.fnUntraced(function* (progress) {
      const gaveUp = () =>
        new ClientProgress.TimedOut({ timeout: Duration.seconds(1), progress }).message
      yield* progress.interrupt("cannot reach it")
      expect(gaveUp()).toBe(
        "no winners after 1s: cannot reach it; 0 of 27000 bets are known to be stored; " +
          "run the same command again to resume"
      )
      yield* progress.resume(3000)
      expect(gaveUp()).toContain(
        "after 1s; 3000 of 27000 bets are known to be stored; run the same"
      )
      yield* progress.acknowledge(27_000)
      expect(gaveUp()).toContain(
        "after 1s; 27000 of 27000 bets are known to be stored; run the same"
      )
      yield* progress.finish()
      yield* progress.interrupt("it went away")
      expect(gaveUp()).toBe(
        "no winners after 1s: it went away; the whole book (bets: 27000) is stored and finished; " +
          "run the same command again to resume"
      )
    })
  )
)

it.effect("the reason for a lost connection is kept until the next connection", () =>
  logOf(
    Effect.fnUntraced(function* (progress) {
      expect(progress.interruption).toBeUndefined()
      yield* progress.interrupt("cannot reach it")
      expect(progress.interruption).toBe("cannot reach it")
      yield* progress.acknowledge(1)
      expect(progress.interruption).toBeUndefined()
      yield* progress.interrupt("lost")
      yield* progress.wait({ finished: 1, expected: 2 })
      expect(progress.interruption).toBeUndefined()
    })
  )
)
