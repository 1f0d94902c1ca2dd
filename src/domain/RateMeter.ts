/** The rate of something that is counted, over the last seconds. Times are monotonic. */

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
