/**
 * Goal: if only one side uses TLS, the client reports it at once and says what to do, and the
 * server logs it. Method: real servers with and without TLS, in every dialect.
 */
import * as Net from "node:net"
import { NodeFileSystem } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { describe, expect } from "vitest"
import * as BinaryConversation from "../../src/client/conversation/BinaryConversation.ts"
import type { Conversation } from "../../src/client/conversation/Conversation.ts"
import * as JsonConversation from "../../src/client/conversation/JsonConversation.ts"
import * as NativeConversation from "../../src/client/conversation/NativeConversation.ts"
import { open } from "../../src/client/ServerConnection.ts"
import type { ClientTls } from "../../src/client/ServerFailure.ts"
import { makeServerTls } from "../../src/server/admission/Certificates.ts"
import { bookOf, keepLog, recordProgress, rows } from "../support/clientBooks.ts"
import * as ScriptedServer from "../support/peers/ScriptedServer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { makeSelfSigned, makeTrialKeys } from "../support/processes/trialKeys.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const [keys, others] = await Effect.runPromise(Effect.all([makeTrialKeys, makeTrialKeys]))

/** Larger than the system's buffers: the answer must arrive even if the book was not read. */
const book = bookOf(Array.from({ length: 100 }, (_, index) => rows(100 * index, 100 * index + 100)))

const CONVERSATIONS: ReadonlyArray<readonly [string, Conversation]> = [
  ["native", NativeConversation.make(1, "default")],
  ["binary", BinaryConversation.make(1, 8192)],
  ["json", JsonConversation.make(1)]
]

const withoutCertificate = (ca: string | undefined): ClientTls => ({
  ca,
  cert: undefined,
  key: undefined
})
const spoken = withoutCertificate(keys.authority.certificate)

const startServer = Effect.fnUntraced(function* (isSecure: boolean, pair = keys.server) {
  const { certificate: cert, key } = pair
  const tls = yield* makeServerTls({ cert, key, clientCa: undefined })
  const folder = yield* temporaryFolder
  const store = { _tag: "sqlite", path: `${folder}/lottery.db` } as const
  return yield* TestServer.start(store, [1], 7574, isSecure ? { tls } : {})
})

/** Returns a conversation's error and the logged retries. */
const outcomeOf = Effect.fnUntraced(function* (
  conversation: Conversation,
  port: number,
  tls: ClientTls | undefined
) {
  const log = keepLog()
  const server = { host: "localhost", port, tls }
  const error = yield* conversation
    .hold(book, { server, winnersServer: server }, recordProgress())
    .pipe(Effect.provide([log.layer, NodeFileSystem.layer]), Effect.flip)
  return {
    error: error.message,
    retries: log.lines.filter((line) => line.includes("action: connection"))
  }
})

const failuresIn = ({ log }: TestServer.TestServer) =>
  log.filter((line) => line.includes("result: fail"))

describe.each(CONVERSATIONS)("a client in the %s dialect", (dialect, conversation) => {
  it.live("that uses TLS with a plain server ends, and both sides say why", () =>
    Effect.gen(function* () {
      const server = yield* startServer(false)
      expect(yield* outcomeOf(conversation, server.port, spoken)).toEqual({
        error:
          `localhost:${server.port}: the server does not use TLS: ` +
          "omit --tls, --tls-ca, --tls-cert and --tls-key",
        retries: []
      })
      expect(failuresIn(server)).toEqual([
        "action: receive_message | result: fail | ip: 127.0.0.1 | " +
          "error: got TLS, but this server was started without --tls-cert and --tls-key"
      ])
    })
  )

  it.live("that does not use TLS with a TLS server ends, and both sides say why", () =>
    Effect.gen(function* () {
      const server = yield* startServer(true)
      expect(yield* outcomeOf(conversation, server.port, undefined)).toEqual({
        error:
          `localhost:${server.port}: the server uses TLS: ` +
          "name its CA with --tls-ca, or use --tls if its CA is a public one",
        retries: []
      })
      expect(failuresIn(server)).toEqual([
        "action: accept_connections | result: fail | ip: 127.0.0.1 | error: " +
          `expected a TLS handshake, got the ${dialect} dialect in the clear`
      ])
    })
  )
})

describe("a client that uses TLS", () => {
  it.live("suggests --tls-ca if it does not know the certificate's CA", () =>
    Effect.gen(function* () {
      for (const [pair, problem] of [
        [keys.server, "unable to verify the first certificate"],
        [yield* makeSelfSigned, "self-signed certificate"]
      ] as const) {
        const { port } = yield* startServer(true, pair)
        const refusal = (ca: string | undefined) =>
          open({ host: "localhost", port, tls: withoutCertificate(ca) }).pipe(
            Effect.flip,
            Effect.map(({ message }) => message)
          )
        const no = `no TLS connection to localhost:${port}: ${problem}; `
        expect(yield* refusal(undefined)).toBe(
          `${no}name the CA of the server's certificate with --tls-ca`
        )
        expect(yield* refusal(others.authority.certificate)).toBe(
          `${no}the certificate was not issued by the CA in --tls-ca`
        )
      }
    })
  )

  it.live("reports OpenSSL's short reason for a handshake failure", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.listen()
      const opening = yield* open({ host: "127.0.0.1", port: server.port, tls: spoken }).pipe(
        Effect.flip,
        Effect.forkChild
      )
      const agency = yield* server.accept
      yield* agency.receive(5)
      // A TLS alert: handshake_failure.
      yield* agency.send(Uint8Array.of(0x15, 3, 3, 0, 2, 2, 40))
      expect((yield* Fiber.join(opening)).message).toMatch(
        /^no TLS connection to 127\.0\.0\.1:\d+: [a-z0-9/ ]+ alert handshake failure$/
      )
    })
  )

  it.live("retries if the server closes during the handshake, because it may be full", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.listen()
      const opening = yield* open({ host: "127.0.0.1", port: server.port, tls: spoken }).pipe(
        Effect.flip,
        Effect.forkChild
      )
      const agency = yield* server.accept
      yield* agency.receive(5)
      yield* agency.close
      const error = yield* Fiber.join(opening)
      expect(error._tag).toBe("Unreachable")
      expect(error.message).toMatch(/ during the TLS handshake; check that the server uses TLS$/)
    })
  )
})

it.effect("a TLS handshake times out after 10 s", () =>
  Effect.gen(function* () {
    const silent = yield* Effect.acquireRelease(
      Effect.callback<Net.Server>((resume) => {
        const listening = Net.createServer().listen(0, "127.0.0.1", () =>
          resume(Effect.succeed(listening))
        )
      }),
      (listening) => Effect.sync(() => listening.close())
    )
    const accepted = Effect.callback<void>((resume) => {
      silent.once("connection", (socket) => {
        socket.on("error", () => {})
        resume(Effect.void)
      })
    })
    const { port } = silent.address() as Net.AddressInfo
    const opening = yield* open({ host: "127.0.0.1", port, tls: spoken }).pipe(
      Effect.scoped,
      Effect.flip,
      Effect.forkChild({ startImmediately: true })
    )
    yield* accepted
    yield* TestClock.adjust("9999 millis")
    expect(opening.pollUnsafe()).toBeUndefined()
    yield* TestClock.adjust("1 milli")
    expect(yield* Fiber.join(opening)).toMatchObject({
      _tag: "Unreachable",
      reason: "timed out after 10 seconds"
    })
  })
)
