/**
 * Goal: a server with `--otlp` exports the spans of a draw, whole and without anything secret, and
 * no collector costs a bet, an unbounded amount of memory or a slow stop. Method: a real HTTP
 * server as the collector, strict about OTLP/JSON, which also refuses, hangs or floods; the built
 * command for whole draws, and the exporter in this process for its bounds.
 */
import { writeFileSync } from "node:fs"
import { createConnection } from "node:net"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import { ActionLine } from "../../../src/domain/ActionLog.ts"
import { parseCollector } from "../../../src/server/operator/Collector.ts"
import * as Traces from "../../../src/server/operator/Traces.ts"
import {
  ACCEPT,
  type Answer,
  decodeExport,
  HANG,
  type Span,
  startCollector,
  UNAVAILABLE
} from "../../support/peers/CollectorEnd.ts"
import { runLottery, startLottery } from "../../support/processes/lotteryCommand.ts"
import {
  bookOf,
  clientArgs,
  exported,
  freePorts,
  generate,
  inFolder,
  startServer,
  winnersOf
} from "../../support/processes/lotteryParties.ts"
import { until } from "../../support/stores/HeldTransaction.ts"
import { describePostgres, freshSchema } from "../../support/stores/PostgresCluster.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const named = (spans: ReadonlyArray<Span>, name: string) =>
  spans.filter((span) => span.name === name)

const attributesOf = (spans: ReadonlyArray<Span>, name: string) =>
  named(spans, name).map(({ attributes }) => attributes)

const betsOf = (spans: ReadonlyArray<Span>): number =>
  attributesOf(spans, "Store.commit").reduce((sum, at) => sum + Number(at["lottery.bets"]), 0)

const expectParents = (spans: ReadonlyArray<Span>) => {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  expect(byId.size).toBe(spans.length)
  for (const { name, parentSpanId, traceId } of spans) {
    if (parentSpanId !== undefined) expect(byId.get(parentSpanId)?.traceId, name).toBe(traceId)
  }
}

/** Every text of an export, except ids and times, whose digits are random. */
const textsOf = (value: unknown): ReadonlyArray<string> => {
  if (typeof value !== "object" || value === null) return [String(value)]
  return Object.entries(value).flatMap(([key, one]) => (/Id$|Nano$/.test(key) ? [] : textsOf(one)))
}

/** Checks that no field of a book, except numbers, is in any text. */
const expectNothingOf = (books: ReadonlyArray<string>, bodies: ReadonlyArray<string>) => {
  const text = bodies.flatMap((body) => textsOf(JSON.parse(body))).join("\n")
  expect(text).toContain("Connection.serve")
  const rows = books.flatMap((book) => book.trim().split("\n"))
  expect(rows.length).toBeGreaterThan(100)
  const fields = new Set(rows.flatMap((row) => row.split(",").slice(0, 4)))
  for (const field of fields) expect(text.includes(field), field).toBe(false)
}

/** Sends bytes to a server and waits until it closes the connection. */
const sendRaw = (port: number, text: string) =>
  Effect.callback<void>((resume) => {
    const peer = createConnection(port, "127.0.0.1", () => peer.end(text))
    peer.once("close", () => resume(Effect.void))
    peer.resume()
  })

const TOKENS = ["t0ken-of-1-qwertz", "t0ken-of-2-asdfgh"]

describe("the spans of a whole draw", () => {
  it.live("with tokens, a discard and an announced number", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 5000, 7, 2)
      const store = inFolder(folder, "sqlite:lottery.db")
      const tokens = join(folder, "tokens")
      writeFileSync(tokens, TOKENS.map((token, index) => `${index + 1} ${token}\n`).join(""))
      const collector = yield* startCollector(ACCEPT)
      const url = collector.url.replace("//", "//ana:s3cret@")
      const server = yield* startServer({
        store,
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_RESOURCE_ATTRIBUTES: "site=north" },
        more: [
          ...["--agencies", "2", "--draw", "sunday", "--tokens", tokens, "--once"],
          ...["--number-from", "announced"]
        ]
      })
      const start = (agency: number) =>
        startLottery({
          args: [...clientArgs(folder, agency, server, "native"), "--draw", "sunday"],
          env: { LOTTERY_TOKEN: TOKENS[agency - 1]! }
        })
      const act = (name: string, ...more: ReadonlyArray<string>) =>
        runLottery({ args: [name, "--store", store, "--draw", "sunday", "--yes", ...more] })
      const first = yield* start(1)
      yield* first.logged(/waiting_for_draw/)
      expect((yield* act("discard", "--agency", "1")).code).toBe(0)
      yield* first.outcome
      expect((yield* act("discard", "--agency", "9")).code).toBe(1)
      const clients = [yield* start(1), yield* start(2)]
      yield* server.logged(/agency_finished .* finished: 2/)
      expect((yield* act("draw", "--number", "1234")).code).toBe(0)
      for (const [index, client] of clients.entries()) {
        const stdout = winnersOf(bookOf(folder, index + 1), 1234)
        expect(yield* client.outcome).toMatchObject({ code: 0, stdout })
      }
      const { code, stderr } = yield* server.outcome
      expect(code, stderr).toBe(0)
      expect(stderr).toContain(`otlp: ${collector.url}/v1/traces`)
      expect(stderr).not.toContain("s3cret")

      const spans = yield* collector.spans
      expectParents(spans)
      expect(betsOf(spans)).toBe(15_000)
      expect(attributesOf(spans, "Connection.serve")).toEqual(
        [1, 1, 2].map(() => ({
          "client.address": "127.0.0.1",
          "client.port": expect.any(Number),
          "lottery.port": "bets",
          "lottery.dialect": "native",
          "lottery.agency": expect.any(Number)
        }))
      )
      const [draw, ...otherDraws] = named(spans, "Lottery.draw")
      expect(otherDraws).toEqual([])
      expect(draw).toMatchObject({ attributes: { "lottery.agencies": 2 } })
      expect(draw!.parentSpanId).toBeUndefined()
      expect(draw!.resource).toEqual({
        "telemetry.sdk.name": "effect",
        "telemetry.sdk.language": "nodejs",
        "telemetry.sdk.version": expect.any(String),
        "service.name": "lottery",
        "service.version": expect.stringMatching(/^\d+\.\d+\.\d+$/),
        "service.instance.id": expect.stringMatching(/^[0-9a-f-]{36}$/),
        "lottery.draw": "sunday",
        site: "north"
      })
      const [discard, refused] = named(spans, "Operator.book_discarded")
      expect([discard, refused]).toMatchObject([
        {
          status: { code: 1 },
          attributes: { "lottery.draw": "sunday", "lottery.agency": 1, "lottery.bets": 5000 }
        },
        {
          status: { code: 2, message: "NoSuchAgency" },
          attributes: { "lottery.draw": "sunday", "lottery.agency": 9 }
        }
      ])
      expect(attributesOf(spans, "Operator.number_announced")).toEqual([
        { "lottery.draw": "sunday", "lottery.winning_number": 1234 }
      ])
      // Another fiber may execute their commits.
      const parents = named(spans, "Store.commit").map(({ parentSpanId }) => parentSpanId)
      expect(parents).toContain(discard!.spanId)
      expect(parents).toContain(draw!.spanId)

      for (const { body: _, ...request } of collector.requests) {
        expect(request).toEqual({
          path: "POST /v1/traces",
          contentType: "application/json",
          authorization: `Basic ${Buffer.from("ana:s3cret").toString("base64")}`
        })
      }
      const bodies = collector.requests.map(({ body }) => body)
      expectNothingOf([bookOf(folder, 1), bookOf(folder, 2)], bodies)
      for (const token of TOKENS) expect(bodies.join()).not.toContain(token)
    })
  )

  it.live("with the dialects of the course, a refused bet and a close", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* generate(folder, 3000, 7, 3)
      const store = inFolder(folder, "csv:bets.csv")
      const collector = yield* startCollector(ACCEPT)
      const closeAt = new Date(Date.now() + 5000).toISOString().replace(/\.\d+/, "")
      const server = yield* startServer({
        store,
        env: { OTEL_RESOURCE_ATTRIBUTES: "site=%zz" },
        more: ["--agencies", "3", "--close-at", closeAt, "--otlp", collector.url, "--once"]
      })
      const clients = yield* Effect.forEach(["json", "binary"], (dialect, index) =>
        startLottery({ args: clientArgs(folder, index + 1, server, dialect) })
      )
      yield* sendRaw(server.port, "\u0005Bettor,30904465")
      for (const client of clients) expect(yield* client.outcome).toMatchObject({ code: 0 })
      const { code, stderr } = yield* server.outcome
      expect(code, stderr).toBe(0)
      expect(stderr).toMatch(/WARNING +OTEL_RESOURCE_ATTRIBUTES is ignored: expected/)
      expect(stderr).not.toMatch(/^ +at /m)
      expect(stderr).toMatch(/unknown first bytes: 05 42 65/)

      const spans = yield* collector.spans
      expectParents(spans)
      const serves = attributesOf(spans, "Connection.serve")
      expect(new Set(serves.map((at) => `${at["lottery.dialect"]} ${at["lottery.port"]}`))).toEqual(
        new Set(["json bets", "json winners", "binary bets", "undefined bets"])
      )
      expect(named(spans, "Lottery.draw")).toHaveLength(1)
      const bodies = collector.requests.map(({ body }) => body)
      expectNothingOf(
        [1, 2].map((agency) => bookOf(folder, agency)),
        bodies
      )
    })
  )
})

describePostgres("the spans of a draw on PostgreSQL", (database) => {
  it.live("are those of bets, without SQL", () =>
    Effect.gen(function* () {
      const store = yield* freshSchema((yield* database).url)
      const folder = yield* temporaryFolder
      yield* generate(folder, 5000, 7, 1)
      const collector = yield* startCollector(ACCEPT)
      const more = ["--agencies", "1", "--otlp", collector.url, "--once"]
      const server = yield* startServer({ store, more })
      const { code, stderr } = yield* runLottery({
        args: clientArgs(folder, 1, server, "native")
      })
      expect(code, stderr).toBe(0)
      yield* server.outcome
      const spans = yield* collector.spans
      expectParents(spans)
      expect(betsOf(spans)).toBe(5000)
      const [serve] = named(spans, "Connection.serve")
      for (const commit of named(spans, "Store.commit")) {
        expect(commit.parentSpanId).toBe(serve!.spanId)
      }
      expect(new Set(spans.map(({ name }) => name))).toEqual(
        new Set(["Connection.serve", "Store.commit", "Lottery.draw"])
      )
      expectNothingOf(
        [bookOf(folder, 1)],
        collector.requests.map(({ body }) => body)
      )
    })
  )
})

/** Holds a draw of two agencies; returns the server's log. */
const holdDraw = Effect.fnUntraced(function* (url: string) {
  const folder = yield* temporaryFolder
  yield* generate(folder, 2000, 7, 2)
  const store = inFolder(folder, "sqlite:lottery.db")
  const server = yield* startServer({ store, more: ["--agencies", "2", "--otlp", url] })
  const outcomes = yield* Effect.forEach(
    [1, 2],
    (agency) => runLottery({ args: clientArgs(folder, agency, server, "native") }),
    { concurrency: "unbounded" }
  )
  for (const [index, { code, stderr, stdout }] of outcomes.entries()) {
    const book = bookOf(folder, index + 1)
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: winnersOf(book) })
    expect(yield* exported(store, index + 1)).toBe(book)
  }
  return server
})

const FAILED = /^.* WARNING +action: export_traces \| result: fail .*$/gm

/** Stops a server and returns the log's only line about its exports. */
const stop = Effect.fnUntraced(function* (server: Effect.Success<ReturnType<typeof holdDraw>>) {
  yield* server.signal("SIGTERM")
  const { code, stderr } = yield* server.outcome
  expect(code, stderr).toBe(0)
  expect(stderr).toContain("close_resource | result: success | resource: traces")
  const lines = stderr.match(FAILED) ?? []
  expect(lines, stderr).toHaveLength(1)
  return lines[0]!
})

describe("a draw is held and the server stops", () => {
  it.live("with a collector that is absent", () =>
    Effect.gen(function* () {
      const { port } = yield* freePorts
      const server = yield* holdDraw(`http://127.0.0.1:${port}`)
      yield* server.logged(/export_traces/)
      expect(yield* stop(server)).toContain(
        `url: http://127.0.0.1:${port}/v1/traces | error: connect ECONNREFUSED`
      )
    })
  )

  it.live("with one that answers 503, and asks to wait for a day", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(UNAVAILABLE)
      const server = yield* holdDraw(collector.url)
      yield* server.logged(/export_traces/)
      expect(yield* stop(server)).toContain("HTTP status 503; spans are dropped")
      expect(collector.requests.length).toBe(3)
    })
  )

  it.live("with one that hangs", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(HANG)
      const server = yield* holdDraw(collector.url)
      expect(yield* stop(server)).toContain("the server stopped before the answer")
      expect(collector.requests.length).toBeGreaterThan(0)
    })
  )
})

/** Makes a tracer in this process; returns it with the lines that are logged. */
const trace = Effect.fnUntraced(function* (url: string) {
  const log: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    const parts = Array.isArray(message) ? message : [message]
    for (const part of parts) if (part instanceof ActionLine) log.push(part.toString())
  })
  const { tracer } = yield* Effect.provide(
    Traces.make(parseCollector(url)!, "default"),
    Logger.layer([logger])
  )
  return { tracer, log }
})

const commits = (count: number) =>
  Effect.forEach(
    Array.from({ length: count }),
    (_, index) =>
      Effect.andThen(
        Effect.withSpan(Effect.void, "Store.commit"),
        index % 100 === 0 ? Effect.yieldNow : Effect.void
      ),
    { discard: true }
  )

/** Passes time until a line is logged, with one more span every five seconds. */
const passUntil = ({ log, tracer }: Effect.Success<ReturnType<typeof trace>>, line: string) =>
  Effect.provide(commits(1), tracer).pipe(
    Effect.andThen(TestClock.adjust("5 seconds")),
    // The sockets are real.
    Effect.andThen(TestClock.withLive(Effect.sleep("20 millis"))),
    Effect.repeat({ until: () => log.some((one) => one.includes(line)) })
  )

/** Chunks of an answer without an end. */
const CHUNK = Buffer.alloc(64 * 1024, "a")

describe("an exporter", () => {
  it.live("has at most 16 exports in flight, and drops what is more", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(HANG)
      const { log, tracer } = yield* trace(collector.url)
      yield* Effect.provide(commits(100_000), tracer)
      yield* Effect.sleep("1 second")
      expect(collector.mostOpen()).toBe(16)
      expect(log.filter((line) => line.includes("export_traces"))).toEqual([
        expect.stringContaining("error: 16 exports are waiting for an answer; spans are dropped")
      ])
    }).pipe(Effect.scoped)
  )

  it.live("takes the spans of 10,000 connections that end together", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(ACCEPT)
      yield* Effect.gen(function* () {
        const { log, tracer } = yield* trace(collector.url)
        yield* Effect.provide(commits(10_000), tracer)
        expect(log).toEqual([])
      }).pipe(Effect.scoped)
      expect((yield* collector.spans).length).toBe(10_000)
    })
  )

  it.effect("drops spans for a minute after a failure, and says when it works again", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(UNAVAILABLE)
      const exporter = yield* trace(collector.url)
      const { log, tracer } = exporter
      yield* passUntil(exporter, "result: fail")
      const failed = collector.requests.length
      yield* Effect.provide(commits(5000), tracer)
      yield* TestClock.adjust("50 seconds")
      yield* TestClock.withLive(Effect.sleep("50 millis"))
      expect(collector.requests.length).toBe(failed)
      collector.answerWith(ACCEPT)
      yield* passUntil(exporter, "result: success")
      expect(log).toEqual([
        expect.stringContaining("action: export_traces | result: fail"),
        `action: export_traces | result: success | url: ${collector.url}/v1/traces`
      ])
      const sizes = collector.requests.map(({ body }) => body.length)
      expect(Math.max(...sizes)).toBeLessThan(10_000)
    }).pipe(Effect.scoped)
  )

  it.effect("gives up an export that gets no answer in ten seconds", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(HANG)
      yield* passUntil(yield* trace(collector.url), "error: no answer within 10s")
    }).pipe(Effect.scoped)
  )

  it.effect("does not repeat an export that is refused", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector((response) => void response.writeHead(401).end())
      yield* passUntil(yield* trace(collector.url), "error: HTTP status 401")
      expect(collector.requests.length).toBe(1)
    }).pipe(Effect.scoped)
  )

  it.live("follows no redirect", () =>
    Effect.gen(function* () {
      const elsewhere = yield* startCollector(ACCEPT)
      const collector = yield* startCollector((response) => {
        response.writeHead(307, { location: `${elsewhere.url}/v1/traces` }).end()
      })
      const { log, tracer } = yield* trace(collector.url)
      yield* Effect.provide(commits(1000), tracer)
      yield* until(Effect.sync(() => log.length > 0))
      expect(log).toEqual([
        expect.stringContaining("error: unexpected redirect; spans are dropped")
      ])
      expect(elsewhere.requests).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live("reads little of an answer without an end", () =>
    Effect.gen(function* () {
      let sent = 0
      const flood: Answer = (response) => {
        const send = (): void => {
          if (response.destroyed) return
          sent += CHUNK.length
          if (response.write(CHUNK)) setImmediate(send)
          else response.once("drain", send)
        }
        send()
      }
      const collector = yield* startCollector(flood)
      yield* Effect.gen(function* () {
        const { log, tracer } = yield* trace(collector.url)
        yield* Effect.provide(commits(1000), tracer)
        yield* Effect.sleep("500 millis")
        expect(log).toEqual([])
      }).pipe(Effect.scoped)
      expect(sent).toBeGreaterThan(0)
      // What the kernel's buffers take, too.
      expect(sent).toBeLessThan(32 * 1024 * 1024)
    })
  )

  it.live("says of a failure only what kind it was", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(ACCEPT)
      yield* Effect.gen(function* () {
        const { tracer } = yield* trace(collector.url)
        const failures: ReadonlyArray<Effect.Effect<never, unknown>> = [
          Effect.fail(new TypeError("document 30904465")),
          Effect.die(new RangeError("document 30904465")),
          Effect.fail("document 30904465")
        ]
        for (const failed of failures) {
          yield* failed.pipe(Effect.withSpan("Store.commit"), Effect.exit, Effect.provide(tracer))
        }
      }).pipe(Effect.scoped)
      const messages = (yield* collector.spans).map(({ status }) => status.message)
      expect(messages).toEqual(["TypeError", "RangeError", "unknown error"])
      expect(collector.requests[0]!.body).not.toContain("30904465")
    })
  )

  it.live("exports no other spans, such as those of SQL", () =>
    Effect.gen(function* () {
      const collector = yield* startCollector(ACCEPT)
      yield* Effect.gen(function* () {
        const { tracer } = yield* trace(collector.url)
        yield* Effect.void.pipe(
          Effect.withSpan("sql.execute", { attributes: { "db.query.text": "select 1" } }),
          Effect.withSpan("Store.commit"),
          Effect.provide(tracer)
        )
      }).pipe(Effect.scoped)
      expect((yield* collector.spans).map(({ name }) => name)).toEqual(["Store.commit"])
    })
  )
})

it.live("the collector of these tests is strict", () =>
  Effect.gen(function* () {
    const collector = yield* startCollector(ACCEPT)
    yield* Effect.gen(function* () {
      const { tracer } = yield* trace(collector.url)
      yield* Effect.provide(commits(1), tracer)
    }).pipe(Effect.scoped)
    const { body } = collector.requests[0]!
    yield* decodeExport(body)
    for (const [from, to] of [
      [/"traceId":"../, '"traceId":"'],
      [/"startTimeUnixNano":"(\d+)"/, '"startTimeUnixNano":$1'],
      [/"kind":1/, '"kind":"INTERNAL"'],
      [/"links":\[\],/, ""],
      [/"name":"Store.commit"/, '"name":"Store.commit","extra":1']
    ] as const) {
      const changed = body.replace(from, to)
      expect(changed).not.toBe(body)
      yield* Effect.flip(decodeExport(changed))
    }
  })
)

const WRONG = ["localhost:4318", "grpc://localhost:4317", "http://ana:s3cret@host/?q"]

it.live.each(WRONG)("%s is refused as wrong usage, without its password", (url) =>
  Effect.gen(function* () {
    const { code, stderr } = yield* runLottery({ args: ["server", "--otlp", url] })
    expect(code).toBe(2)
    expect(stderr).toContain("otlp from the flag --otlp: expected an http or https URL")
    expect(stderr).not.toContain("s3cret")
  })
)
