/** Shows a client's progress: on a terminal in the status line, otherwise in the log. */
import { Data, type Duration, Effect, Schedule } from "effect"
import { UploadProgress, type Waiting } from "../../client/UploadProgress.ts"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import * as SettingText from "../settings/SettingText.ts"
import { RateMeter, uploadText, waitingText } from "./ProgressText.ts"
import { CurrentStatusLine, keepDrawn } from "./StatusLine.ts"

/** The agency did not get its winners in time. Its stored bets are not lost. */
export class TimedOut extends Data.TaggedError("TimedOut")<{
  readonly timeout: Duration.Duration
  readonly progress: UploadProgress
}> {
  override get message(): string {
    const { acknowledged, interruption, isFinished, total } = this.progress
    const reason = interruption === undefined ? "" : `: ${interruption}`
    const stored = isFinished
      ? `the whole book (bets: ${total}) is stored and finished`
      : `${acknowledged} of ${total} bets are known to be stored`
    return (
      `no winners after ${SettingText.showDuration(this.timeout)}${reason}; ${stored}; ` +
      "run the same command again to resume"
    )
  }
}

const LOG_PERIOD_MILLIS = 10_000
const LOOK_PERIOD = "1 second"

const textOf = (progress: UploadProgress, perSecond: number, width: number): string => {
  const { acknowledged, interruption, total, waiting } = progress
  const prefix = interruption === undefined ? "" : "no connection; "
  return waiting === undefined && acknowledged < total
    ? prefix + uploadText({ acknowledged, total, perSecond }, width - prefix.length)
    : prefix + waitingText(waiting)
}

/**
 * Logs a wait for the draw as soon as it begins. Logs changes during the wait, and the progress of
 * an upload, at most once every `LOG_PERIOD_MILLIS`.
 */
const makeLook = Effect.fnUntraced(function* (
  agencia: Agency,
  progress: UploadProgress,
  meter: RateMeter,
  sample: Effect.Effect<number>
) {
  let uploadLogged = yield* monotonicMillis
  let waitingLogged = Number.NEGATIVE_INFINITY
  let logged: Waiting | undefined
  return Effect.gen(function* () {
    const now = yield* sample
    const { acknowledged, total, waiting } = progress
    if (waiting !== undefined) {
      const { expected, finished } = waiting
      const isSame = finished === logged?.finished && expected === logged.expected
      if (isSame || now - waitingLogged < LOG_PERIOD_MILLIS) return
      waitingLogged = now
      logged = waiting
      const fields = { agencia, finished, expected }
      yield* logAction("waiting_for_draw", "in_progress", fields)
    } else if (acknowledged < total && now - uploadLogged >= LOG_PERIOD_MILLIS) {
      uploadLogged = now
      yield* logAction("upload_progress", "in_progress", {
        agencia,
        acknowledged,
        total,
        per_second: Math.round(meter.perSecond)
      })
    }
  })
})

export const make = Effect.fnUntraced(function* (agency: Agency, total: number) {
  const progress = new UploadProgress(total)
  const meter = new RateMeter()
  const sample = Effect.map(monotonicMillis, (now) => {
    meter.sample(now, progress.acknowledged - progress.resumed)
    return now
  })
  const { isTerminal } = yield* CurrentStatusLine
  if (isTerminal) {
    yield* keepDrawn((width) => Effect.map(sample, () => textOf(progress, meter.perSecond, width)))
  } else {
    progress.onWait = yield* makeLook(agency, progress, meter, sample)
    yield* Effect.forkScoped(Effect.repeat(progress.onWait, Schedule.spaced(LOOK_PERIOD)))
  }
  return progress
})
