/**
 * Goal: nothing that an agency sends is shown over HTTP: no name, document or token, no refused
 * value, and no winner. Method: books and bad messages in which every value is a unique word, in
 * each dialect, to servers without identity, with tokens and with certificates. All paths are
 * fetched before, during and after the draw, while a board keeps every event.
 */
import type * as Tls from "node:tls"
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { expect } from "vitest"
import { makeServerTls } from "../../../../src/server/admission/Certificates.ts"
import { parseTokens } from "../../../../src/server/admission/Tokens.ts"
import { DIALECTS, type Dialect, exchange, helloWith } from "../../../support/peers/exchange.ts"
import * as M from "../../../support/peers/messages.ts"
import { get, openBoard } from "../../../support/peers/rawHttp.ts"
import * as WatchedServer from "../../../support/peers/WatchedServer.ts"
import { makeTrialKeys } from "../../../support/processes/trialKeys.ts"
import { until } from "../../../support/stores/HeldTransaction.ts"
import { temporaryFolder } from "../../../support/TemporaryFolder.ts"

const keys = await Effect.runPromise(makeTrialKeys)

const AGENCIES = [1, 2, 3] as const
const AGENCY_OF = { native: 1, binary: 2, json: 3 } as const

const tokenOf = (agency: number): string => `Zt-token-${agency}`
const bookOf = (agency: number): ReadonlyArray<ReadonlyArray<string>> => [
  [`Zname${agency}`, `Zlast${agency}`, `3141592${agency}`, "1987-06-05", "7574"],
  [`Zname${agency}`, `Zother${agency}`, `2718281${agency}`, "1987-06-05", "8642"]
]

/** Bets and messages that are refused for one value each. */
const BAD_BETS = [
  ["Zname", "Zlast", "Zbaddocument", "1987-06-05", "1"],
  ["Zname", "Zlast", "31415926", "Zbadbirth", "1"],
  ["Zname", "Zlast", "31415926", "1987-06-05", "Zbadnumber"],
  ["Zbadname\0", "Zlast", "31415926", "1987-06-05", "1"],
  ["Zname", `Z${"bad".repeat(60)}`, "31415926", "1987-06-05", "1"]
]

const bad = (dialect: Dialect, agency: number, token: string | undefined) => {
  switch (dialect) {
    case "native":
      return [
        ...BAD_BETS.map((bet) => Buffer.concat([helloWith(agency, { token }), M.betsOf(0, [bet])])),
        Buffer.concat([helloWith(agency, { token }), M.controlFrame('{"Zbadjson')]),
        Buffer.concat([helloWith(agency, { token }), M.controlFrame({ _tag: "Zbadtag" })]),
        M.helloOf(agency, "Zbaddraw", { token }),
        helloWith(agency, { token: "Zbadtoken" }),
        Buffer.concat([M.PREFACE, M.controlFrame({ _tag: "Hello", draw: 1, agency: "Zbadagency" })])
      ]
    case "binary":
      return [
        ...BAD_BETS.map((bet) => M.packetOf(agency, [bet], false)),
        M.packet("Zbadagency;Zname;Zlast;1;1987-06-05;1", false)
      ]
    case "json":
      return [
        ...BAD_BETS.map((bet) => M.chunkOf(agency, [bet], false)),
        M.json({ type_message: 1, agency: "Zbadagency", payload: ["Zbadpayload"] }),
        M.json({ type_message: "Zbadtype" })
      ]
  }
}

/** The upload of the first bets, then of the whole book. */
const parts = (dialect: Dialect, agency: number, token: string | undefined) => {
  const book = bookOf(agency)
  switch (dialect) {
    case "native": {
      const hello = helloWith(agency, { token, book: { bets: 2 } })
      const whole = [hello, M.betsOf(1, book.slice(1)), M.finishOf(book), M.AWAIT_WINNERS]
      return [Buffer.concat([hello, M.betsOf(0, book.slice(0, 1))]), Buffer.concat(whole)]
    }
    case "binary":
      return [
        M.packetOf(agency, book.slice(0, 1), true),
        Buffer.concat([M.packetOf(agency, book, false), M.packet(`${agency};`, false)])
      ]
    case "json":
      return [
        M.chunkOf(agency, book.slice(0, 1), false),
        Buffer.concat([M.chunkOf(agency, book, true), M.consultOf(agency)])
      ]
  }
}

/** Every word that was sent, and every document. */
const SECRET = /Z[a-z]|3141592\d|2718281\d|1987-06-05/

const PATHS = [
  "/",
  "/healthz",
  "/readyz",
  "/metrics",
  "/api/standing",
  "/draw/seal",
  "/draw/result",
  "/nothing",
  "/Znothing"
]

it.live.each([
  { name: "no identity", dialects: DIALECTS, certificates: false, tokens: false },
  { name: "tokens", dialects: ["native"] as const, certificates: false, tokens: true },
  { name: "certificates and tokens", dialects: DIALECTS, certificates: true, tokens: true }
])("nothing of a book is shown: $name", ({ certificates, dialects, ...asked }) =>
  Effect.gen(function* () {
    const path = `${yield* temporaryFolder}/lottery.db`
    const { certificate: cert, key } = keys.server
    const isTls = certificates || asked.tokens
    const lines = AGENCIES.map((agency) => `${agency} ${tokenOf(agency)}\n`).join("")
    const tokens = Result.getOrThrow(parseTokens(lines))
    const clientCa = certificates ? keys.authority.certificate : undefined
    const agencies = dialects.length === 1 ? ([1] as const) : AGENCIES
    const { httpPort, log, port } = yield* WatchedServer.start({ _tag: "sqlite", path }, agencies, {
      identity: { certificates, tokens: asked.tokens ? () => tokens : undefined },
      ...(isTls && { tls: yield* makeServerTls({ cert, key, clientCa }) })
    })
    const seen: Array<string> = []
    const look = Effect.forEach(PATHS, (path) =>
      Effect.map(get(httpPort, path), ({ body, headers }) => {
        seen.push(JSON.stringify([...headers]), body)
      })
    )
    const board = yield* openBoard(httpPort)
    const dialled = Effect.fnUntraced(function* (agency: number) {
      if (!isTls) return { port }
      const holder = yield* keys.agency(agency)
      const tls: Tls.ConnectionOptions = {
        ca: keys.authority.certificate,
        ...(certificates && { cert: holder.certificate, key: holder.key })
      }
      return { port, tls }
    })

    yield* look
    for (const step of [0, 1] as const) {
      yield* Effect.forEach(
        dialects,
        Effect.fnUntraced(function* (dialect) {
          const agency = AGENCY_OF[dialect]
          const token = asked.tokens ? tokenOf(agency) : undefined
          const to = yield* dialled(agency)
          for (const bytes of bad(dialect, agency, token)) {
            yield* Effect.forkScoped(exchange(to, bytes))
          }
          const part = parts(dialect, agency, token)[step]!
          // The first part ends without an answer that the server would close after.
          if (step === 0) yield* Effect.forkScoped(exchange(to, part))
          else yield* exchange(to, part)
        }),
        { concurrency: "unbounded" }
      )
      yield* until(Effect.sync(() => board.text().includes('"reason":"')))
      yield* look
    }
    yield* until(Effect.sync(() => board.text().includes('"phase":"drawn"')))
    yield* look

    expect(seen.join("\n").match(SECRET)?.[0]).toBeUndefined()
    expect(board.text().match(SECRET)?.[0]).toBeUndefined()

    const refusals = seen.join("").match(/lottery_refusals_total\{reason="\w+"\} \d+/g) ?? []
    const bads = dialects.flatMap((dialect) => bad(dialect, 1, undefined))
    const last = refusals.slice(-new Set(refusals.map((line) => line.split(" ")[0])).size)
    const count = last.reduce((sum, line) => sum + Number(line.split(" ")[1]), 0)
    expect(count).toBeGreaterThan(bads.length)
    // The draw really had these books, and the log, which is not public, may show a refused value.
    expect(log.join("\n")).toMatch(/Zbad/)
  }).pipe(Effect.scoped)
)
