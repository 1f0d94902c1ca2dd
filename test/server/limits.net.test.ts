/**
 * Goal: no slow, silent or greedy peer, and no crowd of them, costs the server more than its limits
 * allow, and well-behaved peers are always served. Method: scripted raw peers on real sockets, from
 * several addresses of this machine, against a server with short limits.
 */
import { readFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import { describe, expect } from "vitest"
import type { ExpectedAgencies } from "../../src/domain/Draw.ts"
import { RESERVED_BYTES } from "../../src/server/admission/MessageMemory.ts"
import type { ServerLimits } from "../../src/server/admission/ServerLimits.ts"
import * as M from "../support/peers/messages.ts"
import * as RawPeer from "../support/peers/RawPeer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const startServer = Effect.fnUntraced(function* (
  limits: Partial<ServerLimits>,
  agencies: ExpectedAgencies = [1, 2],
  host = "127.0.0.1"
) {
  const folder = yield* temporaryFolder
  const url = { _tag: "csv", path: `${folder}/bets.csv` } as const
  return yield* TestServer.start(url, agencies, 7574, { host, limits })
})

const NOTHING = Buffer.alloc(0)
const PING = Buffer.from("PING\n")

/** The bytes as a log line shows them. */
const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")

const linesAbout = (server: TestServer.TestServer, action: string) =>
  server.log.filter((line) => line.startsWith(`action: ${action} |`))

const connectionsOf = ({ connections }: TestServer.TestServer) =>
  connections.bets.size + connections.winners.size

const until = (isSo: () => boolean, what: string) =>
  Effect.sleep("5 millis").pipe(
    Effect.repeat({ while: () => !isSo() }),
    Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () => Effect.die(new Error(`this never became true: ${what}`))
    })
  )

/** Waits until every connection is gone, including its descriptor. */
const allGone = (server: TestServer.TestServer) =>
  until(() => connectionsOf(server) === 0, "no connection is left")

/** Sends one byte at a time until the test ends. */
const trickle = (peer: RawPeer.RawPeer, bytes: Uint8Array) =>
  Effect.forEach(bytes, (byte) => Effect.delay(peer.send(Uint8Array.of(byte)), "30 millis"), {
    discard: true
  }).pipe(Effect.forkScoped)

/** Sends a text line. The answer shows that the connection was served. */
const ping = Effect.fnUntraced(function* (port: number, from?: string) {
  const peer = yield* RawPeer.connect(port, { from })
  yield* peer.send(PING)
  return yield* peer.rest
}, Effect.scoped)

/** Connects as an agency; the Welcome shows that it is identified. */
const hello = Effect.fnUntraced(function* (port: number, agency: number, from?: string) {
  const peer = yield* RawPeer.connect(port, { from })
  yield* peer.send(M.helloOf(agency))
  expect((yield* peer.control)._tag).toBe("Welcome")
  return peer
})

/** Finishes an agency's book in the native dialect and reads its winners. */
const finishAgency = Effect.fnUntraced(function* (port: number, agency: number) {
  const peer = yield* hello(port, agency)
  yield* peer.send(Buffer.concat([M.finishOf([]), M.AWAIT_WINNERS]))
  let heard = yield* peer.control
  while (heard._tag !== "Winners") heard = yield* peer.control
  return heard
}, Effect.scoped)

const BETS = Array.from({ length: 10 }, (_, index) => M.fields(10 + index, 7574))

describe("the first bytes", () => {
  const limits = { firstByteTimeout: Duration.millis(150), dialectTimeout: Duration.millis(200) }

  it.live("have a time limit on the main port, but not on the winners' port", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits, [3])
      const patient = yield* RawPeer.connect(server.winnersPort)
      for (let times = 0; times < 3; times++) {
        const silent = yield* RawPeer.connect(server.port)
        expect(yield* silent.rest).toEqual(NOTHING)
      }
      expect(linesAbout(server, "receive_message")).toEqual(
        Array(3).fill(
          "action: receive_message | result: fail | ip: 127.0.0.1 | " +
            "error: expected a first byte in 150ms, got 0 bytes"
        )
      )
      yield* finishAgency(server.port, 3)
      yield* patient.send(M.consultOf(3))
      expect(M.readJson(yield* patient.rest)).toEqual({ type_message: 2, payload: "" })
    })
  )

  it.live("that do not identify a dialect in time are logged, at most 64, on either port", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits)
      for (const port of [server.port, server.winnersPort]) {
        const peer = yield* RawPeer.connect(port)
        yield* peer.send(Buffer.alloc(100, "A"))
        expect(yield* peer.rest).toEqual(NOTHING)
      }
      const got = `got 100 bytes: ${hex(Buffer.alloc(64, "A"))}`
      const error = `expected enough bytes to identify the dialect in 200ms, ${got}`
      const line = `action: receive_message | result: fail | ip: 127.0.0.1 | error: ${error}`
      expect(linesAbout(server, "receive_message")).toEqual([line, line])
    })
  )
})

describe("a message", () => {
  const rejected = (peer: RawPeer.RawPeer) => Effect.map(peer.control, ({ code }) => code)
  const chunkRejected = (peer: RawPeer.RawPeer) =>
    Effect.map(peer.rest, (bytes) => M.readJson(bytes))
  const cases: ReadonlyArray<
    readonly [
      what: string,
      before: ReadonlyArray<readonly [send: Uint8Array, hear: number]>,
      message: Buffer,
      hear: (peer: RawPeer.RawPeer) => Effect.Effect<unknown, RawPeer.NotHeard>,
      answer: unknown
    ]
  > = [
    ["the first packet", [], M.packetOf(1, BETS, true), ({ rest }) => rest, M.REFUSED],
    [
      "a later packet",
      [[M.packetOf(1, [M.fields(1)], true), 2]],
      M.packetOf(1, BETS, true),
      ({ rest }) => rest,
      M.REFUSED
    ],
    [
      "a JSON message",
      [[M.chunkOf(1, [M.fields(1)], false), M.CHUNK_PROCESSED.length]],
      M.chunkOf(1, BETS, false),
      chunkRejected,
      { type_message: 3, payload: expect.stringContaining("expected a whole message in 300ms") }
    ],
    ["a native frame", [[M.helloOf(1), 0]], M.betsOf(0, BETS), rejected, "Timeout"]
  ]

  it.live.each(cases)(
    "that does not end in time is refused although bytes keep arriving: %s",
    ([_what, before, message, hear, answer]) =>
      Effect.gen(function* () {
        const server = yield* startServer({ messageTimeout: Duration.millis(300) })
        const peer = yield* RawPeer.connect(server.port)
        for (const [send, count] of before) {
          yield* peer.send(send)
          yield* count === 0 ? peer.control : peer.receive(count)
        }
        yield* peer.send(message.subarray(0, 100))
        yield* trickle(peer, message.subarray(100, -1))
        expect(yield* hear(peer)).toEqual(answer)
        yield* peer.rest
        const [line, ...more] = linesAbout(server, "apuesta_recibida").filter((text) =>
          text.includes("result: fail")
        )
        expect(more).toEqual([])
        expect(line).toMatch(/ip: 127.0.0.1 \| error: expected a whole message in 300ms, got /)
        expect(line).toMatch(new RegExp(` bytes: ${hex(message.subarray(0, 64))}$`))
        const [, got] = /got (\d+) bytes/.exec(line!)!
        // At least one byte followed the first piece, and the last one was never sent.
        expect(Number(got)).toBeGreaterThan(100)
        expect(Number(got)).toBeLessThan(message.length)
      })
  )

  it.live.each([
    ["no byte", M.helloOf(1).subarray(8, 8)],
    ["half", M.controlFrame({ _tag: "Hello", draw: "default", agency: 1, token: "secret" })]
  ] as const)("that is an unfinished Hello is refused and not shown: %s", ([_what, bytes]) =>
    Effect.gen(function* () {
      const server = yield* startServer({ messageTimeout: Duration.millis(300) })
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.PREFACE)
      yield* peer.send(bytes.subarray(0, -15))
      yield* trickle(peer, bytes.subarray(-15, -1))
      expect(yield* peer.control).toMatchObject({ _tag: "Rejected", code: "Timeout" })
      expect(yield* peer.rest).toEqual(NOTHING)
      const failed = server.log.filter((line) => line.includes("result: fail"))
      expect(failed).toHaveLength(1)
      expect(failed[0]).toMatch(/expected a whole message in 300ms, got \d+ bytes$/)
    })
  )

  it.live("that is slow but complete in time is accepted in every dialect", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ messageTimeout: Duration.seconds(3) }, [1, 2, 3])
      const inPieces = Effect.fnUntraced(function* (peer: RawPeer.RawPeer, message: Buffer) {
        const size = Math.ceil(message.length / 8)
        for (let start = 0; start < message.length; start += size) {
          yield* peer.send(message.subarray(start, start + size))
          yield* Effect.sleep("40 millis")
        }
      })
      const native = yield* hello(server.port, 1)
      const [binary, json] = [
        yield* RawPeer.connect(server.port),
        yield* RawPeer.connect(server.port)
      ]
      yield* Effect.all(
        [
          inPieces(native, M.betsOf(0, BETS)),
          inPieces(binary, M.packetOf(2, BETS, true)),
          inPieces(json, M.chunkOf(3, BETS, false))
        ],
        { concurrency: "unbounded" }
      )
      expect(yield* native.control).toEqual({ _tag: "Ack", bets: 10 })
      expect(yield* binary.receive(2)).toEqual(M.STORED)
      expect(yield* json.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
    })
  )
})

describe("an upload", () => {
  const limits = { idleTimeout: Duration.millis(250) }

  it.live("that goes silent is ended with a reason, in every dialect", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits, [1, 2, 3])
      const native = yield* hello(server.port, 1)
      const binary = yield* RawPeer.connect(server.port)
      yield* binary.send(M.packetOf(2, BETS, true))
      const json = yield* RawPeer.connect(server.port)
      yield* json.send(M.chunkOf(3, BETS, false))
      const why = "expected the next message in 250ms, got 0 bytes"
      expect(yield* native.control).toMatchObject({
        _tag: "Rejected",
        code: "Timeout",
        message: why
      })
      expect(yield* native.rest).toEqual(NOTHING)
      expect(yield* binary.rest).toEqual(Buffer.concat([M.STORED, M.REFUSED]))
      const heard = yield* json.rest
      expect(heard.subarray(0, M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      expect(M.readJson(heard.subarray(M.CHUNK_PROCESSED.length))).toEqual({
        type_message: 3,
        payload: why
      })
      const failed = linesAbout(server, "apuesta_recibida").filter((line) => line.endsWith(why))
      expect(failed.map((line) => /agencia: (\d)/.exec(line)?.[1]).toSorted()).toEqual([
        "1",
        "2",
        "3"
      ])
    })
  )

  it.live("that is complete may wait silently for the draw, in every dialect", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits, [1, 2, 3, 4, 5, 6])
      const native = yield* hello(server.port, 1)
      yield* native.send(Buffer.concat([M.finishOf([]), M.AWAIT_WINNERS]))
      const unasked = yield* RawPeer.connect(server.port)
      yield* unasked.send(M.packetOf(2, BETS, false))
      const asked = yield* RawPeer.connect(server.port)
      yield* asked.send(Buffer.concat([M.packetOf(3, BETS, false), M.packet("3;", false)]))
      const json = yield* RawPeer.connect(server.port)
      yield* json.send(M.chunkOf(4, BETS, true))
      const consulting = yield* RawPeer.connect(server.winnersPort)
      yield* consulting.send(M.consultOf(5))
      yield* hello(server.port, 5).pipe(
        Effect.flatMap((peer) => Effect.andThen(peer.send(M.finishOf([])), peer.control)),
        Effect.scoped
      )
      yield* Effect.sleep("800 millis")
      expect(server.log.filter((line) => line.includes("result: fail"))).toEqual([])
      yield* finishAgency(server.port, 6)
      for (const tag of ["Finished", "Waiting"]) expect((yield* native.control)._tag).toBe(tag)
      let heard = yield* native.control
      while (heard._tag === "Waiting") heard = yield* native.control
      expect(heard).toMatchObject({ _tag: "Winners" })
      const winners = M.winnersOf(...BETS.map((bet) => Number(bet[2])))
      yield* unasked.send(M.packet("2;", false))
      for (const peer of [unasked, asked]) {
        expect(yield* peer.rest).toEqual(Buffer.concat([M.STORED, winners]))
      }
      yield* json.send(M.consultOf(4))
      const payload = BETS.map((bet) => bet[2]).join(",")
      expect(M.readJson((yield* json.rest).subarray(M.CHUNK_PROCESSED.length))).toEqual({
        type_message: 2,
        payload
      })
      expect(M.readJson(yield* consulting.rest)).toEqual({ type_message: 2, payload: "" })
    })
  )
})

describe("places", () => {
  const long = { firstByteTimeout: Duration.seconds(20) }
  const ACCEPTED = /^action: accept_connections \| result: success \| ip: (.*)$/

  const acceptedFrom = (server: TestServer.TestServer, address: string) =>
    server.log.filter((line) => ACCEPTED.exec(line)?.[1] === address).length

  it.live("taken by one address: one more connection is refused until another leaves", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ ...long, maxConnections: 3 })
      const peers = yield* Effect.forEach([1, 2, 3], () => RawPeer.connect(server.port))
      yield* until(() => acceptedFrom(server, "127.0.0.1") === 3, "three are served")
      for (const port of [server.port, server.winnersPort]) {
        expect(yield* ping(port)).toEqual(NOTHING)
      }
      const refused =
        "action: accept_connections | result: fail | ip: 127.0.0.1 | " +
        "error: the server already has 3 connections, its maximum"
      expect(linesAbout(server, "accept_connections").slice(-2)).toEqual([refused, refused])
      yield* peers[1]!.halfClose
      yield* peers[1]!.rest
      yield* until(() => connectionsOf(server) === 2, "one has left")
      expect(yield* ping(server.port)).toEqual(PING)
      for (const peer of [peers[0]!, peers[2]!]) {
        yield* peer.send(PING)
        expect(yield* peer.rest).toEqual(PING)
      }
    })
  )

  it.live("of an address's unidentified peers: more of them wait, and no other peers do", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ ...long, maxUnidentified: 2 })
      const address = "127.0.2.1"
      const [first, second] = [
        yield* RawPeer.connect(server.port, { from: address }),
        yield* RawPeer.connect(server.port, { from: address })
      ]
      yield* until(() => acceptedFrom(server, address) === 2, "two are served")
      const third = yield* Effect.forkScoped(ping(server.port, address))
      yield* until(() => connectionsOf(server) === 3, "the third has come")
      const fourth = yield* Effect.forkScoped(ping(server.port, address))
      yield* until(() => connectionsOf(server) === 4, "the fourth has come")
      expect(yield* ping(server.port, "127.0.2.2")).toEqual(PING)
      expect(yield* ping(server.winnersPort, address)).toEqual(PING)
      // The one on the winners' port was served.
      expect(acceptedFrom(server, address)).toBe(3)
      yield* first.send(M.packetOf(1, BETS, true))
      expect(yield* first.receive(2)).toEqual(M.STORED)
      expect(yield* Fiber.join(third)).toEqual(PING)
      // The third one has left. A place that becomes free also goes to a waiting connection.
      yield* RawPeer.connect(server.port, { from: address })
      yield* second.halfClose
      expect(yield* Fiber.join(fourth)).toEqual(PING)
      expect(server.log.filter((line) => line.includes("result: fail"))).toEqual([])
    })
  )

  it.live("that are all taken: the address with the most peers loses its newest one", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ ...long, maxConnections: 4 })
      const [many, few] = ["127.0.3.1", "127.0.3.2"]
      const identified = yield* hello(server.port, 1, many)
      const older = yield* RawPeer.connect(server.port, { from: many })
      yield* until(() => acceptedFrom(server, many) === 2, "two are served")
      const newest = yield* RawPeer.connect(server.port, { from: many })
      yield* until(() => acceptedFrom(server, many) === 3, "three are served")
      const other = yield* RawPeer.connect(server.port, { from: few })
      yield* until(() => acceptedFrom(server, few) === 1, "all places are taken")
      const newcomer = yield* hello(server.port, 2, "127.0.3.3")
      expect(yield* newest.rest).toEqual(NOTHING)
      expect(linesAbout(server, "accept_connections").filter((l) => l.includes("fail"))).toEqual([
        "action: accept_connections | result: fail | ip: 127.0.3.1 | error: " +
          "disconnected to make room: the server is full, " +
          "and this address has the most unidentified peers"
      ])
      // No address has enough connections now to lose one to a newcomer.
      expect(yield* ping(server.port, "127.0.3.4")).toEqual(NOTHING)
      for (const peer of [older, other]) {
        yield* peer.send(PING)
        expect(yield* peer.rest).toEqual(PING)
      }
      for (const peer of [identified, newcomer]) {
        yield* peer.send(M.betsOf(0, BETS))
        expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 10 })
      }
    })
  )

  it.live("of peers that ask for their winners are not lost", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ ...long, maxConnections: 2 })
      for (const agency of [1, 2]) {
        const peer = yield* RawPeer.connect(server.winnersPort, { from: "127.0.4.1" })
        yield* peer.send(M.consultOf(agency))
      }
      yield* until(() => connectionsOf(server) === 2, "both are there")
      yield* Effect.sleep("50 millis")
      expect(yield* ping(server.port, "127.0.4.2")).toEqual(NOTHING)
      expect(connectionsOf(server)).toBe(2)
    })
  )

  it.live("of identified peers are not lost, however many an address has", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ ...long, maxConnections: 3 }, [1, 2, 3])
      const peers = yield* Effect.forEach([1, 2, 3], (agency) =>
        hello(server.port, agency, "127.0.4.1")
      )
      expect(yield* ping(server.port, "127.0.4.2")).toEqual(NOTHING)
      for (const peer of peers) {
        yield* peer.send(M.betsOf(0, BETS))
        expect(yield* peer.control).toEqual({ _tag: "Ack", bets: 10 })
      }
    })
  )
})

const MIB = 1024 * 1024

/** Returns rows of bets of about this many bytes, and their count. */
const rowsOf = (bytes: number): readonly [rows: string, count: number] => {
  const row = M.rowsOf([M.fields(1_000_000_000)])
  const count = Math.floor(bytes / row.length)
  return [row.repeat(count), count]
}

describe("a connection", () => {
  const hasIpv6 = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some(({ family }) => family === "IPv6")

  it.live.runIf(hasIpv6)(
    "over IPv4 counts for its own address if the server listens on IPv6 too",
    () =>
      Effect.gen(function* () {
        const limits = { maxUnidentified: 1, firstByteTimeout: Duration.minutes(5) }
        const server = yield* startServer(limits, [1, 2], "::")
        yield* RawPeer.connect(server.port, { from: "127.0.0.1" })
        expect(yield* ping(server.port, "127.0.0.2")).toEqual(PING)
        expect(linesAbout(server, "receive_message")).toEqual([
          "action: receive_message | result: success | ip: 127.0.0.2 | msg: PING"
        ])
      })
  )

  /** The kernel's timer of a connection, and when it fires in units of 10 ms. */
  const timerOf = (localPort: number) => {
    const local = `0100007F:${localPort.toString(16).toUpperCase().padStart(4, "0")}`
    const [, timer, ticks] = readFileSync("/proc/net/tcp", "latin1").match(
      new RegExp(` ${local} \\S+ 01 \\S+ (\\w+):(\\w+) `)
    )!
    return { timer, ticks: Number.parseInt(ticks!, 16) }
  }

  it.live.runIf(process.platform === "linux")("is probed after a minute of silence", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ firstByteTimeout: Duration.minutes(5) })
      yield* RawPeer.connect(server.port)
      yield* until(() => connectionsOf(server) === 1, "it is there")
      const { ticks, timer } = timerOf(server.port)
      expect(timer).toBe("02")
      expect(ticks).toBeGreaterThan(4000)
      expect(ticks).toBeLessThanOrEqual(6100)
    })
  )
})

describe("a crowd", () => {
  const HEADER = Buffer.from("ffff313b", "hex")
  /** What slow peers send at first. After that they send nothing. */
  const BEGINNINGS = [
    Buffer.of(0),
    M.PREFACE,
    M.helloOf(1).subarray(0, M.PREFACE.length + 2),
    HEADER,
    Buffer.concat([HEADER, Buffer.alloc(60_000, "1")])
  ]
  const SLOW = 500
  const SILENT = 1000

  it.live(
    "of slow and silent peers stays connected while agencies upload and get their winners",
    () =>
      Effect.gen(function* () {
        const server = yield* startServer({})
        yield* Effect.scoped(
          Effect.gen(function* () {
            for (let index = 0; index < SLOW; index++) {
              const peer = yield* RawPeer.connect(server.port, {
                from: `127.0.1.${1 + (index % 9)}`
              })
              yield* peer.send(BEGINNINGS[index % BEGINNINGS.length]!)
            }
            for (let index = 0; index < SILENT; index++) {
              yield* RawPeer.connect(server.winnersPort, { from: `127.0.2.${1 + (index % 9)}` })
            }
            yield* Effect.sleep("500 millis")
            expect(server.connections.winners.size).toBe(SILENT)
            const agencies = yield* Effect.forEach([1, 2], (agency) => hello(server.port, agency))
            for (const peer of agencies) {
              yield* peer.send(
                Buffer.concat([M.betsOf(0, BETS), M.finishOf(BETS), M.AWAIT_WINNERS])
              )
            }
            for (const peer of agencies) {
              const heard = M.controlsIn(yield* peer.rest).map(({ _tag }) => _tag)
              expect(heard.at(-1)).toBe("Winners")
            }
          })
        )
        yield* allGone(server)
      })
  )
})

describe("memory", () => {
  const AGENCIES = [1, 2, 3, 4, 5] as const
  const [rows, count] = rowsOf(MIB - 100)
  /** More than the system buffers for a server that does not read. */
  const FRAMES = 6
  const book = Buffer.concat(
    Array.from({ length: FRAMES }, (_, index) => M.betsFrame(index * count, count, rows))
  )
  /** Most of the first frame. The room for all of it must be claimed before the rest is read. */
  const MOST = 900_000
  /** Identified peers have three quarters of it: two such frames and a part of a third. */
  const maxMemoryBytes = RESERVED_BYTES + (2.75 * MIB * 4) / 3

  /** Two agencies claim all the room and stall; the others send and find none. */
  const crowd = Effect.fnUntraced(function* (server: TestServer.TestServer) {
    const peers = yield* Effect.forEach(AGENCIES, (agency) => hello(server.port, agency))
    const [stalling, waiting] = [peers.slice(0, 2), peers.slice(2)]
    for (const peer of stalling) yield* peer.send(book.subarray(0, MOST))
    // By then their first bytes have been read and all the room is claimed.
    expect(yield* ping(server.port)).toEqual(PING)
    for (const peer of waiting) yield* Effect.forkScoped(peer.send(book))
    yield* Effect.sleep("500 millis")
    for (const peer of waiting) {
      expect(peer.unsent()).toBeGreaterThan(0)
      expect(peer.unheard()).toBe(0)
    }
    return { stalling, waiting }
  })

  const hearAll = Effect.fnUntraced(function* (peer: RawPeer.RawPeer) {
    let heard = yield* peer.control
    while (heard.bets !== count * FRAMES) {
      expect(heard._tag).toBe("Ack")
      heard = yield* peer.control
    }
  })

  it.live("is granted in turn: no input beyond it is read, and all uploads finish", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ maxMemoryBytes }, AGENCIES)
      const { stalling, waiting } = yield* crowd(server)
      for (const peer of stalling) yield* Effect.forkScoped(peer.send(book.subarray(MOST)))
      for (const peer of [...stalling, ...waiting]) yield* hearAll(peer)
      for (const agency of AGENCIES) {
        expect((yield* server.store.progressOf(agency)).bets).toBe(count * FRAMES)
      }
    })
  )

  it.live("passes from stalled peers to waiting ones, whose time did not run meanwhile", () =>
    Effect.gen(function* () {
      const limits = { maxMemoryBytes, messageTimeout: Duration.millis(1500) }
      const server = yield* startServer(limits, AGENCIES)
      const { stalling, waiting } = yield* crowd(server)
      for (const peer of stalling) {
        expect(yield* peer.control).toMatchObject({ _tag: "Rejected", code: "Timeout" })
        yield* peer.rest
      }
      for (const peer of waiting) yield* hearAll(peer)
    })
  )

  it.live("is granted in turn to newcomers that arrive while it is all claimed", () =>
    Effect.gen(function* () {
      const agencies = Array.from({ length: 30 }, (_, index) => index + 1)
      const [messageTimeout, firstByteTimeout] = [Duration.millis(1500), Duration.seconds(5)]
      const limits = { maxMemoryBytes, messageTimeout, firstByteTimeout }
      const server = yield* startServer(limits, agencies as unknown as ExpectedAgencies)
      const { waiting } = yield* crowd(server)
      const bets = Array.from({ length: 4000 }, () => M.fields(1_000_000_000))
      const newcomers = yield* Effect.forEach(agencies.slice(AGENCIES.length), (agency) =>
        Effect.gen(function* () {
          const peer = yield* RawPeer.connect(server.port)
          yield* Effect.forkScoped(peer.send(M.chunkOf(agency, bets, false)))
          return peer
        })
      )
      for (const peer of waiting) yield* hearAll(peer)
      for (const peer of newcomers) {
        expect(yield* peer.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      }
    })
  )

  it.live("claimed for a frame is released when the frame is no longer read", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ maxMemoryBytes })
      // A finished agency shares its book with its other connections. After it asked for its
      // winners, its input is not read as messages.
      for (let index = 0; index < 4; index++) {
        const peer = yield* RawPeer.connect(server.port)
        const header = M.betsFrame(0, count, rows).subarray(0, 13)
        const finished = [M.helloOf(1), M.finishOf([]), M.AWAIT_WINNERS, header]
        yield* peer.send(Buffer.concat(finished))
        while ((yield* peer.control)._tag !== "Waiting");
      }
      const peer = yield* hello(server.port, 2)
      yield* Effect.forkScoped(peer.send(book))
      yield* hearAll(peer)
    })
  )

  it.live("of a request for winners is released before its answer waits for room", () =>
    Effect.gen(function* () {
      // Identified peers have 1 MiB, all of which the request takes.
      const server = yield* startServer({ maxMemoryBytes: RESERVED_BYTES + (MIB * 4) / 3 }, [1])
      const peer = yield* RawPeer.connect(server.port)
      const winners = Array.from({ length: 200 }, (_, index) =>
        M.fields(1_000_000_000 + index, 7574)
      )
      yield* peer.send(M.chunkOf(1, winners, true))
      expect(yield* peer.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      yield* server.lottery.winnersOf(1)
      const question = M.consultOf(1).subarray(4)
      const long = Buffer.concat([
        ...[Buffer.alloc(4), question.subarray(0, -1)],
        ...[Buffer.alloc(1.2 * MIB, " "), question.subarray(-1)]
      ])
      long.writeUInt32BE(long.length - 4)
      yield* peer.send(long)
      expect(M.readJson(yield* peer.rest)).toMatchObject({ type_message: 2 })
    })
  )

  it.live("is released when a connection breaks in the middle of a frame", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ maxMemoryBytes }, AGENCIES)
      for (let times = 0; times < 4; times++) {
        const peer = yield* hello(server.port, 1)
        yield* peer.send(book.subarray(0, MOST))
        yield* peer.reset
        yield* allGone(server)
      }
      const peer = yield* hello(server.port, 2)
      yield* Effect.forkScoped(peer.send(book))
      yield* hearAll(peer)
    })
  )

  it.live("limits what is read from an unidentified peer, except its first chunk", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ maxMemoryBytes })
      const connect = Effect.fnUntraced(function* () {
        const before = new Set(server.connections.bets)
        const peer = yield* RawPeer.connect(server.port)
        yield* until(() => server.connections.bets.size > before.size, "it is there")
        return { peer, net: [...server.connections.bets].find((net) => !before.has(net))! }
      })
      const announced = Buffer.from([...[0, 0x80, 0, 0], ...Buffer.from('{"payload":["')])
      const bytes = Buffer.concat([announced, Buffer.alloc(600_000, "a")])
      const first = yield* connect()
      yield* first.peer.send(bytes)
      yield* until(() => first.net.bytesRead === bytes.length, "it has all the room")
      const second = yield* connect()
      yield* Effect.forkScoped(second.peer.send(bytes))
      yield* Effect.sleep("300 millis")
      expect(second.net.bytesRead).toBeLessThanOrEqual(65_536)
      yield* first.peer.reset
      yield* until(() => second.net.bytesRead === bytes.length, "it has all the room")
    })
  )

  it.live("is not used for reading ahead before a peer is identified", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      yield* hello(server.port, 1)
      yield* RawPeer.connect(server.port)
      yield* until(() => server.connections.bets.size === 2, "both are there")
      const ahead = Array.from(server.connections.bets, (net) => net.readableHighWaterMark)
      expect(ahead).toEqual([65_536, 0])
    })
  )

  it.live("of unidentified peers is not used once they are identified", () =>
    Effect.gen(function* () {
      const agencies = Array.from({ length: 45 }, (_, index) => index + 1)
      const server = yield* startServer({}, agencies as unknown as ExpectedAgencies)
      // Together more than the 26 MiB of unidentified peers.
      const peers = yield* Effect.forEach(agencies, (agency) => hello(server.port, agency))
      for (const peer of peers) yield* peer.send(book.subarray(0, MOST))
      const last = peers.at(-1)!
      yield* last.send(book.subarray(MOST, 4 + MIB))
      expect(yield* last.control).toMatchObject({ _tag: "Ack" })
    })
  )

  it.live("has room for large JSON messages whose peers stall, and for others meanwhile", () =>
    Effect.gen(function* () {
      const agencies = [1, 2, 3, 4, 5, 6] as const
      // The peers share this process, which stalls while it builds their messages.
      const patient = { firstByteTimeout: Duration.seconds(10) }
      const server = yield* startServer(patient, agencies)
      const bets = Array.from({ length: 75_000 }, () => M.fields(1_000_000_000))
      const large = (agency: number) => M.chunkOf(agency, bets, false)
      const stalling = yield* Effect.forEach([1, 2, 3], (agency) =>
        Effect.tap(RawPeer.connect(server.port), (peer) => peer.send(large(agency).subarray(0, -1)))
      )
      const others = yield* Effect.forEach([4, 5], (agency) =>
        Effect.tap(RawPeer.connect(server.port), (peer) => peer.send(large(agency)))
      )
      const small = yield* RawPeer.connect(server.port)
      yield* small.send(M.chunkOf(6, BETS, true))
      for (const peer of [small, ...others]) {
        expect(yield* peer.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      }
      for (const [index, peer] of stalling.entries()) {
        yield* peer.send(large(index + 1).subarray(-1))
        expect(yield* peer.receive(M.CHUNK_PROCESSED.length)).toEqual(M.CHUNK_PROCESSED)
      }
      for (const agency of [1, 2, 3, 4, 5]) {
        expect((yield* server.store.progressOf(agency)).bets).toBe(bets.length)
      }
    })
  )
})

describe("a peer that is refused", () => {
  it.live("sees the half-close and has time to close", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ lingerTimeout: Duration.seconds(20) })
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(M.packet("7;", true))
      expect(yield* peer.rest).toEqual(M.REFUSED)
      yield* Effect.sleep("50 millis")
      expect(connectionsOf(server)).toBe(1)
      yield* peer.halfClose
      yield* allGone(server)
    })
  )
})

describe("a peer that does not read", () => {
  const limits = { writeTimeout: Duration.millis(300) }

  const GONE =
    "action: receive_message | result: fail | ip: 127.0.0.1 | " +
    "error: connection lost: the peer read nothing for 300ms"

  it.live.each([
    ["packets", M.packetOf(1, BETS, true), NOTHING],
    ["JSON messages", M.chunkOf(1, BETS, false), NOTHING],
    ["native frames", M.betsOf(0, BETS), M.helloOf(1)]
  ] as const)("earlier answers is disconnected at its next bets: %s", ([_what, message, first]) =>
    Effect.gen(function* () {
      const server = yield* startServer(limits)
      const peer = yield* RawPeer.connect(server.port)
      yield* peer.send(first)
      if (first.length > 0) yield* peer.control
      yield* until(() => connectionsOf(server) === 1, "it is there")
      yield* peer.pause
      // More than the system buffers for a peer that does not read.
      for (const connection of server.connections.bets) connection.write(Buffer.alloc(8 * MIB))
      yield* peer.send(message)
      yield* allGone(server)
      expect(linesAbout(server, "receive_message")).toEqual([GONE])
      expect((yield* server.store.progressOf(1)).bets).toBe(BETS.length)
      expect(yield* ping(server.port)).toEqual(PING)
    })
  )

  it.live("earlier answers is disconnected once it is refused", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits)
      const peer = yield* RawPeer.connect(server.port)
      yield* until(() => connectionsOf(server) === 1, "it is there")
      yield* peer.pause
      for (const connection of server.connections.bets) connection.write(Buffer.alloc(8 * MIB))
      yield* peer.send(Buffer.from("of no dialect\0"))
      yield* allGone(server)
    })
  )

  // Acknowledgements are short: the system buffers more than a hundred thousand of them.
  it.live.runIf(process.env.LOTTERY_TEST_LONG)("its acknowledgements is disconnected", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits)
      const peer = yield* hello(server.port, 1)
      yield* peer.pause
      yield* peer.send(M.COMPARE)
      const comparing = Buffer.concat(Array(10_000).fill(M.betsOf(0, [])))
      const sending = yield* Effect.forkScoped(Effect.forever(peer.send(comparing)))
      yield* allGone(server)
      yield* Fiber.interrupt(sending)
      expect(linesAbout(server, "receive_message")).toEqual([GONE])
    })
  )

  it.live("does not hold up the shutdown", () =>
    Effect.gen(function* () {
      const serving = yield* Scope.make()
      const server = yield* Scope.provide(startServer({}), serving)
      const peer = yield* hello(server.port, 1)
      yield* peer.pause
      for (const connection of server.connections.bets) connection.write(Buffer.alloc(8 * MIB))
      yield* Scope.close(serving, Exit.void)
      const [line, ...more] = linesAbout(server, "close_resource")
      expect(line).toBe("action: close_resource | result: success | resource: connections")
      expect(more.filter((text) => !text.includes("result: success"))).toEqual([])
    })
  )

  it.live("megabytes of winners is disconnected and may ask again", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits, [1])
      const winning = Array.from({ length: 400_000 }, (_, index) => [
        "a",
        "b",
        `${1_000_000_000 + index}`,
        "1999-03-17",
        "7574"
      ])
      const peer = yield* hello(server.port, 1)
      const frames: Array<Buffer> = []
      for (let start = 0; start < winning.length; start += 30_000) {
        frames.push(M.betsOf(start, winning.slice(start, start + 30_000)))
      }
      yield* peer.send(Buffer.concat([...frames, M.finishOf(winning)]))
      while ((yield* peer.control)._tag !== "Finished") {}
      yield* peer.pause
      yield* peer.send(M.AWAIT_WINNERS)
      yield* allGone(server)
      expect(linesAbout(server, "receive_message")).toEqual([GONE])
      expect((yield* server.store.progressOf(1)).told).toBe(false)
      const again = yield* hello(server.port, 1)
      yield* again.send(M.AWAIT_WINNERS)
      expect((yield* again.control)._tag).toBe("Waiting")
      let heard = 0
      let more: unknown = true
      while (more === true) {
        const winners = yield* again.control
        heard += (winners.documents as ReadonlyArray<string>).length
        more = winners.more
      }
      expect(heard).toBe(winning.length)
      yield* again.halfClose
      yield* server.lottery.allTold
    })
  )

  it.live("or close after its winners is disconnected and may ask again", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ farewellTimeout: Duration.millis(250) }, [1])
      const peer = yield* hello(server.port, 1)
      yield* peer.send(Buffer.concat([M.finishOf([]), M.AWAIT_WINNERS]))
      for (const tag of ["Finished", "Waiting", "Winners"]) {
        expect((yield* peer.control)._tag).toBe(tag)
      }
      yield* allGone(server)
      expect((yield* server.store.progressOf(1)).told).toBe(false)
      expect(linesAbout(server, "receive_message")).toEqual([
        "action: receive_message | result: fail | ip: 127.0.0.1 | error: connection lost: " +
          "the winners were sent but the peer did not close, so it may not have read them"
      ])
      const again = yield* hello(server.port, 1)
      yield* again.send(M.AWAIT_WINNERS)
      for (const tag of ["Waiting", "Winners"]) expect((yield* again.control)._tag).toBe(tag)
      yield* again.halfClose
      yield* server.lottery.allTold
    })
  )
})

describe("a peer that half-closes after asking for its winners", () => {
  const limits = { keepAliveDelay: Duration.millis(100) }
  const AGENCY = 4005
  const question = M.consultOf(AGENCY)

  it.live("stays connected and gets them", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits, [2, AGENCY])
      const book = yield* hello(server.port, AGENCY)
      yield* book.send(M.finishOf([]))
      yield* book.control
      const peer = yield* RawPeer.connect(server.winnersPort)
      yield* peer.send(question)
      yield* peer.halfClose
      yield* Effect.sleep("500 millis")
      expect(server.log.filter((line) => line.includes("result: fail"))).toEqual([])
      yield* finishAgency(server.port, 2)
      expect(M.readJson(yield* peer.rest)).toEqual({ type_message: 2, payload: "" })
    })
  )

  it.live("and vanishes silently does not count as having received them", () =>
    Effect.gen(function* () {
      const server = yield* startServer({}, [2, AGENCY])
      const book = yield* hello(server.port, AGENCY)
      yield* book.send(M.finishOf([]))
      yield* book.control
      const ask = Effect.gen(function* () {
        const peer = yield* RawPeer.connect(server.winnersPort)
        yield* peer.send(question)
        yield* peer.halfClose
        // By then the server has read the request and the half-close.
        yield* Effect.sleep("100 millis")
      })
      yield* Effect.scoped(ask)
      yield* finishAgency(server.port, 2)
      yield* until(() => linesAbout(server, "receive_message").length === 1, "it is lost")
      expect(linesAbout(server, "receive_message")[0]).toContain("connection lost: ")
      expect((yield* server.store.progressOf(AGENCY)).told).toBe(false)
    })
  )

  it.live("and then resets is noticed before the draw", () =>
    Effect.gen(function* () {
      const server = yield* startServer(limits, [2, AGENCY])
      const peers = yield* Effect.forEach([server.port, server.winnersPort], (port) =>
        RawPeer.connect(port)
      )
      for (const peer of peers) {
        yield* peer.send(question)
        yield* peer.halfClose
      }
      yield* until(() => connectionsOf(server) === 2, "both are there")
      yield* Effect.sleep("100 millis")
      expect(connectionsOf(server)).toBe(2)
      for (const peer of peers) yield* peer.reset
      yield* allGone(server)
    })
  )
})
