/** What an operator's command shows without `--yes`: what it would do, or why it would refuse. */
import { Effect, Option } from "effect"
import { CliError } from "effect/cli"
import type { Agency } from "../../domain/Agency.ts"
import { BetStoreReader, NO_PROGRESS } from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"

/** The draw that a command acts on. */
export interface Target {
  readonly store: StoreUrl.StoreUrl
  readonly draw: string
}

/** Reads the stored draw and the progress of its agencies. */
export const read = Effect.fnUntraced(function* ({ draw, store }: Target) {
  const look = Effect.flatMap(BetStoreReader, (books) =>
    Effect.all({ draw: books.draw, progress: books.progress })
  )
  const found = yield* Effect.provide(look, StoreUrl.layerReader(store, draw))
  return {
    draw: Option.getOrUndefined(found.draw),
    progressOf: (agency: Agency) => found.progress.get(agency) ?? NO_PROGRESS
  }
})

/** Fails with what the command would do and how to confirm it. */
export const askToConfirm = (act: string) =>
  Effect.fail(new CliError.ValidationError({ message: `this would ${act}; add --yes to do it` }))
