/** Runs a real Prometheus and its `promtool`. Suites that need them are skipped without them. */
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Schedule, Schema } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import { describeUnless } from "../describeUnless.ts"
import { temporaryFolder } from "../TemporaryFolder.ts"
import { instead, startLottery } from "./lotteryCommand.ts"

const missing = ["prometheus", "promtool"].filter(
  (program) => spawnSync(program, ["--version"]).status !== 0
)

/** A suite that needs Prometheus; skipped if this machine does not have it. */
export const describePrometheus = (name: string, body: () => void): void => {
  const reason = `no ${missing.join(" and no ")} on this machine; see .ci/run`
  describeUnless(missing.length === 0 ? undefined : reason, name, body)
}

/** Runs `promtool` and returns its exit code and its whole output. */
export const promtool = (args: ReadonlyArray<string>, input = "") => {
  const { status, stderr, stdout } = spawnSync("promtool", args, { input, encoding: "utf8" })
  return { code: status, output: `${stdout}${stderr}` }
}

const FETCHED = Effect.provide(FetchHttpClient.layer)

export const textAt = (url: string) =>
  HttpClient.get(url).pipe(
    Effect.flatMap(HttpClientResponse.filterStatusOk),
    Effect.flatMap(({ text }) => text),
    FETCHED
  )

const Labels = Schema.Record(Schema.String, Schema.String)
/** Seconds since the epoch, and a number as text. */
const Sample = Schema.Tuple([Schema.Finite, Schema.FiniteFromString])
const Series = Schema.Struct({
  metric: Labels,
  /** What an expression has at one time. */
  value: Schema.optional(Sample),
  /** What a range has, such as `[1m]`. */
  values: Schema.optional(Schema.Array(Sample))
})
export type Series = typeof Series.Type

const Answer = Schema.Struct({ data: Schema.Struct({ result: Schema.Array(Series) }) })

const Rules = Schema.Struct({
  data: Schema.Struct({
    groups: Schema.Array(
      Schema.Struct({
        rules: Schema.Array(
          Schema.Struct({
            name: Schema.String,
            health: Schema.String,
            lastError: Schema.optional(Schema.String)
          })
        )
      })
    )
  })
})

const jsonAt = <S extends Schema.Top>(schema: S, url: string, urlParams = {}) =>
  HttpClient.get(url, { urlParams }).pipe(
    Effect.flatMap(HttpClientResponse.filterStatusOk),
    Effect.flatMap(HttpClientResponse.schemaBodyJson(schema)),
    FETCHED
  )

const configuration = (targets: ReadonlyArray<string>, ruleFile: string) => ({
  global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
  rule_files: [ruleFile],
  scrape_configs: [{ job_name: "lottery", static_configs: [{ targets }] }]
})

/** Starts a Prometheus that scrapes the targets every second; closing the scope kills it. */
export const startPrometheus = Effect.fnUntraced(function* (
  targets: ReadonlyArray<string>,
  ruleFile: string
) {
  const folder = yield* temporaryFolder
  const file = join(folder, "prometheus.yml")
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(configuration(targets, ruleFile)))
  mkdirSync(join(folder, "data"))
  const { logged } = yield* startLottery({
    args: [
      ...["--config.file", file, "--storage.tsdb.path", join(folder, "data")],
      "--web.listen-address=127.0.0.1:0"
    ],
    under: instead(["prometheus"])
  })
  const [, address] = yield* logged(/msg="Listening on".* address=(\S+)/)
  const api = `http://${address}/api/v1`
  /** Evaluates an expression, now or at a time in seconds since the epoch. */
  const query = (expression: string, time?: number) =>
    Effect.map(
      jsonAt(Answer, `${api}/query`, {
        query: expression,
        ...(time === undefined ? {} : { time: `${time}` })
      }),
      ({ data }) => data.result
    )
  const rules = Effect.map(jsonAt(Rules, `${api}/rules`), ({ data }) =>
    data.groups.flatMap((group) => group.rules)
  )
  // It answers 503 until it has opened its data.
  yield* textAt(`http://${address}/-/ready`).pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeout("20 seconds")
  )
  return { query, rules }
})
