/** `lottery draw`: announces the winning number once every book is closed. */
import { Effect, Option } from "effect"
import { CliError, Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { NumberFromDigits } from "../../domain/Bet.ts"
import * as ControlClient from "../../server/operator/control/ControlClient.ts"
import { progressIn } from "../../server/store/BetStore.ts"
import { planStep } from "../../server/store/embedded/DrawSteps.ts"
import { NotAllFinished, OtherNumber } from "../../server/store/StoredDraw.ts"
import * as ActPreview from "../files/ActPreview.ts"
import * as Setting from "../settings/Setting.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const preview = Effect.fnUntraced(function* (target: ActPreview.Target, winningNumber: number) {
  const { draw, progress } = yield* ActPreview.read(target)
  const step = { kind: "recordNumber", winningNumber } as const
  const { outcome } = planStep(step, draw, progressIn(progress))
  if (outcome.kind === "missing") return yield* new NotAllFinished({ missing: outcome.agencies })
  if (outcome.kind === "otherNumber") {
    return yield* new OtherNumber({ winningNumber: outcome.winningNumber })
  }
  return yield* ActPreview.askToConfirm(
    `announce ${winningNumber} as the winning number, which cannot be changed afterwards`
  )
})

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  number: Setting.optional("number", "<number>", {
    description: "Winning number, 1 to 4 digits",
    schema: NumberFromDigits,
    // In the environment it is the number of a bet.
    flagOnly: true
  }),
  yes: Setting.flag("yes", "Announce the number; without this flag, only show what would be done")
}

export const draw = Command.make(
  "draw",
  settings,
  Effect.fnUntraced(function* ({ draw, number, store, yes }) {
    const winningNumber = Option.getOrUndefined(number)
    if (winningNumber === undefined) {
      const message = "number is missing: use the flag --number"
      return yield* new CliError.ValidationError({ message })
    }
    if (!yes) return yield* preview({ store, draw }, winningNumber)
    yield* ControlClient.act(store, draw, (control) => control.Announce({ draw, winningNumber }))
    yield* logAction("number_announced", "success", {
      winning_number: winningNumber,
      hint: "a running server holds the draw, or the next one that starts; then see lottery winners"
    })
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery draw --store sqlite:lottery.db --number 1234 --yes",
      description: "Announce 1234 as the winning number of a draw with --number-from announced"
    }
  ])
)
