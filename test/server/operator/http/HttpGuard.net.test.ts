/**
 * Goal: no HTTP request, however malformed, gets more than a plain refusal: no file of the machine,
 * no internal error, no answer under a foreign name; and none leaves a line in the log. Method:
 * requests over plain sockets, because an HTTP client would normalize them, against a server in
 * this process.
 */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { type Answer, ask, get, request } from "../../../support/peers/rawHttp.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const start = Effect.gen(function* () {
  const path = `${yield* temporaryFolder}/bets.csv`
  return yield* WatchedServer.start({ _tag: "csv", path }, [1, 2], {
    http: { hosts: ["board.example"] }
  })
})

const TEXT = "text/plain; charset=utf-8"

/** Every path, with the type of its content and what the content begins with. */
const PATHS = [
  ["/healthz", TEXT, "ok\n"],
  ["/readyz", TEXT, "ready\n"],
  ["/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP "],
  ["/api/standing", "application/json", '{"draw":{'],
  ["/", "text/html; charset=utf-8", WatchedServer.FILES["board.html"]],
  ["/board.css", "text/css; charset=utf-8", WatchedServer.FILES["board.css"]],
  ["/board.js", "text/javascript; charset=utf-8", WatchedServer.FILES["board.js"]],
  ["/board.svg", "image/svg+xml", WatchedServer.FILES["board.svg"]]
] as const

const expectGuarded = ({ headers }: Answer, what: string) => {
  const policy = headers.get("content-security-policy") ?? ""
  expect(policy, what).toContain("default-src 'none'; script-src 'self'")
  expect(policy, what).toContain("frame-ancestors 'none'")
  expect(headers.get("x-content-type-options"), what).toBe("nosniff")
  expect(headers.get("x-frame-options"), what).toBe("DENY")
  expect(headers.get("connection"), what).toBe("close")
}

/** What Node's own parser answers: a status, and nothing that a browser could show or frame. */
const expectBare = ({ body }: Answer, what: string) => expect(body, what).toBe("")

type Case = readonly [request: string, status: number]

/** Sends each request on a connection of its own; the server must then still be in order. */
const expectStatuses = (cases: ReadonlyArray<Case>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { httpPort, log } = yield* start
      const before = log.length
      for (const [bytes, status] of cases) {
        const what = JSON.stringify(bytes.slice(0, 90))
        const answer = yield* ask(httpPort, bytes)
        expect(answer.status, what).toBe(status)
        expect(answer.body, what).not.toMatch(/node:|\.ts\b|\bat .*:\d+|Error|root:/)
        if (answer.headers.has("content-type")) expectGuarded(answer, what)
        else expectBare(answer, what)
      }
      expect(yield* get(httpPort, "/healthz")).toMatchObject({ status: 200, body: "ok\n" })
      expect(log.slice(before)).toEqual([])
    })
  )

describe("the paths", () => {
  it.live("answer GET with their content, and HEAD with the same headers and no body", () =>
    Effect.gen(function* () {
      const { httpPort } = yield* start
      for (const [path, type, begin] of PATHS) {
        const answer = yield* get(httpPort, path)
        expect(answer.status, path).toBe(200)
        expect(answer.headers.get("content-type"), path).toBe(type)
        expect(answer.headers.get("content-length"), path).toBe(String(answer.body.length))
        expect(answer.body.slice(0, begin.length), path).toBe(begin)
        expectGuarded(answer, path)
        const head = yield* ask(httpPort, request(path, "HEAD"))
        expect(head.status, path).toBe(200)
        expect(head.body, path).toBe("")
        const varying = path === "/metrics" ? ["date", "content-length"] : ["date"]
        const comparable = ({ headers }: Answer) =>
          [...headers].filter(([name]) => !varying.includes(name))
        expect(comparable(head), path).toEqual(comparable(answer))
      }
      const head = yield* ask(httpPort, request("/api/events", "HEAD"))
      expect(head).toMatchObject({ status: 200, body: "" })
      expect(head.headers.get("content-type")).toBe("text/event-stream")
      expectGuarded(head, "/api/events")
    }).pipe(Effect.scoped)
  )

  it.live("are the only ones, however a path is written", () =>
    expectStatuses(
      [
        ["/favicon.ico", 404],
        ["/board.html", 404],
        ["/lottery.cjs", 404],
        ["/../etc/passwd", 404],
        ["/../../../../../../etc/passwd", 404],
        ["/%2e%2e/%2e%2e/etc/passwd", 404],
        ["/..%2f..%2fetc%2fpasswd", 404],
        ["/..\\..\\etc\\passwd", 404],
        ["/api%2fstanding", 404],
        ["/api/../healthz", 404],
        ["/./healthz", 404],
        ["/healthz/..", 404],
        ["/healthz%00", 404],
        ["/healthz%00.html", 404],
        ["/%00", 404],
        ["/%", 404],
        ["/%zz", 404],
        ["/%c3%28", 404],
        ["/__proto__", 404],
        ["/constructor", 404],
        ["/:path", 404],
        ["//evil.example/metrics", 404],
        ["http://", 404],
        ["http://[", 404],
        [`/${"a".repeat(7000)}`, 404],
        [`/${"a".repeat(9000)}`, 431],
        ["/caf\xe9", 400],
        ["/\0", 400],
        ["/a b", 400],
        ["evil", 400],
        ["//healthz", 200],
        ["/healthz/", 200],
        ["/healthz;x", 200],
        ["/healthz?query", 200],
        [`/healthz?${"&a=1".repeat(500)}`, 200],
        ["/healthz#fragment", 200],
        ["/%68ealthz", 200]
      ].map(([path, status]) => [request(String(path)), Number(status)] as const)
    )
  )
})

describe("a method", () => {
  it.live("other than GET and HEAD is refused", () =>
    Effect.gen(function* () {
      const { httpPort } = yield* start
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"]) {
        for (const path of ["/metrics", "/", "/api/events", "/nothing"]) {
          const answer = yield* ask(httpPort, request(path, method))
          expect(answer.status, method).toBe(405)
          expect(answer.headers.get("allow"), method).toBe("GET, HEAD")
          expectGuarded(answer, method)
        }
      }
      // Node itself closes a connection that asks to become a tunnel.
      expect((yield* ask(httpPort, request("evil.example:80", "CONNECT"))).status).toBe(0)
    }).pipe(Effect.scoped)
  )

  it.live("that does not exist is a bad request", () =>
    expectStatuses(
      ["FOO", "get", "PRI", "G\0T", "", "A".repeat(5000)].map(
        (method) => [request("/metrics", method), 400] as const
      )
    )
  )
})

describe("the name of the server", () => {
  const named = (host: string, status: number): Case => [
    request("/healthz", "GET", `Host: ${host}\r\n`),
    status
  ]

  it.live("is one of loopback, or is given", () =>
    expectStatuses(
      [
        ...["localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "[::1]"],
        ...["[::ffff:127.0.0.1]", "board.example", "BOARD.example:1"]
      ].map((host) => named(host, 200))
    )
  )

  it.live("is otherwise refused", () =>
    expectStatuses(
      [
        ...["", "evil.example", "127.0.0.1.evil.example", "localhost.evil", "evil@localhost"],
        ...["evil.localhost", "localhost.", "localhost,evil", "localhost evil", "localhost/evil"],
        ...["localhost:80:80", "localhost:", "[::1", "::1", "0.0.0.0", "127.1"],
        ...["0x7f.1", "xboard.example", "board.example.evil", "loc\xe1lhost"]
      ].map((host) => named(host, 421))
    )
  )

  it.live("is given exactly once", () =>
    expectStatuses([
      [request("/healthz", "GET", ""), 400],
      ["GET /healthz HTTP/1.0\r\n\r\n", 421],
      [request("/healthz", "GET", "Host: localhost\r\nHost: evil.example\r\n"), 421],
      [request("/healthz", "GET", "Host: evil.example\r\nHost: localhost\r\n"), 421]
    ])
  )

  it.live("is that of the request's target, if it has one", () =>
    expectStatuses([
      [request("http://localhost/healthz"), 200],
      [request("http://board.example:99/healthz"), 200],
      [request("http://evil.example/metrics"), 421],
      [request("HTTPS://evil.example/metrics"), 421],
      [request("http://localhost@evil.example/metrics"), 421],
      [request("http://localhost.evil.example/metrics"), 421],
      [request("http://board.example", "GET", "Host: evil.example\r\n"), 200]
    ])
  )
})

describe("a request", () => {
  it.live("of another version or protocol is refused", () =>
    expectStatuses([
      ["GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", 200],
      ["GET /healthz\r\n\r\n", 421],
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
      ["GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", 400],
      ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
      ["\xff".repeat(100), 400],
      ["GET /healthz HTTP/1.1\nHost: localhost\n\n", 400]
    ])
  )

  it.live("with a body is refused without reading the body", () =>
    expectStatuses([
      [request("/healthz", "GET", "Host: localhost\r\nContent-Length: 1000000000000\r\n"), 413],
      [request("/healthz", "POST", "Host: localhost\r\nContent-Length: 1000000000000\r\n"), 405],
      [request("/healthz", "GET", "Host: localhost\r\nContent-Length: 5\r\n"), 413],
      [
        `${request("/", "GET", "Host: localhost\r\nTransfer-Encoding: chunked\r\n")}5\r\nhello`,
        413
      ],
      [
        request("/", "GET", "Host: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"),
        413
      ],
      [request("/", "GET", "Host: localhost\r\nContent-Length: 0\r\n"), 200]
    ])
  )

  it.live("that two readers would understand differently is refused", () =>
    expectStatuses(
      [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        " folded: x\r\n",
        "X: a\0b\r\n"
      ].map((header) => {
        const smuggled = request("/metrics")
        const bytes = `${request("/", "GET", `Host: localhost\r\n${header}`)}0\r\n\r\n${smuggled}`
        return [bytes, 400] as const
      })
    )
  )

  it.live("to upgrade the connection is answered as an ordinary one", () =>
    expectStatuses(
      ["websocket", "h2c", "TLS/1.0, HTTP/1.1", "\xff"].map((protocol) => [
        request(
          "/healthz",
          "GET",
          `Host: localhost\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n` +
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ),
        200
      ])
    )
  )

  it.live("with too many headers is refused", () =>
    expectStatuses([
      [request("/healthz", "GET", `Host: localhost\r\nX: ${"a".repeat(7000)}\r\n`), 200],
      [request("/healthz", "GET", `Host: localhost\r\nX: ${"a".repeat(9000)}\r\n`), 431],
      [request("/healthz", "GET", `Host: localhost\r\n${"a:b\r\n".repeat(3000)}`), 431]
    ])
  )
})
