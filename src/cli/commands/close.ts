/** `lottery close`: lets the draw go without stragglers, or moves the time at which it does. */
import { Clock, Effect, Option } from "effect"
import { CliError, Command } from "effect/cli"
import { logAction } from "../../domain/ActionLog.ts"
import { type ExpectedAgencies, nameAgencies, showTime } from "../../domain/Draw.ts"
import * as ControlClient from "../../server/operator/control/ControlClient.ts"
import { progressIn } from "../../server/store/BetStore.ts"
import { closeProblem, exclusionsOf } from "../../server/store/Closing.ts"
import { CloseNotMoved, NotExcluded } from "../../server/store/StoredDraw.ts"
import * as ActPreview from "../files/ActPreview.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

const nothingToExclude = (agencies: ExpectedAgencies) => {
  const verb = agencies.length === 1 ? "was" : "were"
  const hint = `${nameAgencies(agencies)} ${verb} excluded before`
  return logAction("agency_excluded", "success", { cantidad: 0, hint })
}

const previewExclusion = Effect.fnUntraced(function* (
  target: ActPreview.Target,
  agencies: ExpectedAgencies
) {
  const { draw, progress } = yield* ActPreview.read(target)
  const exclusions = exclusionsOf(draw, progressIn(progress), agencies)
  if ("why" in exclusions) return yield* new NotExcluded(exclusions)
  if (exclusions.length === 0) return yield* nothingToExclude(agencies)
  const books = exclusions.map(({ agency, bets }) => `agency ${agency} (${bets} stored bets)`)
  return yield* ActPreview.askToConfirm(
    `exclude ${books.join(", ")} from the draw, which cannot be undone`
  )
})

const exclude = Effect.fnUntraced(function* (
  target: ActPreview.Target,
  agencies: ExpectedAgencies
) {
  const excluded = yield* ControlClient.act(target.store, target.draw, (control) =>
    control.Exclude({ draw: target.draw, agencies })
  )
  for (const { agency, bets } of excluded) {
    yield* logAction("agency_excluded", "success", { agencia: agency, cantidad: bets })
  }
  if (excluded.length === 0) yield* nothingToExclude(agencies)
})

const show = (closesAt: number | undefined): string =>
  closesAt === undefined ? SettingText.NEVER : showTime(closesAt)

const previewMove = Effect.fnUntraced(function* (
  target: ActPreview.Target,
  closesAt: number | undefined
) {
  const now = yield* Clock.currentTimeMillis
  const { draw } = yield* ActPreview.read(target)
  const problem = closeProblem(draw, closesAt, now)
  if (problem !== undefined) return yield* new CloseNotMoved(problem)
  const change = `move the close time of the draw from ${show(draw?.closesAt)} to ${show(closesAt)}`
  return yield* ActPreview.askToConfirm(change)
})

const move = Effect.fnUntraced(function* (target: ActPreview.Target, closesAt: number | undefined) {
  yield* ControlClient.act(target.store, target.draw, (control) =>
    control.MoveClose({ draw: target.draw, closesAt: closesAt ?? null })
  )
  yield* logAction("close_moved", "success", { closes_at: show(closesAt) })
})

/** A time that has passed would exclude agencies without naming them. */
const ensureFuture = Effect.fnUntraced(function* (at: number | typeof SettingText.NEVER) {
  if (at === SettingText.NEVER) return undefined
  if (at > (yield* Clock.currentTimeMillis)) return at
  const message = `--at ${showTime(at)} has passed; to exclude agencies now, use --without`
  return yield* new CliError.ValidationError({ message })
})

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.draw,
  without: Setting.optional("without", "<agencies>", {
    description: 'Agencies to exclude, such as "3" or "3,5"',
    schema: SettingText.AgencyListFromText,
    flagOnly: true
  }),
  at: Setting.optional("at", "<time>", {
    description: "New close time, such as 2026-12-01T21:00:00-03:00, or never",
    schema: SettingText.TimeOrNever,
    flagOnly: true
  }),
  yes: Setting.flag("yes", "Make the change; without this flag, only show what it would be")
}

export const close = Command.make(
  "close",
  settings,
  Effect.fnUntraced(function* ({ at, draw, store, without, yes }) {
    const target = { store, draw }
    if (Option.isSome(without) === Option.isSome(at)) {
      const message = "expected either --without with agencies, or --at with a time"
      return yield* new CliError.ValidationError({ message })
    }
    if (Option.isSome(without)) {
      const run = yes ? exclude : previewExclusion
      return yield* run(target, without.value)
    }
    const closesAt = yield* ensureFuture(Option.getOrThrow(at))
    const run = yes ? move : previewMove
    return yield* run(target, closesAt)
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery close --store sqlite:lottery.db --without 3,5 --yes",
      description: "Hold the draw without agencies 3 and 5, which have not finished"
    }
  ])
)
