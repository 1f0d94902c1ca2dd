/** The settings of `lottery server` for its draw, and for where the winning number comes from. */
import { Duration, Effect, Option } from "effect"
import { CliError, type Command } from "effect/cli"
import { NumberFromDigits } from "../../../domain/Bet.ts"
import {
  DEFAULT_WINNING_NUMBER,
  Draw,
  type ExpectedAgencies,
  fixedNumber,
  type NumberSource,
  showTime
} from "../../../domain/Draw.ts"
import { roundAtOrAfter } from "../../../domain/seal/Quicknet.ts"
import { MIN_SEALING_SECONDS } from "../../../server/store/Closing.ts"
import * as Setting from "../Setting.ts"
import * as SettingText from "../SettingText.ts"
import * as sharedSettings from "../sharedSettings.ts"

const MILLIS = 1000
const DEFAULT_DELAY = Duration.minutes(5)
const MAX_DELAY = Duration.days(365)

export const settings = {
  draw: sharedSettings.optionalDraw,
  numberFrom: Setting.choice("number-from", "<source>", ["fixed", "announced", "drand"], {
    description:
      "Source of the winning number: --winning-number, lottery draw later, or a round of drand",
    default: "fixed"
  }),
  winningNumber: Setting.optional("winning-number", "<number>", {
    description: "Winning number of a draw whose number is fixed",
    schema: NumberFromDigits,
    shownDefault: String(DEFAULT_WINNING_NUMBER)
  }),
  closeAt: Setting.optional("close-at", "<time>", {
    description:
      "Time at which unfinished agencies are excluded, such as 2026-12-01T21:00:00-03:00",
    schema: SettingText.TimeFromText
  }),
  drawAt: Setting.optional("draw-at", "<time>", {
    description: "Time of the drand round that decides, at least a minute after --close-at",
    schema: SettingText.TimeFromText
  }),
  drawDelay: Setting.optional("draw-delay", "<duration>", {
    description: "Without --draw-at: time from the close of all books to the drand round",
    schema: SettingText.wholeSecondsTo(MAX_DELAY),
    shownDefault: SettingText.showDuration(DEFAULT_DELAY)
  }),
  drandUrl: Setting.optional("drand-url", "<url,...>", {
    description: "Servers to fetch the drand round from over HTTP",
    schema: SettingText.UrlListFromText,
    shownDefault: "public servers"
  })
}

type Given = Command.Command.Config.Infer<typeof settings>

const refuse = (message: string) => Effect.fail(new CliError.ValidationError({ message }))

/** Refuses settings that would be ignored. */
const ensureUsed = Effect.fnUntraced(function* (given: Given) {
  const { drandUrl, drawAt, drawDelay, numberFrom, winningNumber } = given
  const unused = {
    "winning-number": numberFrom !== "fixed" && Option.isSome(winningNumber),
    "draw-at": numberFrom !== "drand" && Option.isSome(drawAt),
    "draw-delay": numberFrom !== "drand" && Option.isSome(drawDelay),
    "drand-url": numberFrom !== "drand" && Option.isSome(drandUrl)
  }
  for (const [name, isUnused] of Object.entries(unused)) {
    if (isUnused) return yield* refuse(`${name} cannot be used with number-from ${numberFrom}`)
  }
  if (Option.isSome(drawAt) && Option.isSome(drawDelay)) {
    return yield* refuse("draw-at and draw-delay cannot be used together")
  }
})

/** A late close would leave no time to seal the draw before its round is published. */
const ensureSealable = ({ closeAt, drawAt }: Given) => {
  if (Option.isNone(drawAt)) return Effect.void
  const latest = drawAt.value - MILLIS * MIN_SEALING_SECONDS
  return Option.exists(closeAt, (time) => time <= latest)
    ? Effect.void
    : refuse("draw-at needs a close-at that is at least a minute earlier")
}

const sourceOf = ({ drawAt, numberFrom, ...given }: Given): NumberSource => {
  switch (numberFrom) {
    case "fixed":
      return fixedNumber(Option.getOrElse(given.winningNumber, () => DEFAULT_WINNING_NUMBER))
    case "announced":
      return { _tag: "announced" }
    case "drand": {
      if (Option.isSome(drawAt)) {
        return { _tag: "drand", at: { round: roundAtOrAfter(drawAt.value / MILLIS) } }
      }
      const delay = Option.getOrElse(given.drawDelay, () => DEFAULT_DELAY)
      return { _tag: "drand", at: { delaySeconds: Duration.toSeconds(delay) } }
    }
  }
}

/** Checks the settings together, and returns the draw to open; its seal key is still missing. */
export const read = Effect.fnUntraced(function* (agencies: ExpectedAgencies, given: Given) {
  yield* ensureUsed(given)
  yield* ensureSealable(given)
  return new Draw({
    id: Option.getOrElse(given.draw, () => sharedSettings.DEFAULT_DRAW),
    agencies,
    source: sourceOf(given),
    ...(Option.isSome(given.closeAt) && { closeAt: given.closeAt.value })
  })
})

/** What the log says about the draw. */
export const fieldsOf = ({ closeAt, id, sealKey, source }: Draw, { drawAt }: Given) => ({
  draw: id,
  number_from: source._tag,
  winning_number: source._tag === "fixed" ? source.number : undefined,
  close_at: closeAt === undefined ? undefined : showTime(closeAt),
  draw_at: Option.getOrUndefined(Option.map(drawAt, showTime)),
  draw_delay:
    source._tag === "drand" && "delaySeconds" in source.at
      ? SettingText.showDuration(Duration.seconds(source.at.delaySeconds))
      : undefined,
  seal_vkey: sealKey
})
