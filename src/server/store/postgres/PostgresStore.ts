/**
 * The store in PostgreSQL, through `@effect/sql-pg`: any number of servers share one draw in it,
 * and none has a state of its own.
 */
import { type Duration, Effect, Layer, Option, type Redacted, Scope } from "effect"
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
  /** A `postgres:` URL, which may hold a password. */
  readonly url: Redacted.Redacted
  readonly drawId: string
  /** How often is looked for what other servers changed, should a notification be lost. */
  readonly looksEvery?: Duration.Input
}

/** At a close, how long connections are waited for whose statements are not answered. */
const CLOSE_TIMEOUT = "2 seconds"

/**
 * Opens a store in a scope whose close does not wait long for an answer of PostgreSQL. Nobody was
 * told of what is not answered by then, and its connections end with the process.
 */
const opening = Effect.fnUntraced(
  function* <A>(
    open: Effect.Effect<A, SqlError | PostgresClient.NotUsable, Scope.Scope>,
    _options: Options
  ) {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(
      Effect.fnUntraced(function* (exit) {
        const closed = yield* boundedWait(Scope.close(scope, exit), CLOSE_TIMEOUT)
        if (Option.isSome(closed)) return yield* closed.value
        yield* Effect.logWarning("PostgreSQL does not answer: its connections are not waited for")
      })
    )
    return yield* Scope.provide(open, scope)
  },
  (effect, _, { url }) =>
    Effect.mapError(effect, (error) => {
      const reason = error._tag === "SqlError" ? PostgresClient.reasonOf(error) : error.reason
      return new StoreOpenError({ store: showPostgresUrl(url), reason })
    })
)

/** Opens the store to write it, beside other servers; makes its tables where there are none. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const { drawId, looksEvery = PostgresChanges.LOOKS_EVERY, url } = options
  const postgres = yield* PostgresClient.make(url, drawId)
  const { sql } = postgres
  yield* PostgresClient.checkSession(sql)
  yield* PostgresSchema.prepare(sql)
  // A database that may lose what it acknowledged is somebody's own choice, but not a silent one.
  if ((yield* PostgresClient.settingOf(sql, "fsync")) === "off") {
    yield* Effect.logWarning(
      "PostgreSQL runs with fsync = off: a power cut may lose bets that were acknowledged"
    )
  }
  const scope = yield* Effect.scope
  return BetStore.of({
    ...makeBooks(postgres),
    // Nobody waits for a notification: where it is lost, the others look by themselves.
    ...makeWriter(postgres, Effect.asVoid(Effect.forkIn(PostgresChanges.notify(postgres), scope))),
    changes: yield* PostgresChanges.make(postgres, looksEvery),
    // A PostgreSQL whose sync fails ends by itself, and recovers from its log.
    broken: Effect.never
  })
}, opening)

const openToRead = Effect.fnUntraced(function* ({ drawId, url }: Options) {
  const postgres = yield* PostgresClient.make(url, drawId)
  yield* PostgresSchema.check(postgres)
  return postgres
}, opening)

/** Opens the store to read it, beside whoever writes it. */
export const makeReader = (options: Options) =>
  Effect.map(openToRead(options), (postgres) => BetStoreReader.of(makeBooks(postgres)))

/**
 * Drops the book of an agency from a store that is there, also beside servers; gives how many bets
 * were dropped.
 */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  const postgres = yield* openToRead(options)
  return yield* makeWriter(postgres, PostgresChanges.notify(postgres)).discard(agency)
}, Effect.scoped)

/** The store behind a URL; its tables are made where there are none. */
export const layer = (options: Options): Layer.Layer<BetStore, StoreOpenError> =>
  Layer.effect(BetStore, make(options))

/** The store behind a URL, to be read beside whoever writes it. */
export const layerReader = (options: Options): Layer.Layer<BetStoreReader, StoreOpenError> =>
  Layer.effect(BetStoreReader, makeReader(options))
