/** `lottery result`: writes the signed result of a sealed draw. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import * as DrawEvidence from "../files/DrawEvidence.ts"
import * as Setting from "../settings/Setting.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  out: Setting.file("out", "File to write; standard output without this flag")
}

export const result = Command.make(
  "result",
  settings,
  Effect.fnUntraced(function* ({ draw, out, store }) {
    const { result: note } = yield* DrawEvidence.read({ store, draw })
    if (note === undefined) {
      return yield* new DrawEvidence.NoEvidence({ drawId: draw, why: "unsigned" })
    }
    yield* DrawEvidence.write(note, out)
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery result --store sqlite:lottery.db --draw sunday --out sunday.result",
      description: "Write the winning number and the winners of each book, signed by the operator"
    }
  ])
)
