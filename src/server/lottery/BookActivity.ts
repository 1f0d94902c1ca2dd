/** What an agency does at this server now, in memory only: for the people who watch the draw. */

/** The rate covers the current span and the one before. */
const SPAN_MILLIS = 5000
/** Bets of a shorter time are shown as if they had taken this long. */
const MIN_RATED_MILLIS = 1000

/** Times are in monotonic milliseconds. */
export class BookActivity {
  /** The size of the whole book, if the agency said it when it last connected. */
  announced: number | undefined
  /** When the server last acknowledged something of the book. */
  lastMillis: number | undefined
  private before = { start: 0, bets: 0 }
  private current = { start: Number.NEGATIVE_INFINITY, bets: 0 }

  /** Notes an acknowledgement; `bets` are the newly stored ones. Runs once a commit. */
  note(now: number, bets: number): void {
    const { current } = this
    this.lastMillis = now
    const age = now - current.start
    if (age < SPAN_MILLIS) {
      current.bets += bets
      return
    }
    this.current = { start: now, bets }
    this.before = age < 2 * SPAN_MILLIS ? current : { start: now, bets: 0 }
  }

  /** The newly stored bets a second over the last five to ten seconds. */
  perSecond(now: number): number {
    const { before, current } = this
    if (now - current.start >= 2 * SPAN_MILLIS) return 0
    const millis = Math.max(MIN_RATED_MILLIS, now - before.start)
    return (1000 * (before.bets + current.bets)) / millis
  }
}
