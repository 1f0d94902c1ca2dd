/** `lottery status`: shows the draw and the progress of each agency. */
import { Clock, Console, Duration, Effect, Schedule, Stdio, Stream } from "effect"
import { CliError, Command } from "effect/cli"
import * as DrawStanding from "../../server/operator/DrawStanding.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import * as ActPreview from "../files/ActPreview.ts"
import * as StandingLook from "../files/StandingLook.ts"
import * as Screen from "../log/Screen.ts"
import { drawTable, standingLines, WHOLE } from "../log/StandingText.ts"
import { fulfilled } from "../process/Purpose.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as StoreSetting from "../settings/StoreSetting.ts"
import * as sharedSettings from "../settings/sharedSettings.ts"

/** How often the screen is drawn, if there is something new such as the seconds of a countdown. */
const DRAW_PERIOD = "250 millis"

const NO_SERVER = "no server answers; the store was read"

type Look = Effect.Success<ReturnType<typeof StandingLook.make>>

/** Waits until the output has taken a line. */
const print = Effect.fnUntraced(function* (line: string) {
  const { stdout } = yield* Stdio.Stdio
  yield* Stream.run(Stream.succeed(`${line}\n`), stdout({ endOnDone: false }))
})

/** Redraws the screen until the command is interrupted, which leaves the last standing. */
const watchOnScreen = Effect.fnUntraced(function* (
  screen: Screen.Screen,
  target: ActPreview.Target,
  look: Look,
  every: Duration.Duration
) {
  let last = yield* look
  let failure: string | undefined
  const isEmbedded = target.store._tag !== "postgres"
  const noteOf = () => failure ?? (isEmbedded && !last.isServed ? NO_SERVER : undefined)
  const linesAt = (at: number) => {
    const { columns: width, rows: height } = screen
    return standingLines(last.standing, { id: target.draw, at, width, height, note: noteOf() })
  }
  const draw = Effect.map(Clock.currentTimeMillis, (at) => screen.show(linesAt(at)))
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      screen.leave()
      return Console.log(linesAt(last.standing.at).join("\n"))
    })
  )
  yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced(DRAW_PERIOD)))
  const tick = Effect.match(look, {
    onSuccess: (found) => {
      last = found
      failure = undefined
    },
    onFailure: ({ message }) => {
      failure = `trying again: ${message}`
    }
  })
  yield* Effect.forever(Effect.delay(tick, every))
}, Effect.scoped)

/** Prints a line for each look until the command is interrupted. */
const watchInLines = Effect.fnUntraced(function* (look: Look, every: Duration.Duration) {
  const line = Effect.flatMap(look, ({ standing }) => print(JSON.stringify(standing)))
  yield* line
  // What is unavailable now may be there at the next look.
  const tick = Effect.catchTag(line, ["StoreOpenError", "StoreUnavailable"], ({ message }) =>
    Effect.logWarning(`${message}; trying again`)
  )
  yield* Effect.forever(Effect.delay(tick, every))
})

const showAll = Effect.fnUntraced(function* (store: StoreUrl.StoreUrl, json: boolean) {
  const draws: Array<{ readonly id: string; readonly standing: DrawStanding.DrawStanding }> = []
  for (const id of yield* StoreUrl.listDraws(store)) {
    const stored = yield* ActPreview.read({ store, draw: id })
    const at = yield* Clock.currentTimeMillis
    draws.push({ id, standing: DrawStanding.make(stored, at, () => DrawStanding.NOT_LIVE) })
  }
  if (!json) return yield* print(drawTable(draws).join("\n"))
  const shown = draws.map(({ id, standing: { draw, total } }) => ({ id, draw, total }))
  yield* print(JSON.stringify({ draws: shown }))
})

export const settings = {
  store: StoreSetting.store,
  draw: sharedSettings.drawWhenUsed,
  json: Setting.flag("json", "Print one JSON object instead of a table"),
  missing: Setting.flag("missing", "Show only the agencies that the draw waits for"),
  watch: Setting.flag("watch", "Refresh until Ctrl-C; when piped, print one JSON object per line"),
  every: Setting.whenUsed("every", "<duration>", {
    description: "Interval of --watch",
    schema: SettingText.SomeTime,
    default: Duration.seconds(2),
    shownDefault: "2s"
  }),
  all: Setting.flag("all", "Show every draw of the store, one line each"),
  verify: Setting.flag(
    "verify",
    "Read all finished books again; fail if one is not what was stored or sealed"
  )
}

type Given = Command.Command.Config.Infer<typeof settings>

/** Refuses settings that would be ignored. */
const ensureUsed = Effect.fnUntraced(function* (given: Given) {
  const { all, draw, every, missing, verify, watch } = given
  const refuse = (message: string) => Effect.fail(new CliError.ValidationError({ message }))
  if (every.hasFlag && !watch) return yield* refuse("--every needs --watch")
  const others = { "--missing": missing, "--watch": watch }
  const used = (flags: Readonly<Record<string, boolean>>) =>
    Object.keys(flags).find((name) => flags[name])
  const ofVerify = verify ? used({ "--all": all, ...others }) : undefined
  if (ofVerify !== undefined) return yield* refuse(`--verify cannot be used with ${ofVerify}`)
  const ofAll = all ? used({ "--draw": draw.hasFlag, ...others }) : undefined
  if (ofAll !== undefined) return yield* refuse(`--all cannot be used with ${ofAll}`)
})

/** Loaded on demand: the checks of a seal are needed only here. */
const loadStoreCheck = Effect.promise(() => import("../files/StoreCheck.ts"))
const loadStoreCheckText = Effect.promise(() => import("../log/StoreCheckText.ts"))

const verifyStore = Effect.fnUntraced(function* (target: ActPreview.Target, json: boolean) {
  const { ensureUnchanged, run } = yield* loadStoreCheck
  const { checkJson, checkLines } = yield* loadStoreCheckText
  const check = yield* run(target)
  yield* print(json ? checkJson(target.draw, check) : checkLines(target.draw, check).join("\n"))
  yield* ensureUnchanged(check)
})

export const status = Command.make(
  "status",
  settings,
  Effect.fnUntraced(function* (given) {
    const { all, json, missing, store, verify, watch } = given
    yield* ensureUsed(given)
    if (all) return yield* showAll(store, json)
    const target = { store, draw: yield* given.draw.value }
    if (verify) return yield* verifyStore(target, json)
    const whole = yield* StandingLook.make(target)
    const look = missing
      ? Effect.map(whole, ({ standing, ...of }) => {
          const agencies = standing.agencies.filter(DrawStanding.isAwaited)
          return { ...of, standing: { ...standing, agencies } }
        })
      : whole
    if (!watch) {
      const { standing } = yield* look
      const { at } = standing
      const shown = { id: target.draw, at, ...WHOLE }
      return yield* print(
        json ? JSON.stringify(standing) : standingLines(standing, shown).join("\n")
      )
    }
    yield* fulfilled
    const every = yield* given.every.value
    const screen = json ? undefined : Screen.ofStandardOutput()
    return yield* screen === undefined
      ? watchInLines(look, every)
      : watchOnScreen(screen, target, look, every)
  }, Effect.scoped)
).pipe(
  Command.withExamples([
    {
      command: "lottery status --store sqlite:lottery.db",
      description: "Show the progress of each agency, even while a server is running"
    },
    {
      command: "lottery status --store sqlite:lottery.db --watch",
      description: "Watch it until Ctrl-C"
    },
    {
      command: "lottery status --store sqlite:lottery.db --verify",
      description: "Check that no other program has changed a finished book"
    }
  ])
)
