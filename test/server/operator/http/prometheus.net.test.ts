/**
 * Goal: docs/metrics.md describes what a server exports, Prometheus accepts it, and its figures are
 * those of the clients and the store. Method: the built command, real clients, and a real
 * Prometheus that scrapes every second while they upload.
 */
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { describe, expect } from "vitest"
import * as Documents from "../../../support/Documents.ts"
import {
  type Running,
  runLottery,
  startLottery
} from "../../../support/processes/lotteryCommand.ts"
import * as Parties from "../../../support/processes/lotteryParties.ts"
import {
  describePrometheus,
  promtool,
  type Series,
  startPrometheus,
  textAt
} from "../../../support/processes/Prometheus.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

/** Starts a server of a draw with two agencies that exports its metrics. */
const startExporting = Effect.fnUntraced(function* (
  folder: string,
  ...more: ReadonlyArray<string>
) {
  const store = `sqlite:${join(folder, "lottery.db")}`
  const server = yield* Parties.startServer({
    store,
    more: ["--agencies", "2", "--http", "127.0.0.1:0", ...more]
  })
  const [, url] = yield* server.logged(/listen_http .*url: (\S+)/)
  const ports: Parties.Ports = server
  return { store, ports, origin: new URL(url!), metrics: new URL("/metrics", url).href }
})

/** A close time and a round, without which their metrics are missing. */
const TIMES = [
  ...["--close-at", "2999-01-01T00:00:00Z", "--number-from", "drand"],
  ...["--draw-at", "2999-01-01T00:01:00Z"]
]

/** The type of each metric in Prometheus' text format. */
const typesOf = (text: string) =>
  new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]))

/** The labels that a metric has in Prometheus' text format. */
const labelsOf = (text: string, metric: string) => {
  const series = text.matchAll(new RegExp(`^${metric}(?:_bucket|_sum|_count)?\\{(.*)\\} `, "gm"))
  const names = [...series].flatMap(([, labels]) => [...labels!.matchAll(/(\w+)="/g)])
  return new Set(names.map(([, name]) => name!).filter((name) => name !== "le"))
}

/** The values that a label has in Prometheus' text format. */
const valuesOf = (text: string, metric: string, label: string) =>
  [...text.matchAll(new RegExp(`^${metric}\\{.*\\b${label}="([^"]*)"`, "gm"))].map(
    ([, value]) => value!
  )

const METRICS = "docs/metrics.md"

describe("the metrics of a server", () => {
  /** What a server exports after an upload and a refusal. */
  const exported = Effect.gen(function* () {
    const folder = yield* temporaryFolder
    yield* Parties.generate(folder, 1000, 7, 3)
    const { metrics, ports } = yield* startExporting(folder, ...TIMES)
    const client = yield* startLottery({ args: Parties.clientArgs(folder, 1, ports, "native") })
    yield* client.logged(/waiting_for_draw/)
    const stranger = yield* runLottery({ args: Parties.clientArgs(folder, 3, ports, "native") })
    expect(stranger.code).toBe(1)
    return yield* textAt(metrics)
  })

  it.live("are those of the document", () =>
    Effect.gen(function* () {
      const text = yield* exported
      const rows = Documents.rowsOf(METRICS, "The metrics")
      const described = rows.map(([name, type]) => [Documents.codeOf(name!)[0]!, type!] as const)
      expect(typesOf(text)).toEqual(new Map(described))
      for (const [name, , , labels] of rows) {
        const [metric] = Documents.codeOf(name!)
        expect(labelsOf(text, metric!), metric).toEqual(new Set(Documents.codeOf(labels!)))
      }
      const reasons = Documents.rowsOf(METRICS, "Reasons of refusals").flatMap(([reason]) =>
        Documents.codeOf(reason!)
      )
      expect(new Set(valuesOf(text, "lottery_refusals_total", "reason"))).toEqual(new Set(reasons))
      // Each value of these labels is explained.
      for (const [metric, label] of [
        ["lottery_connections", "state"],
        ["lottery_agencies", "state"],
        ["lottery_draw_state", "state"],
        ["lottery_commit_failures_total", "reason"]
      ] as const) {
        const [, , , , meaning] = rows.find(([name]) => name === `\`${metric}\``)!
        const values = valuesOf(text, metric, label)
        expect(values.length).toBeGreaterThan(1)
        for (const value of values) expect(Documents.codeOf(meaning!), metric).toContain(value)
      }
    })
  )

  describePrometheus("for Prometheus", () => {
    it.live("are named as its tool wants them", () =>
      Effect.gen(function* () {
        const { code, output } = promtool(["check", "metrics"], yield* exported)
        expect({ code, output }).toEqual({ code: 0, output: "" })
      })
    )
  })
})

/** In messages of one bet each, enough for 20 seconds at 75,000 messages per second. */
const BETS = 1_500_000
/** Scrapes in the middle of the upload whose figures are compared. */
const SCRAPES = 8
/** The part by which a rate may differ from the clients' logs. */
const TOLERANCE = 0.05
const TIMEOUT_MILLIS = 120_000

/** When a client logged the acknowledgement of how many bets. */
const acknowledgedIn = (log: string) =>
  log
    .split("\n")
    .filter((line) => line.includes(`"action":"apuestas_enviadas"`))
    .map((line) => JSON.parse(line) as { readonly time: string; readonly cantidad: number })
    .map(({ cantidad, time }) => ({ bets: cantidad, seconds: Date.parse(time) / 1000 }))

const sumOf = (acknowledged: ReturnType<typeof acknowledgedIn>, from: number, until: number) =>
  acknowledged
    .filter(({ seconds }) => seconds > from && seconds <= until)
    .reduce((sum, { bets }) => sum + bets, 0)

const AGENCIES = [1, 2]

describePrometheus("Prometheus", () => {
  const startUploads = Effect.fnUntraced(function* (folder: string, ports: Parties.Ports) {
    const start = (agency: number) =>
      startLottery({
        args: [
          ...Parties.clientArgs(folder, agency, ports, "native"),
          ...["--batch", "1", "--log-format", "json"]
        ]
      })
    return yield* Effect.forEach(AGENCIES, start)
  })

  /** Stops clients in the middle of their upload and returns what they logged. */
  const stop = (clients: ReadonlyArray<Running>) =>
    Effect.forEach(
      clients,
      Effect.fnUntraced(function* ({ outcome, signal }) {
        yield* signal("SIGTERM")
        const { code, stderr } = yield* outcome
        expect(code, stderr.slice(-1000)).toBe(0)
        return acknowledgedIn(stderr)
      }),
      { concurrency: "unbounded" }
    )

  it.live(
    "measures what the clients upload",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* Parties.generate(folder, BETS, 7, AGENCIES.length)
        const { origin, ports, store } = yield* startExporting(folder)
        const rules = join(Documents.ROOT, "docs", "alerts.yaml")
        const prometheus = yield* startPrometheus([origin.host], rules)
        /** Asks until the answer is as wanted. */
        const until = (expression: string, isSo: (answer: ReadonlyArray<Series>) => boolean) =>
          Effect.repeat(prometheus.query(expression), {
            until: isSo,
            schedule: Schedule.spaced("200 millis")
          })
        yield* until("up", ([target]) => target?.value?.[1] === 1)

        const clients = yield* startUploads(folder, ports)
        /** An agency's counter at each scrape since the one after its first bets. */
        const samplesOf = (agency: number) =>
          Effect.map(
            until(`lottery_bets_stored_total{agency="${agency}"}[1m]`, ([series]) => {
              const sent = series?.values?.filter(([, bets]) => bets > 0) ?? []
              return sent.length >= SCRAPES
            }),
            ([series]) => series!.values!.filter(([, bets]) => bets > 0)
          )
        const samples = yield* Effect.forEach(AGENCIES, samplesOf, { concurrency: "unbounded" })
        const acknowledged = yield* stop(clients)

        for (const [index, agency] of AGENCIES.entries()) {
          const [[from, before], [time, after]] = [samples[index]!.at(0)!, samples[index]!.at(-1)!]
          const last = acknowledged[index]!.at(-1)!.seconds
          expect(last, "the upload ended before the last scrape").toBeGreaterThan(time)
          const sent = sumOf(acknowledged[index]!, from, time)
          expect(Math.abs((after - before) / sent - 1)).toBeLessThan(TOLERANCE)
          // The range ends with scrapes, so Prometheus extrapolates nothing.
          const range = Math.round((time - from) * 1000)
          const [rate] = yield* prometheus.query(
            `sum by (agency) (rate(lottery_bets_stored_total{agency="${agency}"}[${range}ms]))`,
            time
          )
          expect(rate!.metric).toEqual({ agency: `${agency}` })
          expect(Math.abs((rate!.value![1] * (time - from)) / sent - 1)).toBeLessThan(TOLERANCE)
        }

        // At rest, the counters are exactly what is stored.
        yield* until(`sum(lottery_connections) == 0`, (answer) => answer.length === 1)
        const status = yield* runLottery({ args: ["status", "--store", store, "--json"] })
        const { agencies } = JSON.parse(status.stdout) as {
          readonly agencies: ReadonlyArray<{ readonly agency: number; readonly bets: number }>
        }
        const counted = yield* prometheus.query("sum by (agency) (lottery_bets_stored_total)")
        const stored = new Map(agencies.map(({ agency, bets }) => [`${agency}`, bets]))
        expect(new Map(counted.map(({ metric, value }) => [metric.agency, value![1]]))).toEqual(
          stored
        )

        const health = (yield* prometheus.rules).map(({ health, lastError }) => lastError ?? health)
        expect(new Set(health)).toEqual(new Set(["ok"]))
        expect(yield* prometheus.query(`ALERTS{alertstate="firing"}`)).toEqual([])
      }),
    TIMEOUT_MILLIS
  )
})
