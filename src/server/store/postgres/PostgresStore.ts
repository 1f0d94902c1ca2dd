/**
 * The store in PostgreSQL, through `@effect/sql-pg`: any number of servers share one draw in it,
 * and none has a state of its own.
 */
import { type Duration, Effect, Option, type Redacted, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Agency } from "../../../domain/Agency.ts"
import { boundedWait } from "../../../domain/LoggedResource.ts"
import { BetStore, BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { makeBooks } from "./PostgresBooks.ts"
import * as PostgresChanges from "./PostgresChanges.ts"
import * as PostgresClient from "./PostgresClient.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import { showPostgresUrl } from "./PostgresUrl.ts"
import { makeWriter } from "./PostgresWriter.ts"

export interface Options {
  /** A `postgres:` URL, which may contain a password. */
  readonly url: Redacted.Redacted
  readonly drawId: string
  /** How often to look for what other servers changed, in case a notification is lost. */
  readonly looksEvery?: Duration.Input
}

/** How long a close waits for connections whose statements are not answered. */
const CLOSE_TIMEOUT = "2 seconds"

/**
 * Opens a store in a scope whose close does not wait long for PostgreSQL. What is not answered by
 * then was not acknowledged to anyone, and its connections end with the process.
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
        yield* Effect.logWarning("PostgreSQL does not answer: its connections are not waited for")
      })
    )
    return yield* Scope.provide(open, scope)
  }).pipe(
    Effect.mapError((error) => {
      const reason = error._tag === "SqlError" ? PostgresClient.reasonOf(error) : error.reason
      return new StoreOpenError({ store: showPostgresUrl(url), reason })
    })
  )

/** Opens the store to write it, together with other servers; creates its tables if need be. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const postgres = yield* PostgresClient.make(options.url, options.drawId)
  const { sql } = postgres
  yield* PostgresClient.checkSession(sql)
  yield* PostgresSchema.prepare(sql)
  // A database that may lose what it acknowledged can be chosen, but not silently.
  if ((yield* PostgresClient.settingOf(sql, "fsync")) === "off") {
    yield* Effect.logWarning(
      "PostgreSQL runs with fsync = off: a power cut may lose bets that were acknowledged"
    )
  }
  const scope = yield* Effect.scope
  return BetStore.of({
    ...makeBooks(postgres),
    // No write waits for its notification: if it is lost, the others look by themselves.
    ...makeWriter(postgres, Effect.asVoid(Effect.forkIn(PostgresChanges.notify(postgres), scope))),
    changes: yield* PostgresChanges.make(postgres, options.looksEvery),
    // PostgreSQL itself stops if a sync fails, and recovers from its log.
    broken: Effect.never
  })
}, opening)

const openToRead = Effect.fnUntraced(function* ({ drawId, url }: Options) {
  const postgres = yield* PostgresClient.make(url, drawId)
  yield* PostgresSchema.check(postgres)
  return postgres
}, opening)

/** Opens the store to read it, also while servers write it. */
export const makeReader = (options: Options) =>
  Effect.map(openToRead(options), (postgres) => BetStoreReader.of(makeBooks(postgres)))

/** Drops the book of an agency, also while servers run; gives how many bets were dropped. */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  const postgres = yield* openToRead(options)
  return yield* makeWriter(postgres, PostgresChanges.notify(postgres)).discard(agency)
}, Effect.scoped)
