/**
 * The pool of connections to PostgreSQL, which reads and writes share fairly, what its errors mean,
 * and how long it may be away before a statement is given up.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Data, Effect, Option, type Redacted, Schedule, type Scope, Semaphore } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { boundedWait } from "../../../domain/LoggedResource.ts"
import { StoreUnavailable } from "../BetStore.ts"
import { makeTypes } from "./PostgresColumns.ts"
import { hostWithoutTls, requiresTls } from "./PostgresUrl.ts"

/** Statements that write at a time: more are no faster, and PostgreSQL has 100 places, if that. */
const WRITERS = 4
/** Statements that read at a time, so that readers of books keep no batch waiting. */
const READERS = 3
/** One more listens. */
const MAX_CONNECTIONS = WRITERS + READERS + 1

/** How often, and how many times, a statement is tried again while PostgreSQL is away: for 5 s. */
const RETRY_EVERY = "200 millis"
const RETRIES = 25
/** How long a statement may take; then it is given up, with its connection. */
const STATEMENT_SECONDS = 20

/**
 * Settings of each connection, whatever the database's own are, that the store relies on: an
 * answered commit is on the disk, and on that of a synchronous standby; a statement that waited for
 * a lock sees what the one before it did.
 */
const SESSION = {
  synchronous_commit: "on",
  default_transaction_isolation: "read committed"
}

/** The database cannot be used as a store, for a reason in one line. */
export class NotUsable extends Data.TaggedError("NotUsable")<{ readonly reason: string }> {}

/** PostgreSQL is away for now, or the statement collided with another: nothing was done. */
const TRANSIENT_STATES = new Set([
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "53300", // too_many_connections
  "55000", // object_not_in_prerequisite_state: the database takes no connections now
  "25006", // read_only_sql_transaction: it was the primary
  "40001", // serialization_failure
  "40P01" // deadlock_detected
])

/** The code is a SQLSTATE if PostgreSQL itself failed, and Node's name if the network did. */
interface Origin extends Error {
  readonly code?: unknown
  /** One for each address of a host that refused. */
  readonly errors?: ReadonlyArray<Error>
}

const originOf = ({ reason }: SqlError): Origin => {
  let origin: Error = reason
  while (origin.cause instanceof Error) origin = origin.cause
  return origin
}

/** The SQLSTATE of an error that PostgreSQL itself gave. */
const stateOf = (error: SqlError): string | undefined => {
  const { code } = originOf(error)
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** Why a statement failed, in one line; it never holds a password. */
export const reasonOf = (error: SqlError): string => {
  const { errors, message } = originOf(error)
  const state = stateOf(error)
  if (state !== undefined) return `${message} (PostgreSQL ${state})`
  return message || errors?.[0]?.message || error.message
}

const isTransient = (error: SqlError): boolean =>
  error.reason._tag === "ConnectionError" || TRANSIENT_STATES.has(stateOf(error) ?? "")

/** What a failed statement means to the users of the store. */
export const toUnavailable = <E>(error: E): Exclude<E, SqlError> | StoreUnavailable =>
  error instanceof SqlError
    ? new StoreUnavailable({ reason: reasonOf(error) })
    : // Of a type `E` the compiler does not know that what is left is no SqlError.
      (error as Exclude<E, SqlError>)

/** Repeats a statement that may be done twice until PostgreSQL answers, within limits. */
const patiently: Postgres["read"] = (statement) => {
  const duration = `${STATEMENT_SECONDS} seconds` as const
  const fail = () => {
    const reason = `PostgreSQL did not answer in ${STATEMENT_SECONDS} seconds`
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
  // An uninterruptible caller stops waiting too, while the statement is interrupted.
  return Effect.flatMap(boundedWait(work, duration), Option.getOrElse(fail))
}

/**
 * If a connection is lost within a transaction its rollback fails, which the library takes for a
 * defect. It is rolled back all the same, so this is the failure of a statement like any other.
 */
export const orRolledBack = <A, E, R>(
  transaction: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchDefect(transaction, (defect) =>
    defect instanceof SqlError ? Effect.fail(defect) : Effect.die(defect)
  )

/** A draw in PostgreSQL. */
export interface Postgres {
  readonly sql: PgClient.PgClient
  readonly drawId: string
  /** The draw's key in the tables, as a part of a statement. */
  readonly key: Fragment
  /** Runs a read: again while PostgreSQL is away, until the store counts as unavailable. */
  readonly read: <A, E>(
    statement: Effect.Effect<A, E>
  ) => Effect.Effect<A, Exclude<E, SqlError> | StoreUnavailable>
  /** As `read`, for a write. If its answer is lost, the write may be done, and then again. */
  readonly write: Postgres["read"]
}

/** Warns of what can be read on the way: any server may ask for the password in clear text. */
const warnUnlessPrivate = (url: Redacted.Redacted) => {
  const host = hostWithoutTls(url)
  if (host === undefined) return Effect.void
  return Effect.logWarning(
    `bets travel to PostgreSQL on ${host} in the clear, and so does the password if the server ` +
      "asks for it in clear text: add sslmode=require to its URL"
  )
}

/** Connections are opened as they are needed. */
export const make = Effect.fnUntraced(function* (
  url: Redacted.Redacted,
  drawId: string
): Effect.fn.Return<Postgres, SqlError, Scope.Scope> {
  yield* warnUnlessPrivate(url)
  const sql = yield* PgClient.make({
    url,
    // Explicit, so that no environment variable turns the check of the certificate off.
    ...(requiresTls(url) && { ssl: { rejectUnauthorized: true } }),
    maxConnections: MAX_CONNECTIONS,
    keepAlive: "10 seconds",
    types: makeTypes(),
    startupParameters: {
      ...SESSION,
      // A plan made while a table was empty is no good once it is full.
      plan_cache_mode: "force_custom_plan",
      // A server that vanished with its network leaves no row locked behind.
      idle_in_transaction_session_timeout: "30s"
    }
  }).pipe(Effect.provide(Reactivity.layer))
  const writers = yield* Semaphore.make(WRITERS)
  const readers = yield* Semaphore.make(READERS)
  return {
    sql,
    drawId,
    key: sql`(select id from draws where name = ${drawId})`,
    // The deadline begins with the statement, not while it waits for its turn.
    read: (statement) => readers.withPermit(patiently(statement)),
    write: (statement) => writers.withPermit(patiently(statement))
  }
})

/** A connection's setting; null if this PostgreSQL does not know it. */
export const settingOf = Effect.fnUntraced(function* (sql: PgClient.PgClient, setting: string) {
  const [found] = yield* sql<{ value: string | null }>`
    select current_setting(${setting}, true) as value`
  return found?.value ?? null
})

/** Fails if a connection is not set as the store needs it: poolers may drop settings. */
export const checkSession = Effect.fnUntraced(function* (sql: PgClient.PgClient) {
  for (const [setting, expected] of Object.entries(SESSION)) {
    const value = yield* settingOf(sql, setting)
    if (value === expected) continue
    return yield* new NotUsable({
      reason:
        `its connections have ${setting} = ${value}, expected ${expected}; ` +
        "where a pooler before it leaves that out, set it for the database's user"
    })
  }
})
