/**
 * The connection pool to PostgreSQL: how reads and writes share it, what errors mean, and when a
 * statement is retried or abandoned.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import {
  Data,
  Duration,
  Effect,
  Option,
  type Redacted,
  Schedule,
  type Scope,
  Semaphore
} from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { boundedWait } from "../../../domain/LoggedResource.ts"
import { StoreUnavailable } from "../BetStore.ts"
import * as CommitMetrics from "../CommitMetrics.ts"
import { makeTypes } from "./PostgresColumns.ts"
import { hasParameter, hostWithoutTls, requiresTls } from "./PostgresUrl.ts"

/** Concurrent writes; more are no faster, and PostgreSQL has few connections (100 by default). */
const WRITERS = 4
/** Concurrent reads; separate, so that readers of books do not delay writes. */
const READERS = 3
const LISTENERS = 1
const MAX_CONNECTIONS = WRITERS + READERS + LISTENERS

/** Retries last 5 seconds in total. */
const RETRY_EVERY = "200 millis"
const RETRIES = 25
/** After this time a statement is abandoned and its connection is closed. */
const STATEMENT_SECONDS = 20

/**
 * Session settings that the store relies on, whatever the database's defaults are: a confirmed
 * commit is on disk (and on a synchronous standby's), and a statement that waited for a lock sees
 * what the lock's previous holder did.
 */
const SESSION = {
  synchronous_commit: "on",
  default_transaction_isolation: "read committed"
}

/** The name of sessions in `pg_stat_activity`, unless the URL gives another. */
const APPLICATION = "lottery"

/** The database cannot be used as a store; the reason is one line. */
export class NotUsable extends Data.TaggedError("NotUsable")<{ readonly reason: string }> {}

/** PostgreSQL is temporarily unavailable or the statement hit a conflict; it had no effect. */
const TRANSIENT_STATES = new Set([
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "53300", // too_many_connections
  "55000", // object_not_in_prerequisite_state: the database accepts no connections now
  "25006", // read_only_sql_transaction: it is no longer the primary
  "40001", // serialization_failure
  "40P01" // deadlock_detected
])

/** The code is a SQLSTATE for a PostgreSQL error, and Node's code for a network error. */
interface Origin extends Error {
  readonly code?: unknown
  /** One error per address of the host. */
  readonly errors?: ReadonlyArray<Error>
}

const originOf = ({ reason }: SqlError): Origin => {
  let origin: Error = reason
  while (origin.cause instanceof Error) origin = origin.cause
  return origin
}

const stateOf = (error: SqlError): string | undefined => {
  const { code } = originOf(error)
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** Why a statement failed, in one line that never contains a password. */
export const reasonOf = (error: SqlError): string => {
  const { errors, message } = originOf(error)
  const state = stateOf(error)
  if (state !== undefined) return `${message} (PostgreSQL ${state})`
  return message || errors?.[0]?.message || error.message
}

const isTransient = (error: SqlError): boolean =>
  error.reason._tag === "ConnectionError" || TRANSIENT_STATES.has(stateOf(error) ?? "")

export const toUnavailable = <E>(error: E): Exclude<E, SqlError> | StoreUnavailable =>
  error instanceof SqlError
    ? new StoreUnavailable({ reason: reasonOf(error) })
    : // The compiler cannot narrow the generic `E`.
      (error as Exclude<E, SqlError>)

/** Retries an idempotent statement while PostgreSQL is unavailable, within the limits above. */
const withRetries = <A, E>(
  statement: Effect.Effect<A, E>,
  seconds = STATEMENT_SECONDS
): Effect.Effect<A, Exclude<E, SqlError> | StoreUnavailable> => {
  const duration = Duration.seconds(seconds)
  const fail = () => {
    const reason = `PostgreSQL did not answer within ${seconds} seconds`
    return Effect.fail(new StoreUnavailable({ reason }))
  }
  const work = statement.pipe(
    Effect.retry({
      while: (error) => error instanceof SqlError && isTransient(error),
      schedule: Schedule.spaced(RETRY_EVERY),
      times: RETRIES
    }),
    Effect.mapError(toUnavailable),
    Effect.timeoutOrElse({ duration, orElse: fail })
  )
  // Bounds an uninterruptible caller too: it does not wait for the statement's interruption.
  return Effect.flatMap(boundedWait(work, duration), Option.getOrElse(fail))
}

/**
 * Turns the library's defect for a failed rollback into an ordinary error. The rollback fails if
 * the connection is lost, but then PostgreSQL rolls the transaction back.
 */
export const orRolledBack = <A, E, R>(
  transaction: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchDefect(transaction, (defect) =>
    defect instanceof SqlError ? Effect.fail(defect) : Effect.die(defect)
  )

export interface Postgres {
  readonly sql: PgClient.PgClient
  readonly drawId: string
  readonly key: Fragment
  /** Runs a read; retries while PostgreSQL is unavailable, then fails with `StoreUnavailable`. */
  readonly read: <A, E>(
    statement: Effect.Effect<A, E>
  ) => Effect.Effect<A, Exclude<E, SqlError> | StoreUnavailable>
  /** Like `read`, for an idempotent write: it may run again after a lost answer. */
  readonly write: Postgres["read"]
  /** Like `write`, without a deadline: the statement may read or delete any number of bets. */
  readonly writeSlowly: Postgres["read"]
}

/** Mentions the password because any server may ask for it in clear text. */
const warnUnlessPrivate = (url: Redacted.Redacted) => {
  const host = hostWithoutTls(url)
  if (host === undefined) return Effect.void
  return Effect.logWarning(
    `bets are sent to PostgreSQL on ${host} unencrypted, and so is the password if the server ` +
      "asks for it in clear text: add sslmode=require to the store's URL"
  )
}

export const make = Effect.fnUntraced(function* (
  url: Redacted.Redacted,
  drawId: string
): Effect.fn.Return<Postgres, SqlError, Scope.Scope> {
  yield* warnUnlessPrivate(url)
  const sql = yield* PgClient.make({
    url,
    // Explicit, so that no environment variable can disable the certificate check.
    ...(requiresTls(url) && { ssl: { rejectUnauthorized: true } }),
    maxConnections: MAX_CONNECTIONS,
    keepAlive: "10 seconds",
    types: makeTypes(),
    startupParameters: {
      ...SESSION,
      ...(!hasParameter(url, "application_name") && { application_name: APPLICATION }),
      // A plan cached for an empty table is bad for a full one.
      plan_cache_mode: "force_custom_plan",
      // Releases the row locks of a server that lost its network.
      idle_in_transaction_session_timeout: "30s"
    }
  }).pipe(Effect.provide(Reactivity.layer))
  const writers = yield* Semaphore.make(WRITERS)
  const readers = yield* Semaphore.make(READERS)
  const written = <A, E>(statement: Effect.Effect<A, E>) =>
    CommitMetrics.countingFailures(writers.withPermit(statement))
  return {
    sql,
    drawId,
    key: sql`(select id from draws where name = ${drawId})`,
    // The deadline starts with the statement, not while it queues for a permit.
    read: (statement) => readers.withPermit(withRetries(statement)),
    write: (statement) => written(withRetries(statement)),
    writeSlowly: (statement) => written(withRetries(statement, Number.POSITIVE_INFINITY))
  }
})

export const settingOf = Effect.fnUntraced(function* (sql: PgClient.PgClient, setting: string) {
  const [found] = yield* sql<{ value: string | null }>`
    select current_setting(${setting}, true) as value`
  return found?.value ?? null
})

/** Fails unless a connection has the settings in `SESSION`: poolers may drop them. */
export const checkSession = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  for (const [setting, expected] of Object.entries(SESSION)) {
    const value = yield* settingOf(sql, setting)
    if (value === expected) continue
    return yield* new NotUsable({
      reason:
        `its connections have ${setting} = ${value}, expected ${expected}; ` +
        "if a connection pooler drops this setting, set it for the database user"
    })
  }
})
