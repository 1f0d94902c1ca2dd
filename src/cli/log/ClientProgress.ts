/**
 * Shows how far a client is: on a terminal in its status line, elsewhere in a line of the log from
 * time to time.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { UploadProgress } from "../../client/UploadProgress.ts"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { monotonicMillis } from "../../domain/MonotonicTime.ts"
import { RateMeter, uploadText, type Waiting, waitingText } from "./ProgressText.ts"
import { CurrentStatusLine, keepDrawn } from "./StatusLine.ts"

export interface ClientProgress extends UploadProgress {
  /** How far it is now. */
  readonly standing: () => Standing
}

/** How far a client is. */
export interface Standing {
  readonly total: number
  /** How many bets are known to be stored. */
  readonly acknowledged: number
  /** Whether the server has finished the book. */
  readonly isFinished: boolean
  /** Why there is no connection, where the last attempt failed and none has succeeded since. */
  readonly interruption: string | undefined
}

/** Most often that a kind of line is logged. */
const LOG_PERIOD_MILLIS = 10_000
/** How often it is looked whether a line is due. */
const LOOK_PERIOD = "1 second"

/** What is known of a client's upload. */
interface State {
  readonly agency: Agency
  readonly total: number
  acknowledged: number
  isFinished: boolean
  waiting: Waiting | undefined
  /** Why there is no connection, where there is none. */
  interruption: string | undefined
  readonly meter: RateMeter
}

const sample = ({ acknowledged, meter }: State) =>
  Effect.map(monotonicMillis, (now) => {
    meter.sample(now, acknowledged)
    return now
  })

const drawnText = (state: State) => (width: number) =>
  Effect.map(sample(state), () => {
    const { acknowledged, interruption, meter, total, waiting } = state
    const where = interruption === undefined ? "" : "no connection; "
    return waiting === undefined && acknowledged < total
      ? where +
          uploadText({ acknowledged, total, perSecond: meter.perSecond }, width - where.length)
      : where + waitingText(waiting)
  })

const logUpload = ({ acknowledged, agency, meter, total }: State) =>
  logAction("progreso_carga", "in_progress", {
    agencia: agency,
    confirmadas: acknowledged,
    total,
    por_segundo: Math.round(meter.perSecond)
  })

const logWaiting = (agencia: Agency, { expected, finished }: Waiting) =>
  logAction("espera_sorteo", "in_progress", { agencia, terminadas: finished, esperadas: expected })

/** Looks whether a line is due, and logs it. */
const makeProgressLog = Effect.fnUntraced(function* (state: State) {
  let uploadLogged = yield* monotonicMillis
  let waitingLogged = Number.NEGATIVE_INFINITY
  let shown: Waiting | undefined
  return Effect.gen(function* () {
    const now = yield* sample(state)
    const { acknowledged, total, waiting } = state
    if (waiting !== undefined) {
      const same = waiting.finished === shown?.finished && waiting.expected === shown.expected
      if (same || now - waitingLogged < LOG_PERIOD_MILLIS) return
      waitingLogged = now
      shown = waiting
      yield* logWaiting(state.agency, waiting)
    } else if (acknowledged < total && now - uploadLogged >= LOG_PERIOD_MILLIS) {
      uploadLogged = now
      yield* logUpload(state)
    }
  })
})

/** Shows the progress of a book of `total` bets until the scope closes. */
export const make = Effect.fnUntraced(function* (agency: Agency, total: number) {
  const meter = new RateMeter()
  const state: State = {
    agency,
    total,
    acknowledged: 0,
    isFinished: false,
    waiting: undefined,
    interruption: undefined,
    meter
  }
  const { isTerminal } = yield* CurrentStatusLine
  const look = isTerminal ? Effect.void : yield* makeProgressLog(state)
  if (isTerminal) yield* keepDrawn(drawnText(state))
  else yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced(LOOK_PERIOD)))
  const acknowledge = (bets: number) => {
    state.interruption = undefined
    state.acknowledged = Math.max(state.acknowledged, bets)
  }
  return {
    acknowledged: (bets) => Effect.sync(() => acknowledge(bets)),
    resumed: (bets) =>
      Effect.sync(() => {
        meter.skip(Math.max(0, bets - state.acknowledged))
        acknowledge(bets)
      }),
    finished: Effect.sync(() => {
      state.isFinished = true
    }),
    waiting: (finished, expected) =>
      Effect.suspend(() => {
        state.interruption = undefined
        state.waiting = { finished, expected }
        return look
      }),
    interrupted: (reason) =>
      Effect.sync(() => {
        state.interruption = reason
      }),
    standing: () => state
  } satisfies ClientProgress
})
