/** Formats the progress of an upload as one line. */
import type { Waiting } from "../../client/UploadProgress.ts"

interface Uploading {
  readonly acknowledged: number
  readonly total: number
  /** Undefined while nothing is sent. */
  readonly perSecond: number | undefined
}

const MIN_BAR = 10
const MAX_BAR = 40

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** Seconds as `0:08`, `12:00` or `1:00:00`. */
export const clockText = (seconds: number): string => {
  const minutes = Math.floor(seconds / 60)
  const rest = twoDigits(seconds % 60)
  if (minutes < 60) return `${minutes}:${rest}`
  return `${Math.floor(minutes / 60)}:${twoDigits(minutes % 60)}:${rest}`
}

/** A longer estimate is meaningless. */
const MAX_SECONDS_LEFT = 24 * 60 * 60

const timeLeft = (bets: number, perSecond: number): string => {
  const seconds = Math.ceil(bets / perSecond)
  return seconds <= MAX_SECONDS_LEFT ? `, ${clockText(seconds)} left` : ""
}

/** Returns the first of the texts that fits the width, or else the last. */
const fitting = (width: number, ...texts: readonly [string, ...Array<string>]): string =>
  texts.find((text) => text.length <= width) ?? texts[texts.length - 1]!

/** What usually follows the counts. The bar leaves room for it, so that its length is steady. */
const LONGEST_RATE = ", 1000000/s, 59:59 left"

const countsText = (acknowledged: number, total: number, percent: string): string =>
  `${acknowledged} of ${total} bets, ${percent}`

/** `[####------] 15000 of 27000 bets, 55%, 1500/s, 0:08 left`, without what does not fit. */
export const uploadText = (uploading: Uploading, width: number): string => {
  const { acknowledged, perSecond, total } = uploading
  const part = total === 0 ? 1 : Math.min(1, acknowledged / total)
  const percent = `${Math.floor(100 * part)}%`
  const counts = countsText(acknowledged, total, percent)
  const rate = perSecond === undefined ? "" : `, ${Math.round(perSecond)}/s`
  const left = perSecond === undefined ? "" : timeLeft(total - acknowledged, perSecond)
  const text = fitting(width, counts + rate + left, counts + rate, counts, percent)
  const longest = countsText(total, total, "100%").length + LONGEST_RATE.length
  const bar = Math.min(MAX_BAR, width - Math.max(text.length, longest) - "[] ".length)
  if (bar < MIN_BAR || text === percent) return text
  const filled = Math.floor(bar * part)
  return `[${"#".repeat(filled)}${"-".repeat(bar - filled)}] ${text}`
}

export const waitingText = (waiting: Waiting | undefined, width: number): string => {
  const text = "waiting for the draw"
  if (waiting === undefined) return text
  const counts = `${waiting.finished} of ${waiting.expected}`
  return fitting(width, `${text}: ${counts} agencies have finished`, `${text}: ${counts}`, counts)
}

/** `1 bet`, `5000 bets`. */
export const counted = (count: number, what: string): string =>
  `${count} ${what}${count === 1 ? "" : "s"}`

interface Uploaded {
  readonly total: number
  /** How many of the bets were stored before this run. */
  readonly before: number
  readonly millis: number
}

const TENTHS_UNTIL_MILLIS = 60_000

/** `27000 bets in 18.0 s, 1500/s`, without the bets that were stored before. */
export const uploadedText = ({ before, millis, total }: Uploaded): string => {
  const bets = counted(total, "bet")
  if (total > 0 && before === total) return `${bets}, stored before`
  const time =
    millis < TENTHS_UNTIL_MILLIS
      ? `${(millis / 1000).toFixed(1)} s`
      : clockText(Math.round(millis / 1000))
  const rate = Math.round((1000 * (total - before)) / Math.max(1, millis))
  const sent = before === 0 ? "" : `, ${total - before} of them`
  return `${bets}${sent} in ${time}, ${rate}/s`
}
