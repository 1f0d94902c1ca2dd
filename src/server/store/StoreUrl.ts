/**
 * Where bets are kept, as a person says it: `sqlite:lottery.db` or `csv:bets.csv`.
 * An error never shows more of a URL than its scheme, for what follows may hold a password.
 */
import { Effect, type Layer, Schema, SchemaIssue, SchemaTransformation } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetStore, BetStoreReader, StoreOpenError } from "../BetStore.ts"
import * as CsvStore from "./CsvStore.ts"
import type { DiscardFailure } from "./DiscardRequest.ts"
import * as SqliteStore from "./SqliteStore.ts"

const EXPECTED = "expected sqlite:FILE or csv:FILE"

const SqliteUrl = Schema.TaggedStruct("sqlite", { path: Schema.NonEmptyString })
const CsvUrl = Schema.TaggedStruct("csv", { path: Schema.NonEmptyString })

/** Which store, and where. */
export const StoreUrl = Schema.Union([SqliteUrl, CsvUrl])
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

/** A store's URL as text. */
export const StoreUrlFromText = Schema.String.pipe(
  Schema.decodeTo(
    StoreUrl,
    SchemaTransformation.transformEffect<StoreUrl, string>({
      decode: (text, options) => {
        const [, scheme, path] = SCHEME.exec(text) ?? []
        if (path && (scheme === "sqlite" || scheme === "csv")) {
          return Effect.succeed({ _tag: scheme, path })
        }
        // The issue keeps no input: whoever prints it would print a password with it.
        return Effect.fail(
          new SchemaIssue.InvalidValue({ message: problem(text) }, undefined, options)
        )
      },
      encode: (url) => Effect.succeed(show(url))
    })
  )
)

/** The URL as text, fit to be shown. */
export const show = (url: StoreUrl): string => `${url._tag}:${url.path}`

/** The store behind a URL, for the one who writes it. */
export const layer = (url: StoreUrl, drawId: string): Layer.Layer<BetStore, StoreOpenError> => {
  switch (url._tag) {
    case "sqlite":
      return SqliteStore.layer(url.path, drawId)
    case "csv":
      return CsvStore.layer(url.path, drawId)
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
  }
}

/**
 * Drops the book of an agency from the store behind a URL, before the draw, also beside a server;
 * a store that is not there is not made. Gives how many bets were dropped.
 */
export const discard = (
  { _tag, path }: StoreUrl,
  drawId: string,
  agency: Agency
): Effect.Effect<number, DiscardFailure> => {
  switch (_tag) {
    case "sqlite":
      return SqliteStore.discard({ path, drawId }, agency)
    case "csv":
      return CsvStore.discard({ path, drawId }, agency)
  }
}
