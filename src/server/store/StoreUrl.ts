/**
 * The URL of a store: `sqlite:lottery.db`, `csv:bets.csv` or `postgres://user@host/database`.
 * Errors show only its scheme, because the rest may contain a password.
 */
import {
  Context,
  Effect,
  Layer,
  Option,
  Result,
  Schema,
  SchemaIssue,
  SchemaTransformation,
  type Scope
} from "effect"
import { BetStore, BetStoreReader, type StoreOpenError, type StoreUnavailable } from "./BetStore.ts"
import * as CsvReader from "./csv/CsvReader.ts"
import * as CsvStore from "./csv/CsvStore.ts"
import { lock } from "./embedded/StoreLock.ts"
import { parsePostgresUrl, showPostgresUrl } from "./postgres/PostgresUrl.ts"
import * as SqliteStore from "./sqlite/SqliteStore.ts"

const EXPECTED = "expected sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE"

export const StoreUrl = Schema.Union([
  Schema.TaggedStruct("sqlite", { path: Schema.NonEmptyString }),
  Schema.TaggedStruct("csv", { path: Schema.NonEmptyString }),
  Schema.TaggedStruct("postgres", { url: Schema.Redacted(Schema.String) })
])
export type StoreUrl = typeof StoreUrl.Type

export const defaultStore: StoreUrl = { _tag: "sqlite", path: "lottery.db" }

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s

const parse = (text: string): Result.Result<StoreUrl, string> => {
  const [, scheme, path] = SCHEME.exec(text) ?? []
  if (scheme === "postgres" || scheme === "postgresql") {
    return Result.map(parsePostgresUrl(text), (url) => ({ _tag: "postgres", url }))
  }
  if (scheme === undefined) return Result.fail(`${EXPECTED}, got no scheme`)
  if (!path) return Result.fail(`${EXPECTED}, got no file after ${scheme}:`)
  return scheme === "sqlite" || scheme === "csv"
    ? Result.succeed({ _tag: scheme, path })
    : Result.fail(`${EXPECTED}, got the scheme ${scheme}:`)
}

export const StoreUrlFromText = Schema.String.pipe(
  Schema.decodeTo(
    Schema.toType(StoreUrl),
    SchemaTransformation.transformEffect<StoreUrl, string>({
      decode: (text, options) =>
        Result.match(parse(text), {
          onSuccess: Effect.succeed,
          // Without the input, which may contain a password: issues are printed.
          onFailure: (message) =>
            Effect.fail(new SchemaIssue.InvalidValue({ message }, undefined, options))
        }),
      encode: (url) => Effect.succeed(show(url))
    })
  )
)

/** Returns the URL as text, without a password. */
export const show = (url: StoreUrl): string =>
  url._tag === "postgres" ? showPostgresUrl(url.url) : `${url._tag}:${url.path}`

const EMBEDDED = {
  sqlite: SqliteStore,
  csv: {
    open: CsvStore.open,
    makeExisting: CsvStore.makeExisting,
    makeReader: CsvReader.makeReader,
    listDraws: CsvReader.listDraws
  }
}

/** Loaded on demand: PostgreSQL's client is slow to load. */
const loadPostgresStore = Effect.promise(() => import("./postgres/PostgresStore.ts"))

/** A store whose lock this process holds; any number of servers may open PostgreSQL. */
export class LockedStore extends Context.Service<
  LockedStore,
  {
    /** The canonical path of an embedded store. */
    readonly path: Option.Option<string>
    /** Opens the store for writing and creates it if it does not exist. */
    readonly open: (
      drawId: string
    ) => Effect.Effect<BetStore["Service"], StoreOpenError, Scope.Scope>
  }
>()("lottery/server/LockedStore") {}

/** Locks the store at a URL, so that files next to it can be used before it is opened. */
export const layerLock = (url: StoreUrl): Layer.Layer<LockedStore, StoreOpenError> =>
  Layer.effect(
    LockedStore,
    url._tag === "postgres"
      ? Effect.map(loadPostgresStore, ({ make }) => ({
          path: Option.none(),
          open: (drawId: string) => make({ url: url.url, drawId })
        }))
      : Effect.map(lock(url.path), (path) => ({
          path: Option.some(path),
          open: (drawId: string) => EMBEDDED[url._tag].open({ path: url.path, drawId }, path)
        }))
  )

/** The locked store, opened for writing. */
export const layerLocked = (drawId: string): Layer.Layer<BetStore, StoreOpenError, LockedStore> =>
  Layer.effect(
    BetStore,
    Effect.flatMap(LockedStore, ({ open }) => open(drawId))
  )

/** The store at a URL, locked, opened for writing and created if it does not exist. */
export const layer = (url: StoreUrl, drawId: string): Layer.Layer<BetStore, StoreOpenError> =>
  Layer.provide(layerLocked(drawId), layerLock(url))

/** The store at a URL, opened for reading, even while a server writes it. */
export const layerReader = (
  url: StoreUrl,
  drawId: string
): Layer.Layer<BetStoreReader, StoreOpenError> =>
  Layer.effect(
    BetStoreReader,
    url._tag === "postgres"
      ? Effect.flatMap(loadPostgresStore, ({ makeReader }) => makeReader({ url: url.url, drawId }))
      : EMBEDDED[url._tag].makeReader({ path: url.path, drawId })
  )

/** Lists the draws of a store, oldest first. */
export const listDraws = (
  url: StoreUrl
): Effect.Effect<ReadonlyArray<string>, StoreOpenError | StoreUnavailable> =>
  url._tag === "postgres"
    ? Effect.flatMap(loadPostgresStore, (store) => store.listDraws(url.url))
    : EMBEDDED[url._tag].listDraws(url.path)

/** What a command of an operator may need of a store. */
export type OperatorWrites = Pick<
  BetStore["Service"],
  "draw" | "discard" | "exclude" | "moveClose" | "recordNumber"
>

/** Opens an existing store for an operator, locked if it is an embedded one. */
export const makeExisting = (
  url: StoreUrl,
  drawId: string
): Effect.Effect<OperatorWrites, StoreOpenError, Scope.Scope> =>
  url._tag === "postgres"
    ? Effect.flatMap(loadPostgresStore, (store) => store.makeExisting({ url: url.url, drawId }))
    : EMBEDDED[url._tag].makeExisting({ path: url.path, drawId })
