/** `lottery discard`: discards an agency's stored book, so that a corrected one can be sent. */
import { Effect, Option } from "effect"
import { CliError, Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import * as ControlClient from "../../server/operator/ControlClient.ts"
import { BetStoreReader, DrawAlreadyHeld } from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as StoredAgency from "../files/StoredAgency.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

/** Fails with what would be discarded and how to confirm it, or as the discard itself would. */
const askToConfirm = Effect.fnUntraced(function* (
  store: StoreUrl.StoreUrl,
  draw: string,
  agency: Agency
) {
  const look = Effect.gen(function* () {
    const { draw: stored } = yield* BetStoreReader
    return { stored: yield* stored, progress: yield* StoredAgency.progressOf(store, agency) }
  })
  const { progress, stored } = yield* Effect.provide(look, StoreUrl.layerReader(store, draw))
  if (Option.exists(stored, ({ recorded }) => recorded)) {
    return yield* new DrawAlreadyHeld({ agency, drawId: draw })
  }
  const { bets, finished } = progress
  const book = `the ${finished ? "finished " : ""}book of agency ${agency} with ${bets} bets`
  return yield* new CliError.ValidationError({
    message: `this would discard ${book} from ${StoreUrl.show(store)}; add --yes to do it`
  })
})

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  agency: Setting.required("agency", "<number>", {
    description: "Agency whose book is discarded",
    schema: SettingText.AgencyFromText
  }),
  yes: Setting.flag("yes", "Discard the book; without this flag, only show what would be discarded")
}

export const discard = Command.make(
  "discard",
  settings,
  Effect.fnUntraced(function* ({ agency, draw, store, yes }) {
    if (!yes) return yield* askToConfirm(store, draw, agency)
    const bets = yield* ControlClient.act(store, draw, (control, to) =>
      control.Discard({ ...to, agency })
    )
    if (bets === 0) {
      const reader = StoreUrl.layerReader(store, draw)
      yield* Effect.provide(StoredAgency.progressOf(store, agency), reader)
    }
    const hint = bets === 0 ? "this agency had no stored bets" : undefined
    yield* logAction("book_discarded", "success", { agencia: agency, cantidad: bets, hint })
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery discard --store sqlite:lottery.db --agency 3 --yes",
      description: "Discard the book of agency 3, even while a server is running"
    }
  ])
)
