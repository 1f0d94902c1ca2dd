/** An OpenTelemetry collector for tests: a real HTTP server that can misbehave. */
import { createServer, type ServerResponse } from "node:http"
import { Effect, Schema } from "effect"
import * as LoopbackServer from "./loopbackServer.ts"

const strictly = { onExcessProperty: "error" } as const

const hex = (digits: number) =>
  Schema.String.check(Schema.isPattern(new RegExp(`^(?!0+$)[0-9a-f]{${digits}}$`)))
/** Nanoseconds since the epoch: too many digits for a number. */
const Time = Schema.String.check(Schema.isPattern(/^[1-9]\d{18}$/))
const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Int64 = Schema.Union([Schema.Int, Schema.String.check(Schema.isPattern(/^-?\d{1,19}$/))])

const Value = Schema.Union([
  Schema.Struct({ stringValue: Schema.String }),
  Schema.Struct({ intValue: Int64 }),
  Schema.Struct({ doubleValue: Schema.Number }),
  Schema.Struct({ boolValue: Schema.Boolean })
])
const Attributes = Schema.Array(Schema.Struct({ key: Schema.NonEmptyString, value: Value }))
const attributed = { attributes: Attributes, droppedAttributesCount: Count }

/** Unset, ok and error. */
const StatusCode = Schema.Literals([0, 1, 2])
/** Internal, server, client, producer and consumer. */
const SpanKind = Schema.Literals([1, 2, 3, 4, 5])

const ExportedSpan = Schema.Struct({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: Schema.optionalKey(hex(16)),
  name: Schema.NonEmptyString,
  kind: SpanKind,
  startTimeUnixNano: Time,
  endTimeUnixNano: Time,
  ...attributed,
  events: Schema.Array(
    Schema.Struct({ name: Schema.NonEmptyString, timeUnixNano: Time, ...attributed })
  ),
  droppedEventsCount: Count,
  status: Schema.Struct({ code: StatusCode, message: Schema.optionalKey(Schema.String) }),
  links: Schema.Array(Schema.Struct({ traceId: hex(32), spanId: hex(16), ...attributed })),
  droppedLinksCount: Count
})

/** `ExportTraceServiceRequest` of opentelemetry-proto, as JSON. */
const Export = Schema.Struct({
  resourceSpans: Schema.Array(
    Schema.Struct({
      resource: Schema.Struct(attributed),
      scopeSpans: Schema.Array(
        Schema.Struct({
          scope: Schema.Struct({ name: Schema.String, version: Schema.String }),
          spans: Schema.Array(ExportedSpan)
        })
      )
    })
  )
})
export const decodeExport = Schema.decodeUnknownEffect(Schema.fromJsonString(Export), strictly)

export type Attribute = string | number | boolean

export interface Span extends Omit<typeof ExportedSpan.Type, "attributes"> {
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly resource: Readonly<Record<string, Attribute>>
}

const flat = (attributes: typeof Attributes.Type): Record<string, Attribute> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

export interface Received {
  readonly path: string
  readonly authorization: string | undefined
  readonly contentType: string | undefined
  readonly body: string
}

/** How a collector answers a request. */
export type Answer = (response: ServerResponse) => void

export const ACCEPT: Answer = (response) => {
  response.writeHead(200, { "content-type": "application/json" }).end("{}")
}

/** Asks the client to come back much later. */
export const UNAVAILABLE: Answer = (response) => {
  response.writeHead(503, { "retry-after": "86400" }).end("try later")
}

export const HANG: Answer = () => {}

/** Starts a collector on a free port; it stops when its scope closes. */
export const startCollector = Effect.fnUntraced(function* (first: Answer) {
  const requests: Array<Received> = []
  let answer = first
  let open = 0
  let mostOpen = 0
  const server = createServer((request, response) => {
    open++
    mostOpen = Math.max(mostOpen, open)
    response.once("close", () => open--)
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (text: string) => {
      body += text
    })
    request.on("end", () => {
      const { authorization, "content-type": contentType } = request.headers
      requests.push({ path: `${request.method} ${request.url}`, authorization, contentType, body })
      answer(response)
    })
  })
  const port = yield* LoopbackServer.listen(server)
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    /** The most requests that were open at the same time. */
    mostOpen: () => mostOpen,
    answerWith: (next: Answer) => {
      answer = next
    },
    /** Decodes every request; dies if one is no valid export. */
    spans: Effect.gen(function* () {
      const spans: Array<Span> = []
      for (const { body } of requests) {
        for (const { resource, scopeSpans } of (yield* Effect.orDie(decodeExport(body)))
          .resourceSpans) {
          for (const span of scopeSpans.flatMap((scoped) => scoped.spans)) {
            const attributes = flat(span.attributes)
            spans.push({ ...span, attributes, resource: flat(resource.attributes) })
          }
        }
      }
      return spans
    })
  }
})
