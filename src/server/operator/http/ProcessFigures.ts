/** What the process itself uses, under the names that other programs use for it in Prometheus. */
import { readdirSync, statSync } from "node:fs"
import { performance } from "node:perf_hooks"
import { Effect, Metric } from "effect"
import { monotonicMillis } from "../../../domain/MonotonicTime.ts"

interface ProcessFigure {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly description: string
  readonly value: number
}

const OPEN_FILES = "/proc/self/fd"

/** Linux 6.2 and later give the number as the folder's size, which costs less than the list. */
const openFiles = (): number => statSync(OPEN_FILES).size || readdirSync(OPEN_FILES).length

export const read = (): ReadonlyArray<ProcessFigure> => {
  const { system, user } = process.cpuUsage()
  const figures: Array<ProcessFigure> = [
    {
      name: "process_resident_memory_bytes",
      type: "gauge",
      description: "Resident memory",
      value: process.memoryUsage.rss()
    },
    {
      name: "process_cpu_seconds_total",
      type: "counter",
      description: "Processor time, of the user and the system",
      value: (user + system) / 1e6
    },
    {
      name: "process_start_time_seconds",
      type: "gauge",
      description: "When the process started",
      value: performance.timeOrigin / 1000
    }
  ]
  if (process.platform !== "linux") return figures
  const description = "Open files and sockets"
  return [...figures, { name: "process_open_fds", type: "gauge", description, value: openFiles() }]
}

const eventLoopDelay = Metric.histogram("nodejs_eventloop_delay_seconds", {
  description: "How late a timer of 100 ms fires",
  boundaries: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
})

const TIMER_MILLIS = 100

/** Measures the delay of the event loop until it is interrupted. */
export const watchEventLoop = Effect.gen(function* () {
  const start = yield* monotonicMillis
  yield* Effect.sleep(TIMER_MILLIS)
  const late = (yield* monotonicMillis) - start - TIMER_MILLIS
  yield* Metric.update(eventLoopDelay, Math.max(0, late) / 1000)
}).pipe(Effect.forever)
