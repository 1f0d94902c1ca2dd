/** Formats the progress of an upload as one line. */
import type { Waiting } from "../../client/UploadProgress.ts"

const WINDOW_MILLIS = 10_000

export class RateMeter {
  private readonly samples: Array<{ readonly atMillis: number; readonly count: number }> = []

  /** Records the current count; a decrease counts as no progress. */
  sample(atMillis: number, count: number): void {
    const highest = Math.max(count, this.samples.at(-1)?.count ?? 0)
    this.samples.push({ atMillis, count: highest })
    // Keep one sample that is at least as old as the window.
    while ((this.samples[1]?.atMillis ?? atMillis) <= atMillis - WINDOW_MILLIS) this.samples.shift()
  }

  /** The growth per second; 0 before the second sample. */
  get perSecond(): number {
    const first = this.samples[0]
    const last = this.samples.at(-1)
    if (first === undefined || last === undefined || last.atMillis === first.atMillis) return 0
    return (1000 * (last.count - first.count)) / (last.atMillis - first.atMillis)
  }
}

interface Uploading {
  readonly acknowledged: number
  readonly total: number
  readonly perSecond: number
}

const MIN_BAR = 10
const MAX_BAR = 40

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** Seconds as `0:08`, `12:00` or `1:00:00`. */
const clockText = (seconds: number): string => {
  const minutes = Math.floor(seconds / 60)
  const rest = twoDigits(seconds % 60)
  if (minutes < 60) return `${minutes}:${rest}`
  return `${Math.floor(minutes / 60)}:${twoDigits(minutes % 60)}:${rest}`
}

/** A longer estimate is meaningless. */
const MAX_SECONDS_LEFT = 24 * 60 * 60

const timeLeft = ({ acknowledged, perSecond, total }: Uploading): string => {
  const seconds = Math.ceil((total - acknowledged) / perSecond)
  return seconds <= MAX_SECONDS_LEFT ? `, ${clockText(seconds)} left` : ""
}

/** `[####------] 15000 of 27000 bets, 55%, 1500/s, 0:08 left`; no bar if it does not fit. */
export const uploadText = (uploading: Uploading, width: number): string => {
  const { acknowledged, perSecond, total } = uploading
  const part = total === 0 ? 1 : Math.min(1, acknowledged / total)
  const text =
    `${acknowledged} of ${total} bets, ${Math.floor(100 * part)}%, ` +
    `${Math.round(perSecond)}/s${timeLeft(uploading)}`
  const bar = Math.min(MAX_BAR, width - text.length - "[] ".length)
  if (bar < MIN_BAR) return text
  const filled = Math.floor(bar * part)
  return `[${"#".repeat(filled)}${"-".repeat(bar - filled)}] ${text}`
}

export const waitingText = (waiting: Waiting | undefined): string =>
  waiting === undefined
    ? "waiting for the draw"
    : `waiting for the draw: ${waiting.finished} of ${waiting.expected} agencies have finished`
