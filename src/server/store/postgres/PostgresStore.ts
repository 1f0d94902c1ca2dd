/**
 * The store in PostgreSQL, through `@effect/sql-pg`: any number of servers share one draw in it,
 * and none has a state of its own.
 */
import { type Duration, Effect, Layer, type Redacted } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Agency } from "../../../domain/Agency.ts"
import { BetStore, BetStoreReader, StoreOpenError } from "../BetStore.ts"
import { makeBooks } from "./PostgresBooks.ts"
import * as PostgresChanges from "./PostgresChanges.ts"
import * as PostgresClient from "./PostgresClient.ts"
import * as PostgresSchema from "./PostgresSchema.ts"
import { makeWriter } from "./PostgresWriter.ts"

export interface Options {
  /** A `postgres:` URL, which may hold a password. */
  readonly url: Redacted.Redacted
  /** The URL as it may be shown. */
  readonly shown: string
  readonly drawId: string
  /** How often is looked for what other servers changed, should a notification be lost. */
  readonly looksEvery?: Duration.Input
}

const toOpenError =
  ({ shown }: Options) =>
  (error: SqlError | PostgresSchema.NotOurs | PostgresClient.SessionDiffers): StoreOpenError =>
    new StoreOpenError({
      store: shown,
      reason: error._tag === "SqlError" ? PostgresClient.reasonOf(error) : error.reason
    })

/** A database that may lose what it acknowledged is somebody's own choice, but not a silent one. */
const warnUnlessDurable = Effect.fnUntraced(function* ({ sql }: PostgresClient.Postgres) {
  const [setting] = yield* sql<{ fsync: string | null }>`
    select current_setting('fsync', true) as fsync`
  if (setting?.fsync === "off") {
    yield* Effect.logWarning(
      "PostgreSQL runs with fsync = off: a power cut may lose bets that were acknowledged"
    )
  }
})

/** Opens the store to write it, beside other servers; makes its tables where there are none. */
export const make = Effect.fnUntraced(
  function* (options: Options) {
    const { drawId, looksEvery = PostgresChanges.LOOKS_EVERY, url } = options
    const postgres = yield* PostgresClient.make(url)
    yield* PostgresClient.checkSession(postgres.sql)
    yield* PostgresSchema.prepare(postgres.sql)
    yield* warnUnlessDurable(postgres)
    const scope = yield* Effect.scope
    const notify = PostgresChanges.notify(postgres, drawId)
    return BetStore.of({
      ...makeBooks(postgres, drawId),
      // Nobody waits for it: where it is lost, the others look by themselves.
      ...makeWriter(postgres, drawId, Effect.asVoid(Effect.forkIn(notify, scope))),
      changes: yield* PostgresChanges.make(postgres, drawId, looksEvery),
      // A PostgreSQL whose sync fails ends by itself, and recovers from its log.
      broken: Effect.never
    })
  },
  (effect, options) => Effect.mapError(PostgresClient.closedInTime(effect), toOpenError(options))
)

const checkDraw = Effect.fnUntraced(function* (
  { sql }: PostgresClient.Postgres,
  { drawId }: Options
) {
  const draws = yield* sql<{ name: string }>`select name from draws order by id`
  // A store that a server has just made holds no draw yet.
  if (draws.length === 0 || draws.some(({ name }) => name === drawId)) return
  const names = draws.map(({ name }) => name).join(", ")
  return yield* new PostgresSchema.NotOurs({ reason: `it holds no draw ${drawId}, only ${names}` })
})

const openToRead = Effect.fnUntraced(
  function* (options: Options) {
    const postgres = yield* PostgresClient.make(options.url)
    yield* PostgresSchema.check(postgres.sql)
    yield* checkDraw(postgres, options)
    return postgres
  },
  (effect, options) => Effect.mapError(PostgresClient.closedInTime(effect), toOpenError(options))
)

/** Opens the store to read it, beside whoever writes it. */
export const makeReader = (options: Options) =>
  Effect.map(openToRead(options), (postgres) =>
    BetStoreReader.of(makeBooks(postgres, options.drawId))
  )

/**
 * Drops the book of an agency from a store that is there, also beside servers; gives how many bets
 * were dropped.
 */
export const discard = Effect.fnUntraced(function* (options: Options, agency: Agency) {
  const postgres = yield* openToRead(options)
  const { drawId } = options
  const writer = makeWriter(postgres, drawId, PostgresChanges.notify(postgres, drawId))
  return yield* writer.discard(agency)
}, Effect.scoped)

/** The store behind a URL; its tables are made where there are none. */
export const layer = (options: Options): Layer.Layer<BetStore, StoreOpenError> =>
  Layer.effect(BetStore, make(options))

/** The store behind a URL, to be read beside whoever writes it. */
export const layerReader = (options: Options): Layer.Layer<BetStoreReader, StoreOpenError> =>
  Layer.effect(BetStoreReader, makeReader(options))
