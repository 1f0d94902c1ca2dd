/**
 * The store in PostgreSQL, through `@effect/sql-pg`. Any number of servers can share one draw, and
 * none of them keeps state of its own.
 */
import { type Duration, Effect, Option, type Redacted, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { boundedWait } from "../../../domain/LoggedResource.ts"
import { BetStore, BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { makeBooks } from "./PostgresBooks.ts"
import * as PostgresChanges from "./PostgresChanges.ts"
import * as PostgresClient from "./PostgresClient.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import { showPostgresUrl } from "./PostgresUrl.ts"
import { makeWriter } from "./PostgresWriter.ts"

export interface Options {
  readonly url: Redacted.Redacted
  readonly drawId: string
  /** How often to poll for other servers' changes, in case a notification is lost. */
  readonly pollInterval?: Duration.Input
}

const CLOSE_TIMEOUT = "2 seconds"

/**
 * Opens a store in a scope whose close waits at most `CLOSE_TIMEOUT` for unanswered statements:
 * they were never acknowledged, and their connections end with the process.
 */
const opening = <A>(
  open: Effect.Effect<A, SqlError | PostgresClient.NotUsable, Scope.Scope>,
  { url }: Options
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(
      Effect.fnUntraced(function* (exit) {
        const closed = yield* boundedWait(Scope.close(scope, exit), CLOSE_TIMEOUT)
        if (Option.isSome(closed)) return yield* closed.value
        yield* Effect.logWarning("PostgreSQL does not answer: closing without waiting for it")
      })
    )
    return yield* Scope.provide(open, scope)
  }).pipe(
    Effect.mapError((error) => {
      const reason = error._tag === "SqlError" ? PostgresClient.reasonOf(error) : error.reason
      return new StoreOpenError({ store: showPostgresUrl(url), reason })
    })
  )

/** Opens the store for writing, alongside other servers; creates its tables if necessary. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const postgres = yield* PostgresClient.make(options.url, options.drawId)
  const { sql } = postgres
  yield* PostgresClient.checkSession(sql)
  yield* PostgresSchema.prepare(sql)
  if ((yield* PostgresClient.settingOf(sql, "fsync")) === "off") {
    yield* Effect.logWarning(
      "PostgreSQL runs with fsync = off: a power failure may lose acknowledged bets"
    )
  }
  const scope = yield* Effect.scope
  return BetStore.of({
    ...makeBooks(postgres),
    // Writes do not wait for the notification: if it is lost, the other servers still poll.
    ...makeWriter(postgres, Effect.asVoid(Effect.forkIn(PostgresChanges.notify(postgres), scope))),
    changes: yield* PostgresChanges.make(postgres, options.pollInterval),
    // PostgreSQL itself stops after a failed sync and recovers from its log.
    broken: Effect.never
  })
}, opening)

const openToRead = Effect.fnUntraced(function* ({ drawId, url }: Options) {
  const postgres = yield* PostgresClient.make(url, drawId)
  yield* PostgresSchema.check(postgres)
  return postgres
}, opening)

/** Opens the store for reading, even while servers write it. */
export const makeReader = (options: Options) =>
  Effect.map(openToRead(options), (postgres) => BetStoreReader.of(makeBooks(postgres)))

/** Opens an existing store for an operator's command, even while servers write it. */
export const makeExisting = (options: Options) =>
  Effect.map(openToRead(options), (postgres) =>
    makeWriter(postgres, PostgresChanges.notify(postgres))
  )
