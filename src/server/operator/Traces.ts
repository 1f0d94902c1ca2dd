/**
 * Exports the server's spans to an OpenTelemetry collector, as OTLP/JSON over HTTP. No collector
 * costs the draw a bet, however it behaves: spans are dropped if it cannot take them, and the
 * memory for those that wait is bounded.
 */
import { randomUUID } from "node:crypto"
import {
  Cause,
  ConfigProvider,
  Duration,
  Effect,
  Exit,
  Layer,
  Option,
  Redacted,
  References,
  Schedule,
  Semaphore,
  Stream,
  Tracer
} from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import { EncodeError, HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpResource from "effect/observability/OtlpResource"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import packageJson from "../../../package.json" with { type: "json" }
import { ActionLine, logAction } from "../../domain/ActionLog.ts"
import { reasonOf } from "../../domain/HttpReason.ts"
import { closable } from "../../domain/LoggedResource.ts"
import type { Collector } from "./Collector.ts"

/** The spans that are exported. Those of libraries may contain SQL, and are too many. */
const SPANS = new Set([
  "Connection.serve",
  "Store.commit",
  "Lottery.draw",
  "Lottery.seal",
  "Lottery.close",
  "Operator.book_discarded",
  "Operator.agency_excluded",
  "Operator.close_moved",
  "Operator.number_announced"
])

/** Spans per export. */
const MAX_BATCH = 1000
/**
 * Concurrent exports, each of about 2 MB: room for the spans of 10,000 connections that end
 * together at the draw.
 */
const MAX_EXPORTS = 16
/** For one export with its retries; the default of OTLP. */
const EXPORT_TIMEOUT = Duration.seconds(10)
const RETRY_EVERY = "1 second"
const RETRIES = 2
/** Bytes that are read of a collector's answer, which has a few dozen. */
const MAX_ANSWER_BYTES = 64 * 1024
/** For the last export, when the server stops. */
const FLUSH_TIMEOUT = Duration.seconds(1)
/** Longer than `FLUSH_TIMEOUT`, after which the exporter abandons what is in flight. */
const CLOSE_TIMEOUT = Duration.millis(1500)

/** The exporter drops spans for this long after a failed export. */
const REST = "60 seconds"

/** Reads a bounded part of the answer, then cancels the rest. */
const readAnswer = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  const { request, status } = response
  let bytes = 0
  yield* response.stream.pipe(
    Stream.takeUntil((chunk) => {
      bytes += chunk.length
      return bytes >= MAX_ANSWER_BYTES
    }),
    Stream.runDrain,
    // The status says whether the spans have arrived.
    Effect.ignore
  )
  const answered = HttpClientResponse.fromWeb(request, new Response(null, { status }))
  return yield* HttpClientResponse.filterStatusOk(answered)
})

/** An export failed for good. It is an error of a kind that the exporter does not retry. */
const givenUp = (request: HttpClientRequest, description: string): HttpClientError =>
  new HttpClientError({ reason: new EncodeError({ request, description }) })

/** Logs when exports begin to fail, and when they succeed again. */
const makeReport = (url: string) => {
  let isFailing = false
  const log = (line: Effect.Effect<void>) =>
    Effect.provideService(line, References.CurrentLogAnnotations, {})
  const failed = (error: string) =>
    Effect.suspend(() => {
      if (isFailing) return Effect.void
      isFailing = true
      return log(Effect.logWarning(new ActionLine("export_traces", "fail", { url, error })))
    })
  const succeeded = Effect.suspend(() => {
    if (!isFailing) return Effect.void
    isFailing = false
    return log(logAction("export_traces", "success", { url }))
  })
  return { failed, succeeded }
}

/**
 * A client that makes a bounded number of exports at a time, each in bounded time and memory. It
 * retries itself, within that time, because the exporter would also wait as long as the collector
 * asks for.
 */
const makeClient = Effect.fnUntraced(function* (url: string) {
  const client = yield* HttpClient.HttpClient
  const exports = yield* Semaphore.make(MAX_EXPORTS)
  const { failed, succeeded } = makeReport(url)
  return HttpClient.transform(client, (execute, request) =>
    execute.pipe(
      Effect.flatMap(readAnswer),
      Effect.retry({
        while: HttpClient.isTransientError,
        schedule: Schedule.spaced(RETRY_EVERY),
        times: RETRIES
      }),
      Effect.mapError(reasonOf),
      Effect.timeoutOrElse({
        duration: EXPORT_TIMEOUT,
        orElse: () => Effect.fail(`no answer within ${Duration.format(EXPORT_TIMEOUT)}`)
      }),
      exports.withPermitsIfAvailable(1),
      Effect.flatMap(
        Option.match({
          onNone: () => Effect.fail(`${MAX_EXPORTS} exports are waiting for an answer`),
          onSome: Effect.succeed
        })
      ),
      Effect.tap(succeeded),
      Effect.tapError((reason) =>
        failed(`${reason}; spans are dropped, and the next export is in ${REST}`)
      ),
      Effect.onInterrupt(() => failed("the server stopped before the answer; spans are lost")),
      Effect.mapError((reason) => givenUp(request, reason))
    )
  )
})

const layerClient = (url: string) =>
  Layer.effect(HttpClient.HttpClient, makeClient(url)).pipe(
    Layer.provide(FetchHttpClient.layer),
    // A redirected POST would become a GET.
    Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, { redirect: "error" }))
  )

/** Keeps of a failure only what kind it was: messages may contain what a peer has sent. */
const withoutMessages = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return exit
  const error = Cause.squash(exit.cause)
  return Exit.fail(error instanceof Error ? error.name : "unknown error")
}

/** Exports only the spans of `SPANS`. */
const selective = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    span: (options) => {
      const sampled = options.sampled && SPANS.has(options.name)
      const span = tracer.span({ ...options, sampled })
      const end = span.end.bind(span)
      span.end = (endTime, exit) => end(endTime, withoutMessages(exit))
      return span
    }
  })

/** Reads nothing if the environment's attributes are malformed: the exporter would die of them. */
const usableProvider = Effect.gen(function* () {
  const provider = yield* ConfigProvider.ConfigProvider
  const read = OtlpResource.fromConfig({ serviceName: "lottery" })
  if (Exit.isSuccess(yield* Effect.exit(read))) return provider
  yield* Effect.logWarning(
    "OTEL_RESOURCE_ATTRIBUTES is ignored: expected key=value pairs, percent-encoded, with commas"
  )
  return ConfigProvider.fromUnknown({})
})

const makeTracer = ({ authorization, url }: Collector, draw: string) =>
  OtlpTracer.make({
    url,
    headers: Option.match(authorization, {
      onNone: () => ({}),
      onSome: (value) => ({ authorization: Redacted.value(value) })
    }),
    resource: {
      serviceName: "lottery",
      serviceVersion: packageJson.version,
      attributes: { "service.instance.id": randomUUID(), "lottery.draw": draw }
    },
    maxBatchSize: MAX_BATCH,
    shutdownTimeout: FLUSH_TIMEOUT
  })

/**
 * Makes the tracer of a server. Closing the layer `flush` begins to send the last spans; the scope
 * waits until that has ended.
 */
export const make = Effect.fnUntraced(function* (collector: Collector, draw: string) {
  const layer = Layer.effect(
    Tracer.Tracer,
    Effect.map(makeTracer(collector, draw), selective)
  ).pipe(
    Layer.provide([
      OtlpExporter.layerFlusher,
      OtlpSerialization.layerJson,
      layerClient(collector.url),
      Layer.effect(ConfigProvider.ConfigProvider, usableProvider)
    ])
  )
  const { close, value } = yield* closable("traces", Layer.build(layer), CLOSE_TIMEOUT)
  const flushed = yield* Effect.cached(close)
  yield* Effect.addFinalizer(() => flushed)
  return {
    tracer: Layer.succeedContext(value),
    flush: Layer.effectDiscard(Effect.addFinalizer(() => Effect.forkDetach(flushed)))
  }
})
