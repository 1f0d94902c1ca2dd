/**
 * Where bets are kept, as a person says it: `sqlite:lottery.db`, `csv:bets.csv` or
 * `postgres://user@host/database`. An error never shows more of a URL than its scheme, for what
 * follows may hold a password.
 */
import { Effect, Layer, Result, Schema, SchemaIssue, SchemaTransformation } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetStore, BetStoreReader, StoreOpenError } from "./BetStore.ts"
import * as CsvStore from "./csv/CsvStore.ts"
import type { DiscardFailure } from "./embedded/DiscardRequest.ts"
import type * as PostgresStore from "./postgres/PostgresStore.ts"
import { parsePostgresUrl, showPostgresUrl } from "./postgres/PostgresUrl.ts"
import * as SqliteStore from "./sqlite/SqliteStore.ts"

const EXPECTED = "expected sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE"

const SqliteUrl = Schema.TaggedStruct("sqlite", { path: Schema.NonEmptyString })
const CsvUrl = Schema.TaggedStruct("csv", { path: Schema.NonEmptyString })
const PostgresUrl = Schema.TaggedStruct("postgres", { url: Schema.Redacted(Schema.String) })

/** Which store, and where. */
export const StoreUrl = Schema.Union([SqliteUrl, CsvUrl, PostgresUrl])
export type StoreUrl = typeof StoreUrl.Type

/** Where bets are kept unless another place is asked for. */
export const defaultStore: StoreUrl = { _tag: "sqlite", path: "lottery.db" }

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s

const problem = (text: string): string => {
  const [, scheme, path] = SCHEME.exec(text) ?? []
  if (scheme === undefined) return `${EXPECTED}, got no scheme`
  if (path === "") return `${EXPECTED}, got no file after ${scheme}:`
  return `${EXPECTED}, got the scheme ${scheme}:`
}

const parse = (text: string): Result.Result<StoreUrl, string> => {
  const [, scheme, path] = SCHEME.exec(text) ?? []
  if (scheme === "postgres" || scheme === "postgresql") {
    return Result.map(parsePostgresUrl(text), (url) => ({ _tag: "postgres", url }))
  }
  if (path && (scheme === "sqlite" || scheme === "csv")) {
    return Result.succeed({ _tag: scheme, path })
  }
  return Result.fail(problem(text))
}

/** A store's URL as text. */
export const StoreUrlFromText = Schema.String.pipe(
  Schema.decodeTo(
    Schema.toType(StoreUrl),
    SchemaTransformation.transformEffect<StoreUrl, string>({
      decode: (text, options) =>
        Result.match(parse(text), {
          onSuccess: Effect.succeed,
          // The issue keeps no input: whoever prints it would print a password with it.
          onFailure: (message) =>
            Effect.fail(new SchemaIssue.InvalidValue({ message }, undefined, options))
        }),
      encode: (url) => Effect.succeed(show(url))
    })
  )
)

/** The URL as text, fit to be shown. */
export const show = (url: StoreUrl): string =>
  url._tag === "postgres" ? showPostgresUrl(url.url) : `${url._tag}:${url.path}`

/** PostgreSQL's client takes time to load, which who uses another store need not wait for. */
const loadPostgresStore = Effect.promise(() => import("./postgres/PostgresStore.ts"))

const postgresOptions = (url: typeof PostgresUrl.Type, drawId: string): PostgresStore.Options => ({
  url: url.url,
  shown: show(url),
  drawId
})

/** The store behind a URL, for the one who writes it. */
export const layer = (url: StoreUrl, drawId: string): Layer.Layer<BetStore, StoreOpenError> => {
  switch (url._tag) {
    case "sqlite":
      return SqliteStore.layer(url.path, drawId)
    case "csv":
      return CsvStore.layer(url.path, drawId)
    case "postgres":
      return Layer.unwrap(
        Effect.map(loadPostgresStore, ({ layer }) => layer(postgresOptions(url, drawId)))
      )
  }
}

/** The store behind a URL, for someone who reads it beside whoever writes it. */
export const layerReader = (
  url: StoreUrl,
  drawId: string
): Layer.Layer<BetStoreReader, StoreOpenError> => {
  switch (url._tag) {
    case "sqlite":
      return SqliteStore.layerReader(url.path, drawId)
    case "csv":
      return CsvStore.layerReader(url.path, drawId)
    case "postgres":
      return Layer.unwrap(
        Effect.map(loadPostgresStore, ({ layerReader }) =>
          layerReader(postgresOptions(url, drawId))
        )
      )
  }
}

/**
 * Drops the book of an agency from the store behind a URL, before the draw, also beside a server;
 * a store that is not there is not made. Gives how many bets were dropped.
 */
export const discard = (
  url: StoreUrl,
  drawId: string,
  agency: Agency
): Effect.Effect<number, DiscardFailure> => {
  switch (url._tag) {
    case "sqlite":
      return SqliteStore.discard({ path: url.path, drawId }, agency)
    case "csv":
      return CsvStore.discard({ path: url.path, drawId }, agency)
    case "postgres":
      return Effect.flatMap(loadPostgresStore, ({ discard }) =>
        discard(postgresOptions(url, drawId), agency)
      )
  }
}
