/**
 * Goal: what is no TLS is closed with a log line, whoever it is, and harms nobody else; other
 * certificates hold for the connections to come. Method: real sockets on a port that speaks TLS.
 */
import { X509Certificate } from "node:crypto"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"
import { it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Result, Schedule } from "effect"
import { describe, expect } from "vitest"
import type { Credentials } from "../../src/cli/TrialKeys.ts"
import { makeServerTls } from "../../src/server/Certificates.ts"
import { HANDSHAKE_BYTES, MIN_MEMORY_BYTES } from "../../src/server/HeldBytes.ts"
import type { ServerLimits } from "../../src/server/ServerLimits.ts"
import { BOOKS, dial, exchange, expectedWinners, rest, winnersIn } from "../support/exchange.ts"
import * as M from "../support/messages.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"
import * as TestServer from "../support/TestServer.ts"
import { makeTrialKeys, type TrialKeys } from "../support/trialKeys.ts"

const [keys, others] = await Effect.runPromise(Effect.all([makeTrialKeys, makeTrialKeys]))

const credentialsOf = (
  { certificate: cert, key }: Credentials,
  clientCa: string | undefined = undefined
) => ({ cert, key, clientCa })

const startServer = Effect.fnUntraced(function* (
  asksFor?: TrialKeys,
  limits: Partial<ServerLimits> = { handshakeTimeout: Duration.millis(300) }
) {
  const tls = yield* makeServerTls(credentialsOf(keys.server, asksFor?.authority.certificate))
  const folder = yield* temporaryFolder
  const store = { _tag: "sqlite", path: `${folder}/lottery.db` } as const
  const server = yield* TestServer.start(store, [1], 7574, {
    tls,
    identity: { certificates: asksFor !== undefined, tokens: undefined },
    limits
  })
  return { ...server, tls }
})

const trusted = { ca: keys.authority.certificate }

const ping = (port: number, tls: Tls.ConnectionOptions) =>
  Effect.map(exchange({ port, tls }, Buffer.from("PING\n")), String)

/** The lines about connections that were not accepted, once there are so many. */
const refused = (log: ReadonlyArray<string>, count: number) =>
  Effect.sync(() => log.filter((line) => line.includes("result: fail"))).pipe(
    Effect.repeat({
      until: (lines) => lines.length >= count,
      schedule: Schedule.spaced("10 millis")
    }),
    Effect.timeout("5 seconds")
  )

const FAILED = "action: accept_connections | result: fail | ip: 127.0.0.1 | error: "

describe("what is no TLS is closed and logged, and the server goes on:", () => {
  const said: Readonly<Record<string, readonly [bytes: Buffer, reason: string]>> = {
    "a text line": [Buffer.from("PING\n"), "; that is not TLS: a line of text"],
    "a line of one letter": [Buffer.from("A\n"), "; that is not TLS: 41 0a"],
    "a binary book": [BOOKS.binary(1), "; that is not TLS: the binary dialect in the clear"],
    "a JSON book": [BOOKS.json(1), "; that is not TLS: the json dialect in the clear"],
    "a native book": [BOOKS.native(1), "; that is not TLS: the native dialect in the clear"],
    "a native book that begins slowly": [
      M.PREFACE.subarray(0, 5),
      "; that is not TLS: ff 4c 54 52 59"
    ],
    HTTP: [
      Buffer.from("GET / HTTP/1.1\r\nHost: lottery\r\n\r\n"),
      "; that is not TLS: a line of text"
    ],
    "no handshake in a record": [Buffer.from("1603010005ffffffffff", "hex"), ": [a-z0-9 ]+"],
    "a hello of SSL 2": [Buffer.from("802e0100020015000000", "hex"), "; that is not TLS: 80 2e .*"],
    zeros: [Buffer.alloc(4096), "; that is not TLS: (00 ){63}00"]
  }
  it.live.each(Object.entries(said))("%s", ([, [bytes, reason]]) =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const heard: Array<Buffer> = []
      for (const port of [server.port, server.winnersPort]) {
        heard.push(yield* exchange({ port }, bytes))
      }
      for (const line of yield* refused(server.log, 2)) {
        // One line, in words: neither OpenSSL's source nor its escaped end of line.
        expect(line.slice(0, FAILED.length)).toBe(FAILED)
        expect(line.slice(FAILED.length)).toMatch(new RegExp(`^expected a TLS handshake${reason}$`))
        expect(line).not.toContain("gone away")
      }
      // An alert of TLS: the protocol's version is wrong. HTTP has words of its own.
      const answer =
        bytes === said.HTTP?.[0] ? /^HTTP\/1\.1 400 Bad Request\r\n/ : /^\x15\x03\x01\0\x02\x02F$/
      if (bytes[0] !== 0x16) for (const one of heard) expect(one.toString("latin1")).toMatch(answer)
      expect(yield* ping(server.port, trusted)).toBe("PING\n")
      expect([...(yield* server.store.progress).keys()]).toEqual([])
    })
  )

  it.live("silence, and half a handshake, after a time", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const silent = yield* dial({ port: server.port })
      const half = yield* dial({ port: server.winnersPort })
      half.write(Buffer.from("160301020001", "hex"))
      yield* Effect.all([rest(silent), rest(half)], { concurrency: "unbounded" })
      const line = `${FAILED}expected a TLS handshake: it took more than 300ms`
      expect(yield* refused(server.log, 2)).toEqual([line, line])
      expect(yield* ping(server.port, trusted)).toBe("PING\n")
    })
  )

  it.live("a crowd that does not end its handshakes, while others of its address wait", () =>
    Effect.gen(function* () {
      // So many handshakes have room in an address's share of the least memory there is.
      const crowd = Math.floor(MIN_MEMORY_BYTES / 8 / HANDSHAKE_BYTES)
      const server = yield* startServer(undefined, {
        handshakeTimeout: Duration.seconds(20),
        maxMemoryBytes: MIN_MEMORY_BYTES
      })
      const { port } = server
      const accepted = () => server.log.filter((line) => line.includes("success | ip")).length
      const silent = yield* Effect.forEach(Array.from({ length: crowd }), () => dial({ port }))
      while (accepted() < crowd) yield* Effect.sleep("10 millis")
      const waiting = yield* Effect.forkChild(ping(port, trusted))
      const other = exchange({ port, tls: trusted, from: "127.0.0.2" }, Buffer.from("PING\n"))
      expect(String(yield* other)).toBe("PING\n")
      yield* Effect.sleep("300 millis")
      expect(waiting.pollUnsafe()).toBeUndefined()
      silent[0]!.resetAndDestroy()
      expect(yield* Fiber.join(waiting)).toBe("PING\n")
    })
  )

  it.live("but not TLS whose first byte comes alone", () =>
    Effect.gen(function* () {
      const { port } = yield* startServer(undefined, { handshakeTimeout: Duration.seconds(5) })
      const net = yield* dial({ port })
      const slow = new Duplex({
        read: () => {},
        write: (chunk: Buffer, _encoding, done) => {
          net.write(chunk.subarray(0, 1))
          setTimeout(() => net.write(chunk.subarray(1), done), 20)
        }
      })
      net.on("data", (chunk) => slow.push(chunk)).on("end", () => slow.push(null))
      const link = Tls.connect({ socket: slow, servername: "localhost", ...trusted })
      link.write("PING\n")
      const heard = Effect.callback<Buffer>((resume) => {
        link.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk)))
      })
      expect((yield* heard).toString()).toBe("PING\n")
    })
  )

  it.live("who goes away in the middle of it", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const gone = yield* dial({ port: server.port })
      gone.write(Buffer.from("160301020001", "hex"), () => gone.resetAndDestroy())
      const [line] = yield* refused(server.log, 1)
      expect(line).toMatch(
        /^action: accept_connections \| result: fail .* error: expected a TLS handshake: /
      )
      expect(yield* ping(server.port, trusted)).toBe("PING\n")
    })
  )

  it.live("TLS to a port that speaks none", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const store = { _tag: "sqlite", path: `${folder}/lottery.db` } as const
      const server = yield* TestServer.start(store, [1])
      const { port } = server
      const outcome = yield* Effect.result(ping(port, trusted))
      expect(Result.isFailure(outcome)).toBe(true)
      expect((yield* refused(server.log, 1))[0]).toMatch(
        /^action: receive_message \| result: fail .* \| error: that is TLS: this server was /
      )
      expect((yield* exchange({ port }, Buffer.from("PING\n"))).toString()).toBe("PING\n")
    })
  )
})

describe("other certificates", () => {
  it.live("hold for the connections to come, and who is connected stays", () =>
    Effect.gen(function* () {
      const server = yield* startServer(keys)
      const { port, tls } = server
      const { certificate: cert, key } = yield* keys.agency(1)
      const before = yield* dial({ port, tls: { ...trusted, cert, key } })
      before.write(M.packetOf(1, [M.fields(10, 7574)], true))

      yield* tls.replace(credentialsOf(others.server, others.authority.certificate))
      expect(Result.isFailure(yield* Effect.result(ping(port, trusted)))).toBe(true)
      const next = yield* others.agency(1)
      const known = { ca: others.authority.certificate, cert: next.certificate, key: next.key }
      const socket = yield* dial({ port, tls: known })
      const { raw } = (socket as Tls.TLSSocket).getPeerCertificate()
      expect(new X509Certificate(raw).raw).toEqual(
        new X509Certificate(others.server.certificate).raw
      )
      const old = yield* exchange({ port, tls: { ...known, cert, key } }, M.consultOf(1))
      expect(M.readJson(old)).toMatchObject({
        type_message: 3,
        payload: expect.stringMatching(/agency 1: the certificate is not accepted: /)
      })

      before.write(Buffer.concat([M.packet("1;", false), M.packet("1;", true)]))
      const stored = Buffer.concat([M.STORED, M.STORED])
      expect(yield* rest(before)).toEqual(Buffer.concat([stored, M.winnersOf(10)]))
      const answer = yield* exchange({ port, tls: known }, BOOKS.binary(1))
      expect(winnersIn.binary(answer)).toBe(expectedWinners(1).binary)
    })
  )

  it.live("are not got round with a session of before", () =>
    Effect.gen(function* () {
      const server = yield* startServer(keys)
      const { port, tls } = server
      const { certificate: cert, key } = yield* keys.agency(1)
      const holder = { ...trusted, cert, key }
      const socket = yield* dial({ port, tls: holder })
      const session = yield* Effect.callback<Buffer>((resume) => {
        socket.once("session", (ticket: Buffer) => resume(Effect.succeed(ticket)))
        socket.resume()
      })
      const again = yield* dial({ port, tls: { ...holder, session } })
      expect((again as Tls.TLSSocket).isSessionReused()).toBe(true)

      yield* tls.replace(credentialsOf(keys.server, others.authority.certificate))
      const answer = yield* exchange({ port, tls: { ...holder, session } }, M.consultOf(1))
      expect(M.readJson(answer)).toMatchObject({ type_message: 3 })
    })
  )

  it.live("are not got round with a session of a certificate that has expired since", () =>
    Effect.gen(function* () {
      let laterMillis = 0
      const clock = Object.assign(Object.create(yield* Clock.Clock), {
        currentTimeMillis: Effect.sync(() => Date.now() + laterMillis)
      })
      const server = yield* Effect.provideService(startServer(keys), Clock.Clock, clock)
      const { certificate: cert, key } = yield* keys.agency(1)
      const holder = { ...trusted, cert, key }
      const socket = yield* dial({ port: server.port, tls: holder })
      const session = yield* Effect.callback<Buffer>((resume) => {
        socket.once("session", (ticket: Buffer) => resume(Effect.succeed(ticket)))
      })
      laterMillis = Duration.toMillis("1000 days")
      const tls = { ...trusted, session }
      const answer = yield* exchange({ port: server.port, tls }, M.consultOf(1))
      expect(M.readJson(answer)).toMatchObject({ type_message: 3 })
      expect(server.log.at(-1)).toContain("the certificate is not accepted: CERT_HAS_EXPIRED")
    })
  )

  it.live("that cannot be used change nothing", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const bad = { certificate: keys.server.certificate, key: others.server.key }
      const { message } = yield* Effect.flip(server.tls.replace(credentialsOf(bad)))
      expect(message).toBe("these certificates cannot be used: key values mismatch")
      expect(yield* ping(server.port, trusted)).toBe("PING\n")
    })
  )
})
