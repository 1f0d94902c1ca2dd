/**
 * Goal: the built command speaks TLS, authenticates itself and its peers, and reports an invalid
 * certificate, token or file in one line. Method: processes with newly made certificates.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { describe, expect } from "vitest"
import { validFor } from "../../src/cli/files/TrialKeys.ts"
import * as ServerIdentity from "../../src/cli/settings/server/ServerIdentity.ts"
import type { ServerTls } from "../../src/server/admission/Certificates.ts"
import { keepLog } from "../support/clientBooks.ts"
import { DIALECTS, exchange } from "../support/peers/exchange.ts"
import * as M from "../support/peers/messages.ts"
import { type Outcome, runLottery, startLottery } from "../support/processes/lotteryCommand.ts"
import { type Ports, startServer } from "../support/processes/lotteryParties.ts"
import {
  makeTrialKeys,
  makeWeak,
  type TrialKeys,
  writePair
} from "../support/processes/trialKeys.ts"
import { temporaryFolder } from "../support/TemporaryFolder.ts"

const keys = await Effect.runPromise(makeTrialKeys)
const other = await Effect.runPromise(makeTrialKeys)

const TOKENS = { 1: "Zq7-fjord#waltz", 2: "Xv9_glyph.quartz" }

const writeTokens = (file: string, tokens: Readonly<Record<number, string>>) =>
  writeFileSync(
    file,
    Object.entries(tokens)
      .map(([agency, token]) => `${agency} ${token}\n`)
      .join("")
  )

/** Writes the certificates and tokens of the server and its agencies. */
const writeFiles = Effect.fnUntraced(function* (folder: string, made: TrialKeys = keys) {
  const ca = join(folder, "ca.pem")
  const tokens = join(folder, "tokens.txt")
  writeFileSync(ca, made.authority.certificate)
  writeTokens(tokens, TOKENS)
  for (const agency of [1, 2, 3]) {
    writeFileSync(
      join(folder, `agency-${agency}.csv`),
      `Ana,Perez,${10 * agency},1999-03-17,7574\n`
    )
    writePair(folder, `agency-${agency}`, yield* made.agency(agency))
  }
  return { ca, tokens, ...writePair(folder, "server", made.server) }
})

type Files = Effect.Success<ReturnType<typeof writeFiles>>

const tlsArgs = ({ cert, key }: Pick<Files, "cert" | "key">) => [
  ...["--tls-cert", cert],
  ...["--tls-key", key]
]

const pairArgs = (folder: string, name: string) =>
  tlsArgs({ cert: join(folder, `${name}.pem`), key: join(folder, `${name}-key.pem`) })

interface ClientRun {
  readonly folder: string
  readonly ports: Ports
  readonly host?: string
  readonly more?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** The timeout ends a client that the server wrongly accepts. */
const clientOf = (
  agency: number,
  { env = {}, folder, host = "localhost", more = [], ports }: ClientRun
) => ({
  args: [
    ...["client", "--agency", `${agency}`, "--bets", join(folder, `agency-${agency}.csv`)],
    ...["--server", `${host}:${ports.port}`, "--winners-server", `${host}:${ports.winnersPort}`],
    ...["--timeout", "20s", ...more]
  ],
  env
})

/** Expects the command to fail with one line, apart from the one with its settings. */
const expectRefused = ({ code, stderr, stdout }: Outcome, line: string | RegExp) => {
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  const said = stderr
    .trimEnd()
    .split("\n")
    .filter((one) => !/action: (config|close_resource) /.test(one))
  expect(said).toHaveLength(1)
  expect(said[0]).toMatch(/^\S+ \S+ CRITICAL /)
  expect(said[0]).toMatch(line)
}

/** Whether a text contains any four consecutive characters of a token. */
const showsPart = (text: string, token: string): boolean =>
  Array.from({ length: token.length - 3 }, (_, start) => token.slice(start, start + 4)).some(
    (part) => text.includes(part)
  )

describe("a server with a certificate", () => {
  it.live("serves every dialect to clients that trust its CA, and no others", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { ca } = yield* writeFiles(folder)
      const named = yield* keys.authority.issue({ serverNames: ["localhost"] }, yield* validFor(1))
      const store = `sqlite:${folder}/lottery.db`
      const more = ["--agencies", "3", ...tlsArgs(writePair(folder, "named", named))]
      const server = yield* startServer({ store, more })
      expect(server.stderr()).toContain("tls: true | certificates: false | tokens: false\n")
      const run = { folder, ports: server }
      const address = `localhost:${server.port}`

      // This variable makes Node accept every certificate by default.
      const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", NODE_NO_WARNINGS: "1" }
      expectRefused(
        yield* runLottery(clientOf(1, { ...run, more: ["--tls"], env })),
        `no TLS connection to ${address}: unable to verify the first certificate`
      )
      expectRefused(
        yield* runLottery(clientOf(1, { ...run, host: "127.0.0.1", more: ["--tls-ca", ca] })),
        /no TLS connection to 127\.0\.0\.1:\d+: .*127\.0\.0\.1 is not in the cert's list/
      )
      const pings = yield* Effect.all(
        [
          runLottery({ args: ["ping", "--server", address, "--tls", "--tls-ca", ca] }),
          runLottery({ args: ["ping", "--server", address, "--tls"] })
        ],
        { concurrency: 2 }
      )
      expect(pings.map(({ code }) => code)).toEqual([0, 1])
      expect(pings[0]?.stderr).toContain("action: receive_message | result: success")
      expect(pings[1]?.stderr).toMatch(
        /test_echo_server \| result: fail .*: unable to verify .*; name the CA .* with --tls-ca\n/
      )

      const outcomes = yield* Effect.forEach(
        DIALECTS,
        (dialect, index) =>
          runLottery(clientOf(index + 1, { ...run, more: ["--tls-ca", ca, "--dialect", dialect] })),
        { concurrency: "unbounded" }
      )
      expect(outcomes.map(({ code, stdout }) => [code, stdout])).toEqual([
        [0, "10\n"],
        [0, "20\n"],
        [0, "30\n"]
      ])
      expect(outcomes[0]?.stderr).toMatch(/action: config .* \| tls: true\n/)
    })
  )

  it.live("fails a ping without TLS, and a server without TLS fails a ping with it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { ca, cert, key } = yield* writeFiles(folder)
      const more = ["--agencies", "1", ...tlsArgs({ cert, key }), "--handshake-timeout", "200ms"]
      const [secure, plain] = yield* Effect.all(
        [
          startServer({ store: `sqlite:${folder}/secure.db`, more }),
          startServer({ store: `sqlite:${folder}/plain.db` })
        ],
        { concurrency: 2 }
      )
      const [untold, unheard] = yield* Effect.all(
        [
          runLottery({ args: ["ping", "--server", `localhost:${secure.port}`] }),
          runLottery({ args: ["ping", "--server", `localhost:${plain.port}`, "--tls-ca", ca] })
        ],
        { concurrency: 2 }
      )
      expect([untold.code, unheard.code]).toEqual([1, 1])
      for (const { stderr } of [untold, unheard]) {
        expect(stderr.match(/action: test_echo_server \| result: fail /g)).toHaveLength(1)
      }
      yield* secure.logged(/accept_connections \| result: fail .* handshake, got a line of text\n/)
      yield* plain.logged(/result: fail \| ip: 127.0.0.1 \| error: got TLS, but this server was /)
      expect(untold.stderr).toMatch(/: the server uses TLS: name its CA with --tls-ca/)
      expect(unheard.stderr).toMatch(/: the server does not use TLS: omit --tls, /)
      yield* Effect.result(exchange({ port: secure.port }, Buffer.alloc(0)))
      yield* secure.logged(/ERROR .* the TLS handshake failed: it took more than 200ms\n/)
      // Without TLS and tokens there is nothing to reload.
      yield* plain.signal("SIGHUP")
      expect((yield* plain.outcome).code).toBe(0)
      expect(plain.stderr()).toContain("signal: SIGHUP")
    })
  )
})

describe("a server that requires certificates or tokens", () => {
  it.live("accepts either, refuses all others in one line and never shows a token", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const files = yield* writeFiles(folder)
      const server = yield* startServer({
        store: `sqlite:${folder}/lottery.db`,
        more: [
          ...["--agencies", "3", "--log-level", "debug", ...tlsArgs(files)],
          ...["--tls-client-ca", files.ca, "--tokens", files.tokens]
        ]
      })
      expect(server.stderr()).toContain("tls: true | certificates: true | tokens: true\n")
      const run = { folder, ports: server }
      const tls = ["--tls-ca", files.ca]
      const debug = ["--log-level", "debug"]

      const refused: ReadonlyArray<readonly [more: ReadonlyArray<string>, reason: string]> = [
        [[], "neither a certificate nor a token was presented"],
        [["--token", TOKENS[2]], "the token is wrong"],
        [
          [...pairArgs(folder, "agency-2"), "--token", TOKENS[1]],
          "the certificate belongs to agency 2"
        ]
      ]
      const refusals = yield* Effect.forEach(
        refused,
        ([more]) => runLottery(clientOf(1, { ...run, more: [...tls, ...more] })),
        { concurrency: 3 }
      )
      for (const [index, [, reason]] of refused.entries()) {
        const message = `not authorized for agency 1: ${reason}`
        expectRefused(refusals[index]!, `the server refused (Unauthorized): ${message}`)
        yield* server.logged(
          new RegExp(`agencia: 1 \\| posicion: 0 \\| ip: 127\\.0\\.0\\.1 \\| error: ${message}\\n`)
        )
      }

      const traced = yield* runLottery(
        clientOf(1, { ...run, more: [...tls, "--token", TOKENS[2], ...debug] })
      )
      expect(traced.stderr).toContain("CRITICAL the server refused (Unauthorized): ")

      const accepted = yield* Effect.all(
        [
          runLottery(
            clientOf(1, { ...run, more: [...tls, ...debug], env: { LOTTERY_TOKEN: TOKENS[1] } })
          ),
          runLottery(clientOf(2, { ...run, more: [...tls, "--token", TOKENS[2]] })),
          runLottery(
            clientOf(3, {
              ...run,
              more: [...tls, ...pairArgs(folder, "agency-3"), "--dialect", "json"]
            })
          )
        ],
        { concurrency: 3 }
      )
      expect(accepted.map(({ code, stdout }) => [code, stdout])).toEqual([
        [0, "10\n"],
        [0, "20\n"],
        [0, "30\n"]
      ])
      for (const text of [
        server.stderr(),
        ...[...refusals, traced, ...accepted].map((o) => o.stderr)
      ]) {
        for (const token of Object.values(TOKENS)) expect(showsPart(text, token)).toBe(false)
      }
    })
  )
})

describe("at SIGHUP", () => {
  it.live("certificates and tokens are reloaded, and invalid ones are ignored", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const files = yield* writeFiles(folder)
      const server = yield* startServer({
        store: `sqlite:${folder}/lottery.db`,
        more: [
          ...["--agencies", "2", ...tlsArgs(files)],
          ...["--tls-client-ca", files.ca, "--tokens", files.tokens]
        ]
      })
      const run = { folder, ports: server }
      const tls = ["--tls-ca", files.ca]
      const more = [...tls, ...pairArgs(folder, "agency-1")]
      const before = yield* startLottery(clientOf(1, { ...run, more }))
      yield* before.logged(/waiting_for_draw/)

      const ping = (ca: string) =>
        exchange(
          { port: server.port, tls: { ca, servername: "localhost" } },
          Buffer.from("PING\n")
        ).pipe(Effect.map(String), Effect.result)
      const pong = Result.succeed("PING\n")
      const readings = () => server.stderr().match(/action: read_credentials \| .*/g) ?? []
      const hangUp = Effect.fnUntraced(function* (reading: RegExp) {
        const count = readings().length
        yield* server.signal("SIGHUP")
        const seen = new RegExp(`(?:action: read_credentials [^]*){${count + 1}}\n`)
        yield* server.logged(seen)
        expect(readings().at(-1)).toMatch(reading)
      })

      // A file that is being written is empty at first. Then no other file is reloaded either.
      writeTokens(files.tokens, { 1: TOKENS[2], 2: TOKENS[1] })
      const broken: ReadonlyArray<readonly [file: string, whole: string]> = [
        [files.cert, keys.server.certificate],
        [files.key, keys.server.key],
        [files.ca, keys.authority.certificate]
      ]
      for (const [file, whole] of broken) {
        for (const text of ["", whole.slice(0, whole.length / 2)]) {
          writeFileSync(file, text)
          yield* hangUp(/result: fail \| error: \S+\.pem: expected .* PEM/)
          writeFileSync(file, whole)
          expect(yield* ping(keys.authority.certificate)).toEqual(pong)
        }
      }
      // TLS refuses these only after they are read. The tokens are not reloaded then either.
      writePair(folder, "server", yield* makeWeak)
      yield* hangUp(/result: fail \| error: \S+, \S+: these certificates cannot be used: /)
      expect(yield* ping(keys.authority.certificate)).toEqual(pong)
      writePair(folder, "server", keys.server)
      const old = { ...run, more: [...tls, "--token", TOKENS[1]] }
      const expectOldTokens = Effect.gen(function* () {
        expectRefused(
          yield* runLottery(clientOf(2, old)),
          "not authorized for agency 2: the token is wrong"
        )
      })
      yield* expectOldTokens
      writeFileSync(files.tokens, `1 ${TOKENS[1]}\n2\n`)
      yield* hangUp(/result: fail \| error: \S+tokens\.txt: line 2: expected an agency number/)
      yield* expectOldTokens

      // Open connections stay, except that a new CA closes them.
      expect(before.stderr()).not.toContain("action: connection")
      yield* writeFiles(folder, other)
      writeTokens(files.tokens, { 1: TOKENS[2], 2: TOKENS[1] })
      yield* hangUp(/result: success$/)
      const sentAway = yield* before.outcome
      expect([sentAway.code, sentAway.stdout]).toEqual([1, ""])
      expect(sentAway.stderr).toMatch(/the certificate was not issued by the CA in --tls-ca/)
      expect(Result.isFailure(yield* ping(keys.authority.certificate))).toBe(true)
      expect(yield* ping(other.authority.certificate)).toEqual(pong)
      const { certificate: cert, key } = yield* keys.agency(1)
      const asked = yield* exchange(
        {
          port: server.port,
          tls: { ca: other.authority.certificate, servername: "localhost", cert, key }
        },
        M.consultOf(1)
      )
      expect(asked.toString()).toContain("agency 1: the certificate was rejected: ")
      // The token that was refused before is valid now.
      const last = yield* runLottery(clientOf(2, old))
      expect([last.code, last.stdout]).toEqual([0, "20\n"])

      const again = yield* runLottery(clientOf(1, { ...run, more }))
      expect([again.code, again.stdout]).toEqual([0, "10\n"])
      for (const token of Object.values(TOKENS)) {
        expect(showsPart(server.stderr(), token)).toBe(false)
      }
    })
  )
})

describe("refused in one line:", () => {
  const NOWHERE = "no such file or folder"
  const CERTIFICATE = "expected one or more PEM certificates"
  const PAIR = "tls-cert and tls-key must be given together: one of them is missing"
  const server = ["server", "--store", "sqlite:/nowhere/lottery.db"]
  const client = ["client", "--agency", "1", "--server", "127.0.0.1:1"]
  const ping = ["ping", "--server", "127.0.0.1:1"]
  const ours = ["--tls-cert", "server.pem", "--tls-key", "server-key.pem"]
  const cases: ReadonlyArray<
    readonly [args: ReadonlyArray<string>, code: number, expected: string]
  > = [
    [[...server, "--tls-cert", "server.pem"], 2, PAIR],
    [[...server, "--tls-key", "server-key.pem"], 2, PAIR],
    [[...server, "--tls-client-ca", "ca.pem"], 2, "tls-client-ca needs TLS: add --tls-cert"],
    [[...client, "--tls-cert", "agency-1.pem"], 2, PAIR],
    [[...ping, "--tls-key", "agency-1-key.pem"], 2, PAIR],
    [
      [...client, "--dialect", "json", "--token", TOKENS[1]],
      2,
      "token needs the native dialect; with json use a certificate (--tls-cert)"
    ],
    [
      [...client, "--token", `${TOKENS[1]} ${TOKENS[2]}`],
      2,
      "expected a token of at most 512 bytes without white space"
    ],
    // Refused before the host name is looked up.
    [
      ["client", "--agency", "1", "--server", "central.invalid:1", "--token", TOKENS[1]],
      2,
      "token needs TLS because central.invalid is not this machine: use --tls-ca, or --tls if"
    ],
    [[...server, "--tokens", "none.txt"], 1, `none.txt: ${NOWHERE}`],
    [
      [...server, "--tokens", "bad.txt"],
      1,
      "bad.txt: line 2: expected an agency number, whitespace and a token"
    ],
    [[...server, ...ours, "--tls-client-ca", "none.pem"], 1, `none.pem: ${NOWHERE}`],
    [[...server, ...ours, "--tls-client-ca", "empty.pem"], 1, `empty.pem: ${CERTIFICATE}`],
    [[...server, ...ours, "--tls-client-ca", "ca-key.pem"], 1, `ca-key.pem: ${CERTIFICATE}`],
    [[...server, ...ours, "--tls-client-ca", "cut.pem"], 1, `cut.pem: ${CERTIFICATE}`],
    [
      [...server, "--tls-cert", "bad.txt", "--tls-key", "server-key.pem"],
      1,
      `bad.txt: ${CERTIFICATE}`
    ],
    [
      [...server, "--tls-cert", "server.pem", "--tls-key", "empty.pem"],
      1,
      "empty.pem: expected a PEM private key without a passphrase"
    ],
    [
      [...server, "--tls-cert", "server.pem", "--tls-key", "agency-1-key.pem"],
      1,
      "agency-1-key.pem: expected the private key of the certificate in server.pem"
    ],
    [[...client, "--tls-ca", "none.pem"], 1, `none.pem: ${NOWHERE}`],
    [[...client, "--tls-ca", "empty.pem"], 1, `empty.pem: ${CERTIFICATE}`],
    [[...ping, "--tls-ca", "bad.txt"], 1, `bad.txt: ${CERTIFICATE}`]
  ]

  it.live("invalid files and conflicting settings", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* writeFiles(folder)
      const { certificate, key } = keys.authority
      writePair(folder, "ca", keys.authority)
      writeFileSync(join(folder, "empty.pem"), "")
      writeFileSync(join(folder, "cut.pem"), `${certificate}${certificate.slice(0, -40)}`)
      writeFileSync(join(folder, "bad.txt"), `1 ${TOKENS[1]}\n${TOKENS[2]}\n`)
      const outcomes = yield* Effect.forEach(cases, ([args]) => runLottery({ args, cwd: folder }), {
        concurrency: 3
      })
      for (const [index, [args, code, expected]] of cases.entries()) {
        const outcome = outcomes[index]!
        const what = `${args.join(" ")}: ${outcome.stderr}`
        expect(outcome.stdout, what).toBe("")
        expect(outcome.code, what).toBe(code)
        // A "Try:" line follows an invalid flag.
        const [line, ...others] = outcome.stderr.trimEnd().split("\n")
        expect(line, what).toContain(expected)
        expect(
          others.every((one) => one.startsWith("Try: ")),
          what
        ).toBe(true)
        const shown = [...Object.values(TOKENS), key.split("\n")[1]!]
        expect(
          shown.some((secret) => showsPart(outcome.stderr, secret)),
          what
        ).toBe(false)
      }
    })
  )
})

describe("an empty environment variable", () => {
  it.live.each([
    ["server", "tls-client-ca", "LOTTERY_TLS_CLIENT_CA"],
    ["server", "tokens", "LOTTERY_TOKENS"],
    ["ping", "config", "LOTTERY_CONFIG"]
  ] as const)("%s: %s is refused", ([command, setting, variable]) =>
    Effect.gen(function* () {
      const outcome = yield* runLottery({ args: [command], env: { [variable]: "" } })
      const expected = `${setting} from the environment variable ${variable}: expected `
      expect(outcome).toMatchObject({ code: 2, stdout: "" })
      expect(outcome.stderr).toContain(`lottery ${command}: ${expected}`)
      expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(2)
    })
  )
})

describe("a server that other machines can reach", () => {
  const warnings = Effect.fnUntraced(function* (
    host: string,
    asked: { readonly tls?: true; readonly certificates?: true; readonly tokens?: true }
  ) {
    const log = keepLog()
    const tls: ServerTls = { handshake: () => Effect.never, replace: () => Effect.void }
    const given = {
      tls: asked.tls ? tls : undefined,
      identity: {
        certificates: asked.certificates ?? false,
        tokens: asked.tokens ? () => ({ isOf: () => false }) : undefined
      }
    }
    yield* Effect.provide(ServerIdentity.warnIfOpen(host, given), log.layer)
    return log.lines
  })
  const LOCAL = ["127.0.0.1", "127.8.8.8", "localhost", "LocalHost", "::1", "::ffff:127.0.0.1"]
  const OPEN = ["0.0.0.0", "::", "10.0.0.7", "central.example", "localhost.example", "::12"]

  it.effect("warns if it does not authenticate agencies or has no TLS; a local one does not", () =>
    Effect.gen(function* () {
      for (const host of LOCAL) {
        expect(yield* warnings(host, {}), host).toEqual([])
        expect(yield* warnings(host, { tokens: true }), host).toEqual([])
      }
      for (const host of OPEN) {
        const nothing = [
          expect.stringContaining(`WARNING anyone who can connect to ${host} can speak for any`)
        ]
        expect(yield* warnings(host, {})).toEqual(nothing)
        expect(yield* warnings(host, { tls: true })).toEqual(nothing)
        expect(yield* warnings(host, { tokens: true })).toEqual([
          expect.stringContaining(`WARNING tokens and bets travel to ${host} in the clear`)
        ])
        expect(yield* warnings(host, { tls: true, certificates: true })).toEqual([])
        expect(yield* warnings(host, { tls: true, tokens: true })).toEqual([])
      }
    })
  )

  it.live("warns once, as a process", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const more = ["--host", "0.0.0.0"]
      const args = ["server", "--port", "0", "--store", `sqlite:${folder}/lottery.db`, ...more]
      const server = yield* startLottery({ args })
      yield* server.logged(/action: listen /)
      expect(server.stderr().match(/WARNING/g)).toHaveLength(1)
      const warning = /\S+ \S+ WARNING +anyone who can connect to 0\.0\.0\.0 can speak for /
      expect(server.stderr()).toMatch(warning)
    })
  )
})
