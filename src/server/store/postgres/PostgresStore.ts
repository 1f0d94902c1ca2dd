/**
 * The store in PostgreSQL, through `@effect/sql-pg`. Any number of servers can share one draw, and
 * none of them keeps state of its own.
 */
import { type Duration, Effect, Option, type Redacted, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { boundedWait } from "../../../domain/LoggedResource.ts"
import { ANY_DRAW } from "../AnyDraw.ts"
import { BetStore, BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { makeBooks } from "./PostgresBooks.ts"
import * as PostgresChanges from "./PostgresChanges.ts"
import * as PostgresClient from "./PostgresClient.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import { makeSteps } from "./PostgresSteps.ts"
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
  { url }: Pick<Options, "url">
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
  // Writes do not wait for the notification: if it is lost, the other servers still poll.
  const notify = Effect.asVoid(Effect.forkIn(PostgresChanges.notify(postgres), scope))
  return BetStore.of({
    ...makeBooks(postgres, sql.literal("")),
    ...makeWriter(postgres, notify),
    ...makeSteps(postgres, notify),
    changes: yield* PostgresChanges.make(postgres, options.pollInterval),
    // PostgreSQL itself stops after a failed sync and recovers from its log.
    broken: Effect.never
  })
}, opening)

/** Opens the store for reading, even while servers write it, or before they update its tables. */
export const makeReader = Effect.fnUntraced(function* (options: Options) {
  const postgres = yield* PostgresClient.make(options.url, options.drawId)
  return BetStoreReader.of(makeBooks(postgres, yield* PostgresSchema.checkToRead(postgres)))
}, opening)

/** Lists the draws of the store, oldest first. */
export const listDraws = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const postgres = yield* PostgresClient.make(url, ANY_DRAW)
    yield* PostgresSchema.checkToRead(postgres)
    const rows = yield* postgres.sql<{ name: string }>`select name from draws order by id`
    return rows.map(({ name }) => name)
  }).pipe((list) => opening(list, { url }), Effect.scoped)

/**
 * Opens an existing store for an operator's acts on the draw, even while servers run: they are
 * notified. The draw must have been opened.
 */
export const makeExisting = Effect.fnUntraced(function* (options: Options) {
  const postgres = yield* PostgresClient.make(options.url, options.drawId)
  yield* PostgresSchema.checkToAct(postgres)
  const { draw } = makeBooks(postgres, postgres.sql.literal(""))
  return { ...makeSteps(postgres, PostgresChanges.notify(postgres)), draw }
}, opening)
