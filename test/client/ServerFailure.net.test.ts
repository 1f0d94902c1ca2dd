/**
 * Goal: where one side speaks TLS and the other does not, the client says so at once, and what to
 * do; so does the server's log. Method: real servers with TLS and without, in every dialect.
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
import { bookOf, keepLog, rows, takeDown } from "../support/clientBooks.ts"
import * as ScriptedServer from "../support/peers/ScriptedServer.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { makeSelfSigned, makeTrialKeys } from "../support/processes/trialKeys.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const [keys, others] = await Effect.runPromise(Effect.all([makeTrialKeys, makeTrialKeys]))

/** More than the system takes of it before the server reads: the answer must not be lost. */
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

/** How a conversation ends, and what the client's log says of attempts. */
const outcomeOf = Effect.fnUntraced(function* (
  conversation: Conversation,
  port: number,
  tls: ClientTls | undefined
) {
  const log = keepLog()
  const server = { host: "localhost", port, tls }
  const error = yield* conversation
    .hold(book, { server, winnersServer: server }, takeDown())
    .pipe(Effect.provide([log.layer, NodeFileSystem.layer]), Effect.flip)
  return {
    error: error.message,
    retries: log.lines.filter((line) => line.includes("action: connection"))
  }
})

const failuresIn = ({ log }: TestServer.TestServer) =>
  log.filter((line) => line.includes("result: fail"))

describe.each(CONVERSATIONS)("a client in the %s dialect", (dialect, conversation) => {
  it.live("that speaks TLS to a server without it ends, and both say why", () =>
    Effect.gen(function* () {
      const server = yield* startServer(false)
      expect(yield* outcomeOf(conversation, server.port, spoken)).toEqual({
        error:
          `localhost:${server.port}: the server does not speak TLS: ` +
          "leave out --tls, --tls-ca, --tls-cert and --tls-key",
        retries: []
      })
      expect(failuresIn(server)).toEqual([
        "action: receive_message | result: fail | ip: 127.0.0.1 | " +
          "error: got TLS, but this server was started without --tls-cert and --tls-key"
      ])
    })
  )

  it.live("that speaks no TLS to a server with it ends, and both say why", () =>
    Effect.gen(function* () {
      const server = yield* startServer(true)
      expect(yield* outcomeOf(conversation, server.port, undefined)).toEqual({
        error:
          `localhost:${server.port}: the server speaks TLS: ` +
          "name its CA with --tls-ca, or give --tls if that is a public one",
        retries: []
      })
      expect(failuresIn(server)).toEqual([
        "action: accept_connections | result: fail | ip: 127.0.0.1 | error: " +
          `expected a TLS handshake, got the ${dialect} dialect in the clear`
      ])
    })
  )
})

describe("a client that speaks TLS", () => {
  it.live("names --tls-ca where the certificate comes from no CA that it knows", () =>
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
          `${no}the certificate does not come from the CA that --tls-ca names`
        )
      }
    })
  )

  it.live("says in a few words why the server wants no TLS of this kind", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.listen()
      const opening = yield* open({ host: "127.0.0.1", port: server.port, tls: spoken }).pipe(
        Effect.flip,
        Effect.forkChild
      )
      const agency = yield* server.accept
      yield* agency.receive(5)
      // An alert of TLS: the handshake failed.
      yield* agency.send(Uint8Array.of(0x15, 3, 3, 0, 2, 2, 40))
      expect((yield* Fiber.join(opening)).message).toMatch(
        /^no TLS connection to 127\.0\.0\.1:\d+: [a-z0-9/ ]+ alert handshake failure$/
      )
    })
  )

  it.live("may try again where the server closes without a word: it may be a full one", () =>
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
      expect(error.message).toMatch(/ in the TLS handshake; does the server speak TLS\?$/)
    })
  )
})

it.effect("a server that never shakes hands is given up after 10 s", () =>
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
      reason: "not in 10 seconds"
    })
  })
)
