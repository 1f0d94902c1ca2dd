/**
 * Goal: a peer that does not complete a TLS handshake is logged and closed, and harms no other
 * peer; replaced certificates apply to new connections. Method: real sockets on a TLS port.
 */
import { X509Certificate } from "node:crypto"
import { Session } from "node:inspector/promises"
import * as Net from "node:net"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"
import { it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Result, Schedule } from "effect"
import { describe, expect } from "vitest"
import type { CertifiedKey } from "../../../src/cli/files/TrialKeys.ts"
import { makeServerTls } from "../../../src/server/admission/Certificates.ts"
import { MAX_HANDSHAKES } from "../../../src/server/admission/Handshakes.ts"
import type { ServerLimits } from "../../../src/server/admission/ServerLimits.ts"
import {
  BOOKS,
  dial,
  exchange,
  expectedWinners,
  rest,
  winnersIn
} from "../../support/peers/exchange.ts"
import * as M from "../../support/peers/messages.ts"
import * as TestServer from "../../support/peers/TestServer.ts"
import { makeTrialKeys, type TrialKeys } from "../../support/processes/trialKeys.ts"
import { temporaryFolder } from "../../support/TemporaryFolder.ts"

const [keys, others] = await Effect.runPromise(Effect.all([makeTrialKeys, makeTrialKeys]))

const credentialsOf = (
  { certificate: cert, key }: CertifiedKey,
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

/** Speaks TLS as an agency does, but leaves it to `say` to write the bytes to the connection. */
const connectSlowly = (
  net: Net.Socket,
  tls: Tls.ConnectionOptions,
  say: (chunk: Buffer, write: (bytes: Buffer) => void) => void
) => {
  const socket = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, done) => {
      say(chunk, (bytes) => net.write(bytes))
      done()
    }
  })
  net.on("data", (chunk) => socket.push(chunk)).on("end", () => socket.push(null))
  return Tls.connect({ socket, servername: "localhost", ...tls })
}

/** Without a V8 flag, which would affect the other tests of this process. */
const collectGarbage = Effect.acquireUseRelease(
  Effect.sync(() => {
    const session = new Session()
    session.connect()
    return session
  }),
  (session) => Effect.promise(() => session.post("HeapProfiler.collectGarbage")),
  (session) => Effect.sync(() => session.disconnect())
)

/** Waits for this many log lines about connections that were not accepted. */
const refused = (log: ReadonlyArray<string>, count: number) =>
  Effect.sync(() => log.filter((line) => line.includes("result: fail"))).pipe(
    Effect.repeat({
      until: (lines) => lines.length >= count,
      schedule: Schedule.spaced("10 millis")
    }),
    Effect.timeout("20 seconds")
  )

const FAILED = "action: accept_connections | result: fail | ip: 127.0.0.1 | error: "
/** The first bytes of a handshake that does not continue. */
const HALF_HELLO = Buffer.from("160301020001", "hex")

describe("a TLS port", () => {
  const said: Readonly<Record<string, readonly [bytes: Buffer, error: string]>> = {
    "a text line": [Buffer.from("PING\n"), "expected a TLS handshake, got a line of text"],
    "a line of one letter": [Buffer.from("A\n"), "expected a TLS handshake, got 41 0a"],
    "a binary book": [
      BOOKS.binary(1),
      "expected a TLS handshake, got the binary dialect in the clear"
    ],
    "a binary book that begins like a handshake": [
      Buffer.concat([Uint8Array.of(0x16, 0x20), M.packet("1;", false).subarray(2)]),
      "expected a TLS handshake, got the binary dialect in the clear"
    ],
    "a JSON book": [BOOKS.json(1), "expected a TLS handshake, got the json dialect in the clear"],
    "a native book": [
      BOOKS.native(1),
      "expected a TLS handshake, got the native dialect in the clear"
    ],
    "a native book that begins slowly": [
      M.PREFACE.subarray(0, 5),
      "expected a TLS handshake, got ff 4c 54 52 59"
    ],
    HTTP: [
      Buffer.from("GET / HTTP/1.1\r\nHost: lottery\r\n\r\n"),
      "expected a TLS handshake, got a line of text"
    ],
    "a record without a handshake": [
      Buffer.from("1603010005ffffffffff", "hex"),
      "the TLS handshake failed: [a-z0-9 ]+"
    ],
    "an SSL 2 hello": [
      Buffer.from("802e0100020015000000", "hex"),
      "expected a TLS handshake, got 80 2e .*"
    ],
    zeros: [Buffer.alloc(4096), "expected a TLS handshake, got (00 ){63}00"]
  }
  it.live.each(Object.entries(said))(
    "logs and closes a connection that sends %s",
    ([, [bytes, error]]) =>
      Effect.gen(function* () {
        const server = yield* startServer()
        const heard: Array<Buffer> = []
        for (const port of [server.port, server.winnersPort]) {
          heard.push(yield* exchange({ port }, bytes))
        }
        for (const line of yield* refused(server.log, 2)) {
          // One readable line, without OpenSSL's source location or an escaped line break.
          expect(line.slice(0, FAILED.length)).toBe(FAILED)
          expect(line.slice(FAILED.length)).toMatch(new RegExp(`^${error}$`))
          expect(line).not.toContain("disconnected")
        }
        // A TLS alert: protocol version. HTTP has its own answer.
        const answer =
          bytes === said.HTTP?.[0] ? /^HTTP\/1\.1 400 Bad Request\r\n/ : /^\x15\x03\x01\0\x02\x02F$/
        if (bytes[0] !== 0x16)
          for (const one of heard) expect(one.toString("latin1")).toMatch(answer)
        expect(yield* ping(server.port, trusted)).toBe("PING\n")
        expect([...(yield* server.store.progress).keys()]).toEqual([])
      })
  )

  it.live("logs and closes silent connections and unfinished handshakes after the timeout", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const silent = yield* dial({ port: server.port })
      const half = yield* dial({ port: server.winnersPort })
      half.write(HALF_HELLO)
      yield* Effect.all([rest(silent), rest(half)], { concurrency: "unbounded" })
      const line = `${FAILED}the TLS handshake failed: it took more than 300ms`
      expect(yield* refused(server.log, 2)).toEqual([line, line])
      expect(yield* ping(server.port, trusted)).toBe("PING\n")
    })
  )

  it.live("evicts unfinished handshakes of a crowd for a peer from another address", () =>
    Effect.gen(function* () {
      const server = yield* startServer(undefined, { handshakeTimeout: Duration.seconds(20) })
      const { port } = server
      const begin = (from: string) =>
        Effect.tap(dial({ port, from }), (socket) => Effect.sync(() => socket.write(HALF_HELLO)))
      const crowd = yield* Effect.replicateEffect(begin("127.0.0.1"), MAX_HANDSHAKES)
      const other = exchange({ port, tls: trusted, from: "127.0.0.2" }, Buffer.from("PING\n"))
      const waiting = yield* Effect.forkChild(ping(port, trusted))
      // It is served all the time, finally because the oldest handshake of the crowd is evicted.
      const failures = () => server.log.filter((line) => line.includes("result: fail"))
      do expect(String(yield* other)).toBe("PING\n")
      while (failures().length === 0)
      const taken = `all ${MAX_HANDSHAKES} places for TLS handshakes are taken`
      expect(failures()[0]).toBe(`${FAILED}${taken}: disconnected to make room`)
      // Among connections of the crowd's own address, each waits until another one leaves.
      expect(yield* Fiber.join(waiting)).toBe("PING\n")
      yield* rest(crowd[0]!)
    })
  )

  it.live("answers a peer that half-closes after its request", () =>
    Effect.gen(function* () {
      const { port } = yield* startServer()
      const socket = yield* dial({ port, tls: trusted })
      socket.end(M.consultOf(1))
      // The server sees the half-close before the draw, and therefore before it can answer.
      yield* Effect.sleep("100 millis")
      yield* exchange({ port, tls: trusted }, BOOKS.binary(1))
      expect(M.readJson(yield* rest(socket))).toEqual(expectedWinners(1).json)
    })
  )

  it.live("completes a handshake during which the server stalled", () =>
    Effect.gen(function* () {
      const timeout = Duration.millis(500)
      const { port } = yield* startServer(undefined, { handshakeTimeout: timeout })
      const net = yield* dial({ port })
      const link = connectSlowly(net, trusted, (chunk, write) => {
        write(chunk.subarray(0, 1))
        // Long enough for the server to read that byte, then to stall for longer than the timeout.
        setTimeout(() => {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700)
          write(chunk.subarray(1))
        }, 50)
      })
      link.write("PING\n")
      const heard = Effect.callback<string>((resume) => {
        link.once("data", (chunk) => resume(Effect.succeed(String(chunk))))
        link.once("error", ({ message }) => resume(Effect.succeed(message)))
      })
      expect(yield* heard).toBe("PING\n")
    })
  )

  it.live("accepts TLS whose first byte arrives alone", () =>
    Effect.gen(function* () {
      const { port } = yield* startServer(undefined, { handshakeTimeout: Duration.seconds(5) })
      const net = yield* dial({ port })
      const link = connectSlowly(net, trusted, (chunk, write) => {
        write(chunk.subarray(0, 1))
        setTimeout(() => write(chunk.subarray(1)), 20)
      })
      link.write("PING\n")
      const heard = Effect.callback<Buffer>((resume) => {
        link.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk)))
      })
      expect((yield* heard).toString()).toBe("PING\n")
    })
  )

  describe("logs a peer that disconnects", () => {
    const ways = {
      "with a reset": (socket: Net.Socket) => socket.resetAndDestroy(),
      "with a close": (socket: Net.Socket) => socket.end()
    }
    const sent = { "before the handshake": Buffer.alloc(0), "during the handshake": HALF_HELLO }
    const cases = Object.entries(ways).flatMap(([way, leave]) =>
      Object.entries(sent).map(([when, bytes]) => [`${when}, ${way}`, bytes, leave] as const)
    )
    it.live.each(cases)("%s", ([, bytes, leave]) =>
      Effect.gen(function* () {
        const server = yield* startServer(undefined, { handshakeTimeout: Duration.minutes(1) })
        const gone = yield* dial({ port: server.port })
        gone.write(bytes, () => leave(gone))
        const [line] = yield* refused(server.log, 1)
        expect(line).toMatch(
          /^action: accept_connections \| result: fail .* error: the TLS handshake failed: /
        )
        expect(yield* ping(server.port, trusted)).toBe("PING\n")
      })
    )
  })

  it.live("keeps no reference to a peer that disconnected during the handshake", () =>
    Effect.gen(function* () {
      const tls = yield* makeServerTls(credentialsOf(keys.server))
      const server = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const listening = Net.createServer()
          listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
        }),
        (listening) => Effect.sync(() => listening.close())
      )
      /** A handshake whose peer closes after the server's first bytes. */
      const shakeHalf = Effect.gen(function* () {
        const accepted = Effect.callback<Net.Socket>((resume) => {
          server.once("connection", (net) => resume(Effect.succeed(net)))
        })
        const { port } = server.address() as Net.AddressInfo
        const [net, peer] = yield* Effect.all([accepted, dial({ port })], { concurrency: 2 })
        peer.once("data", () => peer.destroy())
        connectSlowly(peer, trusted, (chunk, write) => write(chunk)).on("error", () => {})
        const { message } = yield* Effect.flip(tls.handshake(net))
        expect(message).toBe("the TLS handshake failed: the peer disconnected")
        return new WeakRef(net)
      }).pipe(Effect.scoped)
      const net = yield* shakeHalf
      yield* Effect.map(collectGarbage, () => net.deref() === undefined).pipe(
        Effect.repeat({ until: (isGone) => isGone, schedule: Schedule.spaced("10 millis") }),
        Effect.timeout("20 seconds")
      )
    })
  )

  it.live("is the only one that speaks TLS", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const store = { _tag: "sqlite", path: `${folder}/lottery.db` } as const
      const server = yield* TestServer.start(store, [1])
      const { port } = server
      const outcome = yield* Effect.result(ping(port, trusted))
      expect(Result.isFailure(outcome)).toBe(true)
      expect((yield* refused(server.log, 1))[0]).toMatch(
        /^action: receive_message \| result: fail .* \| error: got TLS, but this server was /
      )
      expect((yield* exchange({ port }, Buffer.from("PING\n"))).toString()).toBe("PING\n")
    })
  )
})

describe("replaced certificates", () => {
  it.live("apply to new connections, and open ones stay", () =>
    Effect.gen(function* () {
      const server = yield* startServer(keys)
      const { port, tls } = server
      const { certificate: cert, key } = yield* keys.agency(1)
      const before = yield* dial({ port, tls: { ...trusted, cert, key } })
      before.write(M.packetOf(1, [M.fields(10, 7574)], true))

      // One CA is added and none is removed.
      const both = `${others.authority.certificate}\n${keys.authority.certificate}`
      yield* tls.replace(credentialsOf(others.server, both))
      expect(Result.isFailure(yield* Effect.result(ping(port, trusted)))).toBe(true)
      const next = yield* others.agency(1)
      const known = { ca: others.authority.certificate, cert: next.certificate, key: next.key }
      const socket = yield* dial({ port, tls: known })
      const { raw } = (socket as Tls.TLSSocket).getPeerCertificate()
      expect(new X509Certificate(raw).raw).toEqual(
        new X509Certificate(others.server.certificate).raw
      )

      before.write(Buffer.concat([M.packet("1;", false), M.packet("1;", true)]))
      const stored = Buffer.concat([M.STORED, M.STORED])
      expect(yield* rest(before)).toEqual(Buffer.concat([stored, M.winnersOf(10)]))
      const answer = yield* exchange({ port, tls: known }, BOOKS.binary(1))
      expect(winnersIn.binary(answer)).toBe(expectedWinners(1).binary)
    })
  )

  it.live("from another CA close connections that the previous CA authenticated", () =>
    Effect.gen(function* () {
      const server = yield* startServer(keys)
      const { port, tls } = server
      const { certificate: cert, key } = yield* keys.agency(1)
      const before = yield* dial({ port, tls: { ...trusted, cert, key } })
      before.write(M.packetOf(1, [M.fields(10, 7574)], false))
      yield* Effect.callback<void>((resume) => {
        before.once("data", () => resume(Effect.void))
      })
      // Another one is in the middle of its handshake and has not sent its certificate yet.
      const shaking = yield* dial({ port })
      const proof = yield* Effect.callback<() => void>((resume) => {
        let isHello = true
        connectSlowly(shaking, { ...trusted, cert, key }, (chunk, write) => {
          if (!isHello) return resume(Effect.succeed(() => write(chunk)))
          isHello = false
          write(chunk)
        }).on("error", () => {})
      })

      yield* tls.replace(credentialsOf(others.server, others.authority.certificate))
      yield* rest(before)
      proof()
      yield* rest(shaking)
      const replaced = "the CA of the agencies' certificates was replaced"
      expect(yield* refused(server.log, 2)).toEqual([
        "action: receive_message | result: fail | ip: 127.0.0.1 | " +
          `error: connection lost: ${replaced}`,
        `${FAILED}the TLS handshake failed: ${replaced}`
      ])
      const known = { ca: others.authority.certificate, cert, key }
      const old = yield* exchange({ port, tls: known }, M.consultOf(1))
      expect(M.readJson(old)).toMatchObject({
        type_message: 3,
        payload: expect.stringMatching(/agency 1: the certificate was rejected: /)
      })
    })
  )

  it.live("without one of two CAs close all connections, whatever its PEM label", () =>
    Effect.gen(function* () {
      const trustedAlone = keys.authority.certificate.replaceAll(" CERT", " TRUSTED CERT")
      const both = `${others.authority.certificate}\n${trustedAlone}`
      const { tls, winnersPort: port } = yield* startServer({
        ...keys,
        authority: { ...keys.authority, certificate: both }
      })
      const { certificate: cert, key } = yield* keys.agency(1)
      const before = yield* dial({ port, tls: { ...trusted, cert, key } })
      yield* tls.replace(credentialsOf(keys.server, others.authority.certificate))
      yield* rest(before)
    })
  )

  it.live("cannot be bypassed by resuming an earlier TLS session", () =>
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

  it.live("and expired ones cannot be bypassed by resuming a TLS session", () =>
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
      expect(server.log.at(-1)).toContain("the certificate was rejected: CERT_HAS_EXPIRED")
    })
  )

  it.live("that are unusable change nothing", () =>
    Effect.gen(function* () {
      const server = yield* startServer()
      const bad = { certificate: keys.server.certificate, key: others.server.key }
      const { message } = yield* Effect.flip(server.tls.replace(credentialsOf(bad)))
      expect(message).toBe("these certificates cannot be used: key values mismatch")
      expect(yield* ping(server.port, trusted)).toBe("PING\n")
    })
  )
})
