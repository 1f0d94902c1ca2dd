/** `lottery draw`: announces the winning number, or its drand round, once every book is closed. */
import { Effect, Option } from "effect"
import { CliError, Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { NumberFromDigits } from "../../domain/Bet.ts"
import { FileUnavailable } from "../../domain/FileUnavailable.ts"
import type { Beacon } from "../../domain/seal/Quicknet.ts"
import { parseBeacon } from "../../protocol/notes/BeaconFile.ts"
import * as ControlClient from "../../server/operator/control/ControlClient.ts"
import * as NumberActs from "../../server/operator/control/NumberActs.ts"
import { progressIn } from "../../server/store/BetStore.ts"
import { planStep } from "../../server/store/embedded/DrawSteps.ts"
import { NotAllFinished, NotSealed, OtherNumber } from "../../server/store/StoredDraw.ts"
import * as ActPreview from "../files/ActPreview.ts"
import { readText } from "../files/WholeFile.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

/** What the operator gives: the number itself, or the round that it follows from. */
type Given = { readonly winningNumber: number } | { readonly beacon: Beacon }

const preview = Effect.fnUntraced(function* (target: ActPreview.Target, given: Given) {
  const { draw, progress } = yield* ActPreview.read(target)
  const stored = Option.fromUndefinedOr(draw)
  const beacon = "beacon" in given ? given.beacon : undefined
  const winningNumber =
    "beacon" in given
      ? yield* NumberActs.checkBeacon(target.draw, stored, given.beacon)
      : yield* Effect.as(NumberActs.checkNumber(stored), given.winningNumber)
  const step = { kind: "recordNumber", winningNumber, beacon } as const
  // The digest of a book counts only when its entry of the seal is recorded.
  const { outcome } = planStep(step, draw, progressIn(progress), () => undefined)
  if (outcome.kind === "missing") return yield* new NotAllFinished({ missing: outcome.agencies })
  if (outcome.kind === "notSealed") return yield* new NotSealed()
  if (outcome.kind === "otherNumber") {
    return yield* new OtherNumber({ winningNumber: outcome.winningNumber })
  }
  const from = beacon === undefined ? "" : `, which follows from round ${beacon.round} of drand,`
  return yield* ActPreview.askToConfirm(
    `announce ${winningNumber}${from} as the winning number, which cannot be changed afterwards`
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
  beacon: Setting.optional("beacon", "<file>", {
    description: "JSON file with the drand round that decides, if the server has no internet",
    schema: SettingText.Text,
    flagOnly: true
  }),
  yes: Setting.flag("yes", "Announce the number; without this flag, only show what would be done")
}

const readBeacon = Effect.fnUntraced(function* (file: string) {
  const parsed = Effect.fromResult(parseBeacon(yield* readText(file)))
  return yield* Effect.mapError(parsed, (reason) => new FileUnavailable({ file, reason }))
})

const read = Effect.fnUntraced(function* ({
  beacon,
  number
}: Pick<Command.Command.Config.Infer<typeof settings>, "beacon" | "number">) {
  const refuse = (message: string) => Effect.fail(new CliError.ValidationError({ message }))
  if (Option.isNone(beacon)) {
    return Option.isSome(number)
      ? ({ winningNumber: number.value } satisfies Given)
      : yield* refuse("number is missing: use the flag --number, or --beacon with a drand round")
  }
  if (Option.isSome(number)) return yield* refuse("expected either --number or --beacon, not both")
  return { beacon: yield* readBeacon(beacon.value) } satisfies Given
})

const announce = ({ draw, store }: ActPreview.Target, given: Given) =>
  ControlClient.act(store, draw, (control) =>
    "beacon" in given
      ? control.AnnounceBeacon({ draw, ...given.beacon })
      : Effect.as(control.Announce({ draw, ...given }), given.winningNumber)
  )

export const draw = Command.make(
  "draw",
  settings,
  Effect.fnUntraced(function* ({ beacon, draw, number, store, yes }) {
    const given = yield* read({ beacon, number })
    if (!yes) return yield* preview({ store, draw }, given)
    const winningNumber = yield* announce({ store, draw }, given)
    yield* logAction("number_announced", "success", {
      winning_number: winningNumber,
      round: "beacon" in given ? given.beacon.round : undefined,
      hint: "a running server holds the draw, or the next one that starts; then see lottery winners"
    })
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery draw --store sqlite:lottery.db --number 1234 --yes",
      description: "Announce 1234 as the winning number of a draw with --number-from announced"
    },
    {
      command: "lottery draw --store sqlite:lottery.db --beacon round.json --yes",
      description: "Announce the number that follows from a round of drand that was saved elsewhere"
    }
  ])
)
