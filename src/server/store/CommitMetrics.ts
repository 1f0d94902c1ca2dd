/**
 * What the commits cost, in every store: how many, how long and how large. A commit is one data
 * sync of an embedded store, or one write of an agency in PostgreSQL.
 */
import { Clock, Effect, Metric } from "effect"
import { StoreBroken, StoreUnavailable } from "./BetStore.ts"

const NANOS_PER_SECOND = 1e9

export const commits = Metric.counter("lottery_commits_total", {
  description: "Commits, each durable when it is counted",
  incremental: true
})

export const failures = Metric.counter("lottery_commit_failures_total", {
  description: "Commits that failed and stored nothing",
  incremental: true
})
const FAILURES = {
  StoreUnavailable: Metric.withAttributes(failures, { reason: "unavailable" }),
  StoreBroken: Metric.withAttributes(failures, { reason: "broken" })
}

/** Starts the failures at 0: Prometheus counts no increase up to the first value of a series. */
export const noFailures = Effect.forEach(
  Object.values(FAILURES),
  (counter) => Metric.update(counter, 0),
  { discard: true }
)

const durations = Metric.histogram("lottery_commit_duration_seconds", {
  description: "Duration of commits, with their data sync",
  boundaries: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
})

const sizes = Metric.histogram("lottery_commit_bets", {
  description: "Bets in a commit",
  boundaries: [0, 1, 10, 100, 1000, 5000, 10_000, 25_000, 50_000, 100_000]
})

const MAX_RECENT = 100
/** The durations of the last commits in seconds, oldest first. */
const recent: Array<number> = []

/** The median duration of the last commits, in seconds; undefined before the first one. */
export const medianSeconds = (): number | undefined =>
  [...recent].sort((one, other) => one - other)[Math.floor(recent.length / 2)]

/** Counts and times a commit of `bets`, if it succeeds. */
export const timed = Effect.fnUntraced(function* <A, E, R>(
  bets: number,
  commit: Effect.Effect<A, E, R>
) {
  const start = yield* Clock.monotonicTimeNanos
  const done = yield* commit
  const seconds = Number((yield* Clock.monotonicTimeNanos) - start) / NANOS_PER_SECOND
  yield* Metric.update(commits, 1)
  yield* Metric.update(durations, seconds)
  yield* Metric.update(sizes, bets)
  recent.push(seconds)
  if (recent.length > MAX_RECENT) recent.shift()
  return done
})

/** Counts a commit that fails because of the store. */
export const countingFailures = <A, E, R>(commit: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapError(commit, (error) =>
    error instanceof StoreUnavailable || error instanceof StoreBroken
      ? Metric.update(FAILURES[error._tag], 1)
      : Effect.void
  )
