/** What an operator's command shows without `--yes`: what it would do, or why it would refuse. */
import { Effect } from "effect"
import { CliError } from "effect/cli"
import type { DrawId } from "../../domain/Draw.ts"
import { BetStoreReader } from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as StoredState from "./StoredState.ts"

/** The draw that a command acts on. */
export interface Target {
  readonly store: StoreUrl.StoreUrl
  readonly draw: DrawId
}

/** Reads the stored draw and the progress of its agencies. */
export const read = ({ draw, store }: Target) =>
  Effect.flatMap(BetStoreReader, (books) => StoredState.read(books, draw)).pipe(
    Effect.provide(StoreUrl.layerReader(store, draw))
  )

/** Fails with what the command would do and how to confirm it. */
export const askToConfirm = (act: string) =>
  Effect.fail(new CliError.ValidationError({ message: `this would ${act}; add --yes to do it` }))
