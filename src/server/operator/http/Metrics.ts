/**
 * The metrics of a server in the text format of Prometheus (docs/metrics.md). What is counted
 * elsewhere is read when they are asked for, so that counting costs nothing in between.
 */
import { Context, Effect, Metric } from "effect"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type { Agency } from "../../../domain/Agency.ts"
import { Memory } from "../../admission/MessageMemory.ts"
import { Places } from "../../admission/Places.ts"
import { Refusals } from "../../admission/Refusals.ts"
import { Lottery } from "../../lottery/Lottery.ts"
import * as CommitMetrics from "../../store/CommitMetrics.ts"
import { Phase } from "../DrawStanding.ts"
import type { HttpConnections } from "./HttpConnections.ts"
import * as ProcessFigures from "./ProcessFigures.ts"

/** A draw with more agencies has no series for each of them, which would burden Prometheus. */
const MAX_LABELLED_AGENCIES = 1000

type Labels = Readonly<Record<string, string>>

/** Writes series that exist only in one answer. */
const makeSeries = (context: Context.Context<never>) => {
  const unused = { update: () => {}, modify: () => {} }
  return {
    gauge: (name: string, description: string, value: number, labels: Labels = {}) =>
      Metric.registerUnsafe(Metric.gauge(name, { description, attributes: labels }), context, {
        get: () => ({ value }),
        ...unused
      }),
    counter: (name: string, description: string, count: number, labels: Labels = {}) =>
      Metric.registerUnsafe(Metric.counter(name, { description, attributes: labels }), context, {
        get: () => ({ count, incremental: true }),
        ...unused
      })
  }
}
type Series = ReturnType<typeof makeSeries>

const addAgencies = (
  { counter, gauge }: Series,
  { activityOf, counts, draw, standings }: Lottery["Service"]
): void => {
  const add = (labels: Labels, { repeated, stored }: ReturnType<typeof counts>) => {
    counter("lottery_bets_stored_total", "Bets that became durable here", stored, labels)
    counter(
      "lottery_bets_repeated_total",
      "Bets that were sent again and equal the stored ones",
      repeated,
      labels
    )
  }
  if (draw.agencies.length > MAX_LABELLED_AGENCIES) {
    add({}, counts())
    return
  }
  const labelsOf = (agency: Agency) => ({ agency: String(agency) })
  for (const agency of draw.agencies) {
    add(labelsOf(agency), activityOf(agency)?.counts ?? { stored: 0, repeated: 0 })
    gauge(
      "lottery_agency_unfinished",
      "1 while the draw waits for the agency",
      standings.isAwaited(agency) ? 1 : 0,
      labelsOf(agency)
    )
  }
}

const addDraw = ({ gauge }: Series, { overview }: Lottery["Service"]): void => {
  const { closesAt, excluded, expected, finished, roundAt, state, told } = overview()
  const agencies = { expected, finished, excluded, winners_sent: told }
  for (const [name, count] of Object.entries(agencies)) {
    gauge("lottery_agencies", "Agencies of the draw, by what they have reached", count, {
      state: name
    })
  }
  for (const name of Phase.literals) {
    gauge("lottery_draw_state", "1 for the state of the draw, 0 for others", +(name === state), {
      state: name.replace("the ", "").replaceAll(" ", "_")
    })
  }
  if (closesAt !== undefined) {
    const description = "When unfinished agencies are excluded"
    gauge("lottery_close_timestamp_seconds", description, closesAt / 1000)
  }
  if (roundAt !== undefined) {
    const description = "When the drand round of the winning number is published"
    gauge("lottery_round_timestamp_seconds", description, roundAt / 1000)
  }
}

/** Returns the metrics as text. The fields of `info` become the labels of `lottery_info`. */
export const make = Effect.fnUntraced(function* (info: Labels, http: HttpConnections) {
  const lottery = yield* Lottery
  const places = yield* Places
  const memory = yield* Memory
  const refusals = yield* Refusals
  yield* CommitMetrics.noFailures
  return Effect.gen(function* () {
    const held = yield* memory.held
    const registry = new Map(yield* Metric.MetricRegistry)
    const context = Context.make(Metric.MetricRegistry, registry)
    const series = makeSeries(context)
    const { counter, gauge } = series
    gauge("lottery_info", "What this server runs; always 1", 1, info)
    addDraw(series, lottery)
    addAgencies(series, lottery)
    for (const [reason, count] of refusals.counts) {
      counter("lottery_refusals_total", "Refused messages and connections", count, { reason })
    }
    for (const [state, count] of Object.entries(places.counts())) {
      gauge("lottery_connections", "Open connections of agencies", count, { state })
    }
    gauge("lottery_held_bytes", "Memory that messages have claimed", held)
    gauge("lottery_http_connections", "Open HTTP connections", http.sockets.size)
    gauge("lottery_event_streams", "Boards that are open", http.boards.size)
    for (const { description, name, type, value } of ProcessFigures.read()) {
      series[type](name, description, value)
    }
    return PrometheusMetrics.formatUnsafe(context)
  })
})
