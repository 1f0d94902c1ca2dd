/** `lottery seal`: writes the seal of a draw, which proves what its books contain. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { showSealFile } from "../../protocol/notes/SealFile.ts"
import * as DrawEvidence from "../files/DrawEvidence.ts"
import * as Setting from "../settings/Setting.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  out: Setting.file("out", "File to write; standard output without this flag")
}

export const seal = Command.make(
  "seal",
  settings,
  Effect.fnUntraced(function* ({ draw, out, store }) {
    const { entries, seal: note } = yield* DrawEvidence.read({ store, draw })
    if (entries === undefined || note === undefined) {
      return yield* new DrawEvidence.NoEvidence({ drawId: draw, why: "unsealed" })
    }
    yield* DrawEvidence.write(showSealFile({ entries, note }), out)
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery seal --store sqlite:lottery.db --draw sunday --out sunday.seal",
      description: "Write the seal of a draw, even while a server is running"
    }
  ])
)
