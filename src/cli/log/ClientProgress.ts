/** Shows a client's progress: on a terminal in the status line, otherwise in the log. */
import { Console, Data, type Duration, Effect, Schedule } from "effect"
import { UploadProgress, type Waiting } from "../../client/UploadProgress.ts"
import { ActionLine, logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import type { WinningDocuments } from "../../domain/Draw.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import { RateMeter } from "../../domain/RateMeter.ts"
import * as SettingText from "../settings/SettingText.ts"
import { counted, uploadedText, uploadText, waitingText } from "./ProgressText.ts"
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

const progressText = (progress: UploadProgress, perSecond: number, width: number): string => {
  const { acknowledged, interruption, isFinished, isKnown, total, waiting } = progress
  const isConnected = interruption === undefined
  // Without a connection the last rate and the last number of finished agencies may be wrong.
  if (isFinished) return waitingText(isConnected ? waiting : undefined, width)
  if (!isKnown) return isConnected ? "connecting" : "trying again"
  return uploadText({ acknowledged, total, perSecond: isConnected ? perSecond : undefined }, width)
}

const NO_CONNECTION = "no connection; "

const textOf = (progress: UploadProgress, perSecond: number, width: number): string => {
  const prefix = progress.interruption === undefined ? "" : NO_CONNECTION
  return prefix + progressText(progress, perSecond, width - prefix.length)
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

/**
 * Makes a client's progress and shows it until the scope closes. `printWinners` prints the winning
 * documents and logs the end; on a terminal the end is one line below the documents.
 */
export const make = Effect.fnUntraced(function* (agencia: Agency, total: number) {
  const progress = new UploadProgress(total)
  const startedMillis = yield* monotonicMillis
  const meter = new RateMeter()
  const sample = Effect.map(monotonicMillis, (now) => {
    meter.sample(now, progress.acknowledged - progress.resumed)
    return now
  })
  const status = yield* CurrentStatusLine
  progress.isShown = status.isTerminal
  if (progress.isShown) {
    yield* keepDrawn((width) => Effect.map(sample, () => textOf(progress, meter.perSecond, width)))
  } else {
    progress.onWait = yield* makeLook(agencia, progress, meter, sample)
    yield* Effect.forkScoped(Effect.repeat(progress.onWait, Schedule.spaced(LOOK_PERIOD)))
  }
  const printWinners = Effect.fnUntraced(function* (documents: WinningDocuments) {
    const fields = { cant_ganadores: documents.length, agencia }
    const line = new ActionLine("consulta_ganadores", "success", fields)
    yield* progress.isShown ? Effect.logDebug(line) : Effect.logInfo(line)
    for (const document of documents) yield* Console.log(document)
    if (!progress.isShown) return
    const { before = 0, finishedMillis = startedMillis } = progress
    const uploaded = uploadedText({ total, before, millis: finishedMillis - startedMillis })
    const winners = counted(documents.length, "winner")
    status.writeAbove(`agency ${agencia}: ${uploaded}; ${winners}\n`)
  })
  return { progress, printWinners }
})
