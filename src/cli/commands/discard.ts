/** `lottery discard`: discards an agency's stored book, so that a corrected one can be sent. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import * as ControlClient from "../../server/operator/control/ControlClient.ts"
import { keptBecause } from "../../server/store/Closing.ts"
import { BookKept } from "../../server/store/StoredDraw.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as ActPreview from "../files/ActPreview.ts"
import * as StoredState from "../files/StoredState.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

/** Fails with what would be discarded and how to confirm it, or as the discard itself would. */
const preview = Effect.fnUntraced(function* (target: ActPreview.Target, agency: Agency) {
  const state = yield* ActPreview.read(target)
  const progress = yield* StoredState.progressOf(state, agency)
  const because = keptBecause(state.draw, progress)
  if (because !== undefined) return yield* new BookKept({ agency, drawId: state.id, because })
  const { bets, finished } = progress
  const book = `the ${finished ? "finished " : ""}book of agency ${agency} with ${bets} bets`
  return yield* ActPreview.askToConfirm(`discard ${book} from ${StoreUrl.show(target.store)}`)
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
    if (!yes) return yield* preview({ store, draw }, agency)
    const act = randomUUID()
    const bets = yield* ControlClient.act(store, draw, (control) =>
      control.Discard({ draw, agency, act })
    )
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
