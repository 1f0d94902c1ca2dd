/**
 * Goal: no peer speaks for an agency without the certificate or token that the server requires. A
 * refused peer gets the reason if its dialect can carry one, and leaves nothing except a log line.
 * Method: real sockets and handshakes, certificates made on the spot, and hand-written bytes.
 */
import type * as Tls from "node:tls"
import { it } from "@effect/vitest"
import { Duration, Effect, Fiber, References, Result } from "effect"
import { describe, expect } from "vitest"
import type { CertifiedKey } from "../../src/cli/files/TrialKeys.ts"
import { makeAuthority, validFor } from "../../src/cli/files/TrialKeys.ts"
import type { ExpectedAgencies } from "../../src/domain/Draw.ts"
import { makeServerTls } from "../../src/server/admission/Certificates.ts"
import type { Tokens } from "../../src/server/admission/Tokens.ts"
import { parseTokens } from "../../src/server/admission/Tokens.ts"
import {
  BOOKS,
  DIALECTS,
  type Dialect,
  exchange,
  expectedWinners,
  helloWith,
  winnersIn
} from "../support/peers/exchange.ts"
import * as M from "../support/peers/messages.ts"
import * as TestServer from "../support/peers/TestServer.ts"
import { makeTrialKeys } from "../support/processes/trialKeys.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const keys = await Effect.runPromise(makeTrialKeys)
const foreign = await Effect.runPromise(
  Effect.flatMap(Effect.flatMap(validFor(1), makeAuthority), ({ issue }) =>
    Effect.flatMap(validFor(1), (validity) => issue({ agency: 1 }, validity))
  )
)
const [first, second] = await Effect.runPromise(Effect.all([keys.agency(1), keys.agency(2)]))

const TOKENS = { 1: "Zq7-fjord#ümlaut", 2: "Xv9_glyph.quartz" }
const tokens: Tokens = Result.getOrThrow(parseTokens(`1 ${TOKENS[1]}\n2 ${TOKENS[2]}\n`))

/** What the server requires of agencies. */
interface Asked {
  readonly tls?: boolean
  readonly certificates?: boolean
  readonly tokens?: boolean
  readonly agencies?: ExpectedAgencies
}

const startServer = Effect.fnUntraced(function* (asked: Asked) {
  const { agencies = [1, 2], certificates = false, tls = certificates } = asked
  const { certificate: cert, key } = keys.server
  const clientCa = certificates ? keys.authority.certificate : undefined
  const folder = yield* temporaryFolder
  const store = { _tag: "sqlite", path: `${folder}/lottery.db` } as const
  return yield* TestServer.start(store, agencies, 7574, {
    limits: { messageTimeout: Duration.millis(300) },
    identity: { certificates, tokens: asked.tokens === true ? () => tokens : undefined },
    ...(tls && { tls: yield* makeServerTls({ cert, key, clientCa }) })
  }).pipe(Effect.provideService(References.MinimumLogLevel, "All"))
})

/** TLS options of a peer with this certificate, or without one. */
const as = (holder?: CertifiedKey): Tls.ConnectionOptions => ({
  ca: keys.authority.certificate,
  ...(holder !== undefined && { cert: holder.certificate, key: holder.key })
})

/** Decodes the refusal of a peer that may not speak for the agency. */
const refusalIn = (dialect: Dialect, answer: Buffer): unknown => {
  switch (dialect) {
    case "native":
      return M.controlsIn(answer)
    case "binary":
      return answer.toString("hex")
    case "json":
      return M.readJson(answer)
  }
}

const refusals = (message: string) => ({
  native: [{ _tag: "Rejected", code: "Unauthorized", message }],
  binary: "0000",
  json: { type_message: 3, payload: message }
})

/** Expects that nothing of agency 1 is stored and that the log has one line per refusal. */
const expectNothing = Effect.fnUntraced(function* (
  server: TestServer.TestServer,
  message: string,
  count: number
) {
  const [held] = [...(yield* server.store.progress).values()]
  expect(held?.bets ?? 0).toBe(0)
  const lines = server.log.filter((line) => line.includes("result: fail"))
  expect(lines).toHaveLength(count)
  for (const line of lines) {
    expect(line).toMatch(/^action: (apuesta_recibida|consulta_ganadores) \| /)
    expect(line).toContain("agencia: 1 |")
    expect(line).toContain(`ip: 127.0.0.1 | error: ${message}`)
  }
})

/** Whether a text contains any four characters of a token, in plain or as hex. */
const showsPart = (text: string, token: string): boolean =>
  Array.from({ length: token.length - 3 }, (_, start) => token.slice(start, start + 4)).some(
    (part) => {
      const hex = Buffer.from(part).toString("hex")
      return [part, hex, hex.replace(/..(?=.)/g, "$& ")].some((shown) => text.includes(shown))
    }
  )

describe("with certificates", () => {
  /** How a certificate names its agency, and how to make one. */
  const holders = {
    "either name": keys.agency,
    "a common name": (agency: number) => keys.named({ commonName: `agency-${agency}` }),
    "a URI": (agency: number) =>
      keys.named({ commonName: "somebody", uris: [`lottery:agency:${agency}`] })
  }
  it.live.each(Object.entries(holders))(
    "an agency whose certificate has %s speaks every dialect",
    ([, holder]) =>
      Effect.gen(function* () {
        const server = yield* startServer({ certificates: true, agencies: [1, 2, 3] })
        const heard = yield* Effect.forEach(
          DIALECTS,
          Effect.fnUntraced(function* (dialect, index) {
            const agency = index + 1
            const tls = as(yield* holder(agency))
            const answer = yield* exchange({ port: server.port, tls }, BOOKS[dialect](agency))
            expect(winnersIn[dialect](answer)).toEqual(expectedWinners(agency)[dialect])
            const asked = yield* exchange({ port: server.winnersPort, tls }, M.consultOf(agency))
            return M.readJson(asked)
          }),
          { concurrency: "unbounded" }
        )
        expect(heard).toEqual([1, 2, 3].map((agency) => expectedWinners(agency).json))
        expect(server.log.filter((line) => line.includes("fail"))).toEqual([])
      })
  )

  const NO_NAME =
    "the certificate was rejected: " +
    "expected exactly one agency name, such as agency-3 or lottery:agency:3"
  const named = (commonName: string, ...uris: ReadonlyArray<string>) =>
    keys.named({ commonName, uris })
  const cases: ReadonlyArray<
    readonly [what: string, holder: Effect.Effect<CertifiedKey | undefined>, reason: string]
  > = [
    ["no certificate", Effect.undefined, "no certificate was presented"],
    [
      "one from another CA",
      Effect.succeed(foreign),
      "the certificate was rejected: UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    ],
    ["one that has expired", keys.expired(1), "the certificate was rejected: CERT_HAS_EXPIRED"],
    [
      "the server's own",
      Effect.succeed(keys.server),
      "the certificate was rejected: INVALID_PURPOSE"
    ],
    ["another agency's", Effect.succeed(second), "the certificate belongs to agency 2"],
    ["one that names two agencies", named("agency-1", "lottery:agency:2"), NO_NAME],
    ["one with two URIs", named("x", "lottery:agency:1", "lottery:agency:2"), NO_NAME],
    ["one with two URIs in one", named("x", "lottery:agency:2, URI:lottery:agency:1"), NO_NAME],
    [
      "one whose name only begins like an agency's",
      named("agency-1.example", "lottery:agency:1:x"),
      NO_NAME
    ],
    ["one for agency 0", named("agency-0"), NO_NAME]
  ]
  it.live.each(cases)("%s is refused, except for a text line", ([, holder, reason]) =>
    Effect.gen(function* () {
      const server = yield* startServer({ certificates: true, agencies: [1] })
      const tls = as(yield* holder)
      const message = `not authorized for agency 1: ${reason}`
      for (const dialect of DIALECTS) {
        const answer = yield* exchange({ port: server.port, tls }, BOOKS[dialect](1))
        expect(refusalIn(dialect, answer), dialect).toEqual(refusals(message)[dialect])
      }
      const { port, winnersPort } = server
      const question = yield* exchange({ port: winnersPort, tls }, M.consultOf(1))
      expect(refusalIn("json", question)).toEqual(refusals(message).json)
      expect(yield* exchange({ port, tls }, M.packet("1;", true))).toEqual(M.REFUSED)
      yield* expectNothing(server, message, 5)
      expect((yield* exchange({ port, tls }, Buffer.from("PING\n"))).toString()).toBe("PING\n")
    })
  )

  it.live("a peer authorized for one agency cannot continue as another", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ certificates: true })
      const said = Buffer.concat([
        M.chunkOf(1, [M.fields(10)], false),
        M.chunkOf(2, [M.fields(20)], false)
      ])
      const answer = yield* exchange({ port: server.port, tls: as(first) }, said)
      expect(M.readJson(answer.subarray(M.CHUNK_PROCESSED.length))).toEqual(
        refusals("not authorized for agency 2: the certificate belongs to agency 1").json
      )
      expect([...(yield* server.store.progress).keys()]).toEqual([1])
    })
  )
})

describe.each([{ tls: false }, { tls: true }])("with tokens, tls: $tls", ({ tls }) => {
  const how = tls ? { tls: as() } : {}

  it.live("an agency with its own token speaks the native dialect", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ tokens: true, tls, agencies: [1] })
      const answer = yield* exchange({ port: server.port, ...how }, BOOKS.native(1, TOKENS[1]))
      expect(winnersIn.native(answer)).toEqual(expectedWinners(1).native)
      expect(server.log.filter((line) => showsPart(line, TOKENS[1]))).toEqual([])
    })
  )

  it.live("a wrong or missing token is refused", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ tokens: true, tls, agencies: [1] })
      const wrong = "the token is wrong"
      const given: ReadonlyArray<readonly [token: string | undefined, reason: string]> = [
        [TOKENS[2], wrong],
        [TOKENS[1].slice(0, -1), wrong],
        ["", wrong],
        [undefined, "no token was presented; only the native dialect can carry one"]
      ]
      for (const [index, [token, reason]] of given.entries()) {
        const answer = yield* exchange({ port: server.port, ...how }, BOOKS.native(1, token))
        const message = `not authorized for agency 1: ${reason}`
        expect(M.controlsIn(answer), token).toEqual(refusals(message).native)
        expect(server.log.filter((line) => line.includes(message))).toHaveLength(
          index < 3 ? index + 1 : 1
        )
      }
      yield* expectNothing(server, "not authorized for agency 1: ", given.length)
    })
  )

  it.live("dialects that cannot carry a token are refused", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ tokens: true, tls, agencies: [1] })
      const message =
        "not authorized for agency 1: no token was presented; only the native dialect can carry one"
      for (const dialect of ["binary", "json"] as const) {
        const answer = yield* exchange({ port: server.port, ...how }, BOOKS[dialect](1))
        expect(refusalIn(dialect, answer)).toEqual(refusals(message)[dialect])
      }
      const question = yield* exchange({ port: server.winnersPort, ...how }, M.consultOf(1))
      expect(refusalIn("json", question)).toEqual(refusals(message).json)
      yield* expectNothing(server, message, 3)
    })
  )
})

it.live("no answer and no log line shows a token, whatever is wrong with a Hello", () =>
  Effect.gen(function* () {
    const token = TOKENS[1]
    const text = (more: string) => Buffer.concat([M.PREFACE, M.controlFrame(more)])
    const said: Readonly<Record<string, Buffer>> = {
      "another agency's": helloWith(2, { token }),
      "of agency 0": helloWith(0, { token }),
      "of an agency that is not in the draw": helloWith(9, { token }),
      "for another draw": helloWith(1, { token, draw: "sunday" }),
      "in a list": helloWith(1, { token: [token] }),
      "in an object": helloWith(1, { token: { [token]: token } }),
      "as the agency": helloWith(1, { agency: token, token }),
      "as a key": helloWith(1, { [token]: token }),
      "too long": helloWith(1, { token: token.repeat(35) }),
      "too long for a Hello": helloWith(1, { token: token.repeat(200) }),
      "in broken JSON": text(`{"_tag":"Hello","draw":"default","agency":1,"token":"${token}`),
      "as a JSON string": text(JSON.stringify(token)),
      "as the message": text(token),
      "in another message": text(JSON.stringify({ _tag: "Finish", token, bets: token })),
      "as the tag": text(JSON.stringify({ _tag: token })),
      "as bets": Buffer.concat([M.PREFACE, M.betsFrame(0, 1, token.repeat(2))]),
      "in half a Hello": helloWith(1, { token }).subarray(0, -3)
    }
    const server = yield* startServer({ tokens: true })
    const heard = yield* Effect.forEach(
      Object.entries(said),
      ([what, bytes]) =>
        Effect.map(exchange({ port: server.port }, bytes), (answer) => [what, answer] as const),
      { concurrency: "unbounded" }
    )
    for (const [what, answer] of heard) {
      const answered = answer.toString()
      expect(answered, what).toContain("Rejected")
      expect(showsPart(answered, token), what).toBe(false)
    }
    expect(server.log.filter((line) => showsPart(line, token))).toEqual([])
    const refused = server.log.filter((line) => line.includes("result: fail"))
    expect(refused).toHaveLength(heard.length)
    expect([...(yield* server.store.progress).keys()]).toEqual([])
  })
)

describe("with certificates and tokens", () => {
  it.live("either authorizes: a certificate in every dialect, a token in the native one", () =>
    Effect.gen(function* () {
      const asked = { certificates: true, tokens: true, agencies: [1, 2, 3, 4] } as const
      const server = yield* startServer(asked)
      const { port } = server
      const hold = Effect.fnUntraced(function* (dialect: Dialect, agency: number) {
        const tls = as(yield* keys.agency(agency))
        const answer = yield* exchange({ port, tls }, BOOKS[dialect](agency))
        expect(winnersIn[dialect](answer)).toEqual(expectedWinners(agency)[dialect])
      })
      const others = yield* Effect.forkChild(
        Effect.all([hold("native", 2), hold("binary", 3), hold("json", 4)], {
          concurrency: "unbounded"
        })
      )
      const answer = yield* exchange({ port, tls: as() }, BOOKS.native(1, TOKENS[1]))
      expect(winnersIn.native(answer)).toEqual(expectedWinners(1).native)
      yield* Fiber.join(others)
    })
  )

  const judged: ReadonlyArray<
    readonly [what: string, holder: CertifiedKey, reason: string, token: string]
  > = [
    ["another agency's", second, "the certificate belongs to agency 2", TOKENS[1]],
    [
      "another CA's",
      foreign,
      "the certificate was rejected: UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      TOKENS[1]
    ]
  ]
  it.live.each(judged)(
    "%s certificate is refused although the token is right",
    ([, holder, reason, token]) =>
      Effect.gen(function* () {
        const server = yield* startServer({ certificates: true, tokens: true, agencies: [1] })
        const answer = yield* exchange(
          { port: server.port, tls: as(holder) },
          BOOKS.native(1, token)
        )
        const message = `not authorized for agency 1: ${reason}`
        expect(M.controlsIn(answer)).toEqual(refusals(message).native)
        yield* expectNothing(server, message, 1)
      })
  )

  it.live("a peer with neither is refused, and so is one with only a wrong token", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ certificates: true, tokens: true, agencies: [1] })
      const missing = "neither a certificate nor a token was presented"
      const message = `not authorized for agency 1: ${missing}`
      for (const dialect of DIALECTS) {
        const answer = yield* exchange({ port: server.port, tls: as() }, BOOKS[dialect](1))
        expect(refusalIn(dialect, answer)).toEqual(refusals(message)[dialect])
      }
      const said = BOOKS.native(1, TOKENS[2])
      const answer = yield* exchange({ port: server.port, tls: as() }, said)
      expect(M.controlsIn(answer)).toEqual(
        refusals("not authorized for agency 1: the token is wrong").native
      )
      yield* expectNothing(server, "not authorized for agency 1: ", 4)
    })
  )
})
