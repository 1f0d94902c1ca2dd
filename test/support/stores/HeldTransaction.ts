/** PostgreSQL transactions that a test holds open, like those of another server. */
import { setTimeout as sleep } from "node:timers/promises"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Redacted } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { expect } from "vitest"
import { query } from "./PostgresCluster.ts"

/** The effect of discarding the book of agency 1. */
export const DISCARD = [
  "select id from draws for share",
  `update agencies set bets = 0, finished = false, told = false, edition = edition + 1,
      book_bytes = null, sha256 = null, marks = null
    where agency = 1`,
  "delete from bets where agency = 1"
]

/** Waits in real time, even under a test clock. */
export const pause = (millis: number) => Effect.promise(() => sleep(millis))

/** Polls until `isThere`. If that never happens, the test times out. */
export const until = <E, R>(isThere: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(isThere, (there) =>
    there ? Effect.void : Effect.andThen(pause(10), until(isThere))
  )

/**
 * Runs statements in a transaction that stays open. `keepsWaiting` runs `work`, which must block on
 * the transaction, and returns its fiber once it does. `isAwaited` tells whether any backend waits.
 */
export const hold = Effect.fnUntraced(function* (
  url: string,
  ...statements: ReadonlyArray<string>
) {
  const own = yield* Effect.provide(
    PgClient.makeClient({ url: Redacted.make(url) }),
    Reactivity.layer
  )
  const [self] = yield* own<{ pid: number }>`select pg_backend_pid() as pid`
  const waiting = Effect.map(
    query(url, `select pid from pg_stat_activity where ${self!.pid} = any(pg_blocking_pids(pid))`),
    (rows) => rows.length
  )
  for (const statement of ["begin", ...statements]) yield* own.unsafe(statement)
  return {
    commit: own.unsafe("commit"),
    rollback: own.unsafe("rollback"),
    isAwaited: Effect.map(waiting, (count) => count > 0),
    keepsWaiting: Effect.fnUntraced(function* <A, E>(work: Effect.Effect<A, E>) {
      const before = yield* waiting
      const fiber = yield* Effect.forkScoped(work)
      yield* until(
        Effect.map(waiting, (count) => {
          expect(fiber.pollUnsafe(), "it did not wait").toBeUndefined()
          return count === before + 1
        })
      )
      return fiber
    })
  }
})
