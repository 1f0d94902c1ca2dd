/**
 * Goal: other protocols are told apart from the dialects. Each such connection gets one log line
 * that says what arrived, and is closed; a person with a browser reads why. Method: their first
 * bytes, on real sockets.
 */
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { makeServerTls } from "../../src/server/admission/Certificates.ts"
import { exchange } from "../support/peers/exchange.ts"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { makeTrialKeys } from "../support/processes/trialKeys.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const startServer = Effect.fnUntraced(function* (options: TestServer.Options = {}) {
  const folder = yield* temporaryFolder
  return yield* TestServer.start(
    { _tag: "sqlite", path: `${folder}/lottery.db` },
    [1],
    7574,
    options
  )
})

const FAILED = "action: receive_message | result: fail | ip: 127.0.0.1 | error: "
const TLS = "got TLS, but this server was started without --tls-cert and --tls-key"
const NO_TLS = "This port of a lottery server has no TLS.\n"

/** Returns the log lines about messages, starting at line `before`. */
const linesOf = ({ log }: TestServer.TestServer, before = 0) =>
  log.slice(before).filter((line) => line.includes("receive_message"))

describe("the first bytes of", () => {
  const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex")
  const foreign: Readonly<Record<string, readonly [bytes: Buffer, heard: string, error: string]>> =
    {
      "TLS 1.0": [hex("16 0301 002f 01 00002b 0301"), NO_TLS, TLS],
      "TLS 1.3": [hex("16 0301 0200 01 0001fc 0303"), NO_TLS, TLS],
      "SSL 2": [hex("802e 01 0002 0015 0000 0010"), "", "unknown first bytes: 80 2e 01"],
      "the PROXY protocol 2": [
        hex("0d0a0d0a000d0a515549540a 21 11 000c"),
        "",
        "unknown first bytes: 0d 0a"
      ],
      PostgreSQL: [hex("00000008 04d2162f"), "", "unknown first bytes: 00 00 00 08 04 d2"],
      "PostgreSQL 3": [
        hex("00000029 00030000 75736572"),
        "",
        "unknown first bytes: 00 00 00 29 00 03"
      ],
      MQTT: [hex("10 0c 0004 4d515454 04 02 003c"), "", "unknown first bytes: 10 0c 00 04"],
      RDP: [hex("0300002b 26e0 0000 0000 00"), "", "unknown first bytes: 03 00 00 2b"],
      SMB: [hex("00000045 ff534d42 72"), "", "unknown first bytes: 00 00 00 45 ff"],
      DNS: [hex("001d 1a2b 0100 0001 0000 0000 0000"), "", "unknown first bytes: 00 1d 1a 2b"],
      "Redis, an array": [Buffer.from("*1\r\n$4\r\nPING\r\n"), "*1\n", ""],
      "Redis, inline": [Buffer.from("PING\r\n"), "PING\n", ""],
      SSH: [Buffer.from("SSH-2.0-OpenSSH_9.9\r\n"), "SSH-2.0-OpenSSH_9.9\n", ""],
      SMTP: [Buffer.from("EHLO lottery\r\n"), "EHLO lottery\n", ""],
      "the PROXY protocol 1": [
        Buffer.from("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"),
        "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n",
        ""
      ]
    }

  it.live("another protocol are one log line, and the server keeps serving", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      for (const [name, [bytes, heard, error]] of Object.entries(foreign)) {
        const before = server.log.length
        const said = yield* exchange({ port: server.port }, bytes)
        expect(said.toString("latin1"), name).toBe(heard)
        const lines = linesOf(server, before)
        expect(lines, name).toHaveLength(1)
        // Any text line is echoed.
        const result = error === "" ? "action: receive_message | result: success |" : FAILED
        expect(lines[0], name).toContain(result)
        expect(lines[0], name).toContain(error)
      }
      expect((yield* exchange({ port: server.port }, Buffer.from("PING\n"))).toString()).toBe(
        "PING\n"
      )
    })
  )

  it.live("TLS are one log line, even if the peer resets after the answer", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(hex("16 0301 0200 01"))
      yield* peer.receive(NO_TLS.length)
      yield* peer.reset
      yield* exchange({ port: server.port }, Buffer.from("PING\n"))
      expect(server.log.filter((line) => line.includes("fail"))).toEqual([`${FAILED}${TLS}`])
    })
  )
})

describe("HTTP", () => {
  const expectRefusal = (heard: Buffer) => {
    const [head, body] = heard.toString().split("\r\n\r\n")
    expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(head).toContain(`\r\nContent-Length: ${body?.length}\r\n`)
    expect(body).toMatch(/lottery server's port .* does not speak HTTP/)
  }
  const HEADERS = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

  it.live("gets an HTTP answer on both ports, and is one log line", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      for (const line of [
        "GET / HTTP/1.1",
        "GET /health HTTP/1.0",
        "CONNECT lottery:443 HTTP/1.1",
        "PRI * HTTP/2.0"
      ]) {
        const before = server.log.length
        for (const port of [server.port, server.winnersPort]) {
          expectRefusal(yield* exchange({ port }, Buffer.from(`${line}\r\n${HEADERS}`)))
        }
        const said = `${FAILED}got HTTP, which this server does not support: ${line}`
        expect(linesOf(server, before)).toEqual([said, said])
      }
    })
  )

  it.live("is answered before a long body has arrived, without a reset", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const request = "POST /bets HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n"
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(Buffer.from(request))
      yield* peer.send(Buffer.alloc(2_000_000, "1"))
      expectRefusal(yield* peer.rest)
    })
  )

  it.live("is answered over TLS too", () =>
    Effect.gen(function* () {
      const keys = yield* makeTrialKeys
      const { certificate: cert, key } = keys.server
      const server = yield* startServer({
        tls: yield* makeServerTls({ cert, key, clientCa: undefined })
      })
      const tls = { ca: keys.authority.certificate }
      expectRefusal(
        yield* exchange({ port: server.port, tls }, Buffer.from(`GET / HTTP/1.1\r\n${HEADERS}`))
      )
    })
  )

  it.live("needs a version: similar lines are echoed, and no bet is mistaken for HTTP", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      for (const line of ["GET /", "get / HTTP/1.1", "GET  HTTP/1.1", "GET / HTTP/1.1 x"]) {
        const heard = yield* exchange({ port: server.port }, Buffer.from(`${line}\n`))
        expect(heard.toString()).toBe(`${line}\n`)
      }
      const bet = ["GET / HTTP/1.1", ...M.fields(1).slice(1)]
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.packetOf(1, [bet], true))
      expect(yield* peer.receive(2)).toEqual(M.STORED)
    })
  )
})
