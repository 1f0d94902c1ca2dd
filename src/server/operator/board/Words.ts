/** Numbers, durations and times as the board shows them. */

/** What stands for a value that is not known. */
export const UNKNOWN = "–"

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })
const ONE_DIGIT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 })
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })

/** More digits of a number from here on say nothing. */
const PRECISE_BELOW = 100

/** `1,234,567` */
export const count = (value: number | null): string =>
  value === null ? UNKNOWN : WHOLE.format(value)

/** `12,300`, or `3.5` for a small number. */
export const measure = (value: number | null): string => {
  if (value === null) return UNKNOWN
  return (value < PRECISE_BELOW ? ONE_DIGIT : WHOLE).format(value)
}

/** `12,300/s`, bets per second. */
export const rate = (perSecond: number | null): string =>
  perSecond === null ? UNKNOWN : `${measure(perSecond)}/s`

/** `12.3K` */
export const compact = (value: number): string => COMPACT.format(value)

/** The part that is done, from 0 to 100. Only a complete one is 100. */
export const percent = (done: number, all: number): number =>
  all === 0 ? 100 : Math.min(100, Math.floor((100 * done) / all))

/** `3 of 5 agencies have finished` */
export const finished = (done: number, all: number): string => {
  const agencies = all === 1 ? "agency" : "agencies"
  const have = done === 1 || all === 1 ? "has" : "have"
  return `${count(done)} of ${count(all)} ${agencies} ${have} finished`
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const twoDigits = (value: number): string => String(value).padStart(2, "0")

/** `2 d 3 h`, `3 h 05 min`, `4 min 09 s` or `12 s`. */
export const duration = (millis: number): string => {
  const days = Math.floor(millis / DAY)
  const hours = Math.floor((millis % DAY) / HOUR)
  const minutes = Math.floor((millis % HOUR) / MINUTE)
  const seconds = Math.floor((millis % MINUTE) / SECOND)
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${twoDigits(minutes)} min`
  return minutes > 0 ? `${minutes} min ${twoDigits(seconds)} s` : `${seconds} s`
}

/** `3 s ago`, in the largest unit that fits. */
export const ago = (millis: number): string => {
  if (millis < SECOND) return "just now"
  if (millis < MINUTE) return `${Math.floor(millis / SECOND)} s ago`
  if (millis < HOUR) return `${Math.floor(millis / MINUTE)} min ago`
  return millis < DAY ? `${Math.floor(millis / HOUR)} h ago` : `${Math.floor(millis / DAY)} d ago`
}

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" })
const DATE = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" })

/** The local time, `21:00:00`, after the date if that is not today's: `Tue 1 Dec 21:00:00`. */
export const localTime = (atMillis: number, nowMillis: number): string => {
  const date = DATE.format(atMillis).replace(",", "")
  const isToday = new Date(atMillis).toDateString() === new Date(nowMillis).toDateString()
  return isToday ? TIME.format(atMillis) : `${date} ${TIME.format(atMillis)}`
}
