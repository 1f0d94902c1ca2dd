/** The plot of bets per second, in the colours of the style sheet. */
import uPlot from "uplot"
import type { RatesEvent } from "../LiveEvents.ts"
import * as Words from "./Words.ts"

const MINUTE_SECONDS = 60
/** The time that the plot covers, in seconds: it grows with what there is to show. */
const WINDOWS = [MINUTE_SECONDS, 5 * MINUTE_SECONDS, 10 * MINUTE_SECONDS]
const HEIGHT_PX = 180
/** Steps of the time axis, and fewer of them on a narrow page. */
const STEPS = 5
const NARROW_STEPS = 2
const NARROW_PX = 500
/** The vertical axis reaches at least this far, so that an idle server shows a line at its foot. */
const LEAST_TOP = 10

const FONT = "12px system-ui, sans-serif"

export class RatePlot {
  readonly #plot: uPlot
  #shown: RatesEvent | undefined

  /** Draws into `place` and says in `reading` what is under the pointer. */
  constructor(place: HTMLElement, reading: HTMLElement) {
    const colour = (name: string) => () => getComputedStyle(place).getPropertyValue(name)
    const axis: uPlot.Axis = {
      stroke: colour("--muted"),
      font: FONT,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false }
    }
    const before = (seconds: number): string => {
      const ago = Math.round(this.#until - seconds)
      if (ago === 0) return "now"
      return ago % MINUTE_SECONDS === 0 ? `−${ago / MINUTE_SECONDS} min` : `−${ago} s`
    }
    const say = ({ cursor: { idx }, data: [times, rates] }: uPlot): void => {
      const time = idx === null || idx === undefined ? undefined : times[idx]
      const rate = idx === null || idx === undefined ? undefined : rates?.[idx]
      const isShown = time !== undefined && rate !== undefined && rate !== null
      reading.textContent = isShown
        ? `${Words.localTime(1000 * time, Date.now())}: ${Words.measure(rate)} per second`
        : ""
    }
    this.#plot = new uPlot(
      {
        width: place.clientWidth,
        height: HEIGHT_PX,
        padding: [8, 16, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        hooks: { setCursor: [say] },
        scales: {
          x: { time: false, range: () => [this.#until - this.#window, this.#until] },
          y: { range: (_, _low, high) => [0, Math.max(LEAST_TOP, 1.1 * (high ?? 0))] }
        },
        axes: [
          {
            ...axis,
            size: 24,
            splits: () => this.#ticks(),
            values: (_, ticks) => ticks.map(before)
          },
          { ...axis, size: 52, values: (_, ticks) => ticks.map(Words.compact) }
        ],
        series: [
          {},
          {
            stroke: colour("--plot"),
            fill: colour("--plot-fill"),
            width: 1.5,
            points: { show: false }
          }
        ]
      },
      [[], []],
      place
    )
    new ResizeObserver(() => {
      this.#plot.setSize({ width: place.clientWidth, height: HEIGHT_PX })
    }).observe(place)
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#plot.redraw(false)
    })
  }

  get #until(): number {
    return (this.#shown?.until ?? Date.now()) / 1000
  }

  get #window(): number {
    const { everyMillis = 0, perSecond = [] } = this.#shown ?? {}
    const seconds = (perSecond.length * everyMillis) / 1000
    return WINDOWS.find((window) => window >= seconds) ?? seconds
  }

  /** The times of the labels, which keep their places as time passes. */
  #ticks(): Array<number> {
    const steps = this.#plot.width < NARROW_PX ? NARROW_STEPS : STEPS
    const step = this.#window / steps
    return Array.from({ length: steps + 1 }, (_, index) => this.#until - (steps - index) * step)
  }

  show(rates: RatesEvent): void {
    if (rates === this.#shown) return
    this.#shown = rates
    const { everyMillis, perSecond, until } = rates
    const first = until - (perSecond.length - 1) * everyMillis
    const times = perSecond.map((_, index) => (first + index * everyMillis) / 1000)
    this.#plot.setData([times, [...perSecond]])
  }
}
