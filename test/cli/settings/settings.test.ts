/**
 * Goal: every setting of every command can come from each of its places, in the documented order,
 * and the error of an invalid value names the setting, its origin and what was expected. Method: a
 * table of all settings, each parsed from the flag, each environment variable and each key of real
 * files in both formats.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Duration, Effect, Option, Result } from "effect"
import type * as Flag from "effect/cli/Flag"
import { afterAll, describe, expect } from "vitest"
import * as check from "../../../src/cli/commands/check.ts"
import * as client from "../../../src/cli/commands/client.ts"
import * as close from "../../../src/cli/commands/close.ts"
import * as compose from "../../../src/cli/commands/compose.ts"
import * as demo from "../../../src/cli/commands/demo.ts"
import * as discard from "../../../src/cli/commands/discard.ts"
import * as draw from "../../../src/cli/commands/draw.ts"
import * as exportCommand from "../../../src/cli/commands/export.ts"
import * as generate from "../../../src/cli/commands/generate.ts"
import * as keys from "../../../src/cli/commands/keys.ts"
import * as ping from "../../../src/cli/commands/ping.ts"
import * as result from "../../../src/cli/commands/result.ts"
import * as seal from "../../../src/cli/commands/seal.ts"
import * as server from "../../../src/cli/commands/server.ts"
import * as status from "../../../src/cli/commands/status.ts"
import * as verify from "../../../src/cli/commands/verify.ts"
import * as winners from "../../../src/cli/commands/winners.ts"
import * as ConfigFile from "../../../src/cli/settings/ConfigFile.ts"
import * as LogSettings from "../../../src/cli/settings/LogSettings.ts"
import type * as Setting from "../../../src/cli/settings/Setting.ts"
import * as SettingKeys from "../../../src/cli/settings/SettingKeys.ts"
import { parseKey } from "../../../src/protocol/notes/SignedNote.ts"
import { EXPECTED_COLLECTOR } from "../../../src/server/operator/Collector.ts"

interface Case {
  readonly name: string
  readonly text: string
  readonly value: unknown
  /** The default; undefined if the setting is required. */
  readonly fallback: unknown
  /** Keys in the environment and in files before `LOTTERY_NAME`. */
  readonly keys?: ReadonlyArray<string>
  readonly fileKeys?: ReadonlyArray<string>
  /** An invalid text and its error. */
  readonly wrong?: readonly [text: string, expected: string]
}

const WHOLE = "expected a whole number from"
const AGENCY = {
  text: "3",
  wrong: ["0", "expected an agency number from 1 to 2147483647"]
} satisfies Partial<Case>
const NONE = Option.none()
const STORE: Case = {
  name: "store",
  fallback: { _tag: "sqlite", path: "lottery.db" },
  text: "csv:bets.csv",
  value: { _tag: "csv", path: "bets.csv" },
  wrong: [
    "redis:x",
    "expected sqlite:FILE, csv:FILE or postgres://USER@HOST/DATABASE, got the scheme redis:"
  ]
}
const DRAW: Case = {
  name: "draw",
  fallback: "default",
  text: "sunday",
  value: "sunday",
  wrong: ["two words", "expected 1 to 64 letters, digits, dots, dashes or underscores"]
}
const AGENCIES: Case = {
  name: "agencies",
  fallback: [1, 2, 3, 4, 5],
  text: "1,2,7",
  value: [1, 2, 7],
  wrong: ["0", "expected a count of agencies (1 to 1000000) or a list such as"]
}
const SEED: Case = {
  name: "seed",
  fallback: 1,
  text: "8",
  value: 8,
  wrong: ["-1", `${WHOLE} 0 to 4294967295`]
}
const ADDRESS_WRONG = ["server", "expected host:port, such as localhost:12345"] as const
const CLIENT_ID = { keys: ["CLI_ID"], fileKeys: ["id"] }
const SERVER: Case = {
  name: "server",
  fallback: { host: "localhost", port: 12345 },
  text: "server:12345",
  value: { host: "server", port: 12345 },
  keys: ["CLI_SERVER_ADDRESS"],
  fileKeys: ["server.address"],
  wrong: ADDRESS_WRONG
}
const FILE = { fallback: NONE, text: "a file.pem", value: Option.some("a file.pem") }

const SEAL_NAME: Case = {
  name: "seal-name",
  fallback: NONE,
  text: "draws.example/2",
  value: Option.some("draws.example/2"),
  wrong: ["a+b", "expected a name without white space and without +, such as lottery.example"]
}

const timeOf = (name: string, fallback: Duration.Duration): Case => ({
  ...{ name, fallback, text: "1500ms", value: Duration.millis(1500) },
  wrong: ["0s", "expected a duration such as 500ms, 1s or 5m"]
})

const connectionsOf = (name: string, fallback: number): Case => ({
  ...{ name, fallback, text: "7", value: 7 },
  wrong: ["0", `${WHOLE} 1 to 1000000`]
})

const SEAL_VKEY = "lottery.example+9b6c648b+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
const WITNESS_VKEY = "auditor.example/w1+15cfbe2c+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"

const NAME_WRONG = [" ", "expected a name, not only white space"] as const

const SWITCH = { text: "true", value: true, wrong: ["maybe", "expected true or false"] } as const

const CLIENT_TLS: Readonly<Record<string, Case>> = {
  tls: { fallback: false, name: "tls", ...SWITCH },
  tlsCa: { name: "tls-ca", ...FILE },
  tlsCert: { name: "tls-cert", ...FILE },
  tlsKey: { name: "tls-key", ...FILE }
}

const CASES: Readonly<Record<string, Readonly<Record<string, Case>>>> = {
  lottery: {
    logLevel: {
      fallback: "INFO",
      name: "log-level",
      text: "warn",
      value: "WARNING",
      keys: ["LOGGING_LEVEL", "CLI_LOG_LEVEL"],
      fileKeys: ["log.level"],
      wrong: ["loud", "expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL"]
    },
    logFormat: {
      fallback: "text",
      name: "log-format",
      text: "json",
      value: "json",
      wrong: ["xml", "expected one of text, json"]
    }
  },
  server: {
    host: {
      fallback: "0.0.0.0",
      name: "host",
      text: "::1",
      value: "::1",
      wrong: ["a b", "expected a host name or an IP"]
    },
    port: {
      fallback: 12345,
      name: "port",
      text: "99",
      value: 99,
      keys: ["SERVER_PORT"],
      wrong: ["65536", `${WHOLE} 0 to 65535`]
    },
    winnersPort: {
      fallback: NONE,
      name: "winners-port",
      text: "0",
      value: Option.some(0),
      keys: ["CONSULT_SERVER_PORT"],
      wrong: ["x", `${WHOLE} 0 to 65535`]
    },
    backlog: {
      fallback: 4096,
      name: "backlog",
      text: "5",
      value: 5,
      keys: ["SERVER_LISTEN_BACKLOG"],
      wrong: ["0", `${WHOLE} 1 to 65535`]
    },
    http: {
      fallback: NONE,
      name: "http",
      text: "127.0.0.1:8080",
      value: Option.some({ host: "127.0.0.1", port: 8080 }),
      wrong: ["8080", "expected host:port, such as 127.0.0.1:8080"]
    },
    httpHost: {
      fallback: NONE,
      name: "http-host",
      text: "board.example, 10.0.0.5",
      value: Option.some(["board.example", "10.0.0.5"]),
      wrong: ["a b", "expected host names"]
    },
    serverIp: {
      fallback: NONE,
      name: "server-ip",
      text: "server",
      value: Option.some("server"),
      keys: ["SERVER_IP"]
    },
    agencies: AGENCIES,
    store: STORE,
    draw: { ...DRAW, fallback: NONE, value: Option.some("sunday") },
    numberFrom: {
      fallback: "fixed",
      name: "number-from",
      text: "announced",
      value: "announced",
      wrong: ["drums", "expected one of fixed, announced, drand"]
    },
    winningNumber: {
      fallback: NONE,
      name: "winning-number",
      text: "42",
      value: Option.some(42),
      wrong: ["10000", "expected 1 to 4 digits"]
    },
    closeAt: {
      fallback: NONE,
      name: "close-at",
      text: "2026-12-01T21:00:00-03:00",
      value: Option.some(Date.UTC(2026, 11, 2)),
      wrong: ["2026-12-01T21:00:00", "expected a time with its offset"]
    },
    drawAt: {
      fallback: NONE,
      name: "draw-at",
      text: "2026-12-01T21:00:00Z",
      value: Option.some(Date.UTC(2026, 11, 1, 21)),
      wrong: ["tomorrow", "expected a time with its offset"]
    },
    drawDelay: {
      fallback: NONE,
      name: "draw-delay",
      text: "1m30s",
      value: Option.some(Duration.seconds(90)),
      wrong: ["1500ms", "expected a duration in whole seconds from 1s to 8760h, such as 5m"]
    },
    drandUrl: {
      fallback: NONE,
      name: "drand-url",
      text: "https://api.drand.sh/, http://127.0.0.1:8080/drand",
      value: Option.some(["https://api.drand.sh", "http://127.0.0.1:8080/drand"]),
      wrong: ["api.drand.sh", "expected http or https URLs separated by commas"]
    },
    sealKey: { name: "seal-key", ...FILE },
    sealName: SEAL_NAME,
    publishSeal: { fallback: false, name: "publish-seal", ...SWITCH },
    once: { fallback: false, name: "once", ...SWITCH },
    otlp: {
      fallback: NONE,
      name: "otlp",
      text: "https://collector:4318/base/",
      value: Option.some({
        url: "https://collector:4318/base/v1/traces",
        authorization: Option.none()
      }),
      keys: ["OTEL_EXPORTER_OTLP_ENDPOINT"],
      wrong: ["collector:4318", EXPECTED_COLLECTOR]
    },
    tlsCert: { name: "tls-cert", ...FILE },
    tlsKey: { name: "tls-key", ...FILE },
    tlsClientCa: { name: "tls-client-ca", ...FILE },
    tokens: { name: "tokens", ...FILE },
    maxConnections: connectionsOf("max-connections", 10_000),
    maxUnidentified: connectionsOf("max-unidentified", 1024),
    maxMemoryBytes: {
      fallback: 256 * 1024 ** 2,
      name: "max-memory",
      text: "1GiB",
      value: 1024 ** 3,
      wrong: ["159MiB", "expected a size such as 256MiB or 1GiB, at least 160MiB"]
    },
    keepAliveDelay: timeOf("keep-alive", Duration.minutes(1)),
    handshakeTimeout: timeOf("handshake-timeout", Duration.seconds(10)),
    firstByteTimeout: timeOf("first-byte-timeout", Duration.seconds(10)),
    dialectTimeout: timeOf("dialect-timeout", Duration.seconds(10)),
    messageTimeout: timeOf("message-timeout", Duration.seconds(30)),
    idleTimeout: timeOf("idle-timeout", Duration.minutes(5)),
    writeTimeout: timeOf("write-timeout", Duration.seconds(10))
  },
  client: {
    agency: { fallback: undefined, name: "agency", value: 3, ...CLIENT_ID, ...AGENCY },
    server: SERVER,
    winnersServer: {
      fallback: NONE,
      name: "winners-server",
      text: "[::1]:80",
      value: Option.some({ host: "::1", port: 80 }),
      keys: ["CLI_SERVER_CONSULT_ADDRESS"],
      fileKeys: ["server.consult_address"],
      wrong: ADDRESS_WRONG
    },
    bets: { fallback: NONE, name: "bets", text: "my book.csv", value: Option.some("my book.csv") },
    dialect: {
      fallback: "native",
      name: "dialect",
      text: "Binary",
      value: "binary",
      wrong: ["http", "expected one of native, binary, json"]
    },
    draw: DRAW,
    batch: {
      fallback: NONE,
      name: "batch",
      text: "100",
      value: Option.some(100),
      keys: ["CLI_BATCH_MAXAMOUNT", "CHUNK_SIZE"],
      fileKeys: ["batch.maxAmount"],
      wrong: ["many", `${WHOLE} 1 to 1000000`]
    },
    packetBytes: {
      fallback: 8192,
      name: "packet-bytes",
      text: "256",
      value: 256,
      wrong: ["255", `${WHOLE} 256 to 65537`]
    },
    rejects: { fallback: NONE, name: "rejects", text: "bad.csv", value: Option.some("bad.csv") },
    maxRejects: {
      fallback: 50,
      name: "max-rejects",
      text: "0",
      value: 0,
      wrong: ["-1", `${WHOLE} 0 to 4294967295`]
    },
    expect: {
      fallback: NONE,
      name: "expect",
      text: "27000",
      value: Option.some(27_000),
      wrong: ["all", `${WHOLE} 0 to 4294967295`]
    },
    allowEmpty: { fallback: false, name: "allow-empty", ...SWITCH },
    timeout: {
      fallback: NONE,
      name: "timeout",
      text: "1h30m",
      value: Option.some(Duration.minutes(90)),
      wrong: ["5", "expected a duration such as 500ms, 1s or 5m"]
    },
    token: {
      fallback: NONE,
      name: "token",
      text: "c0ntraseña",
      value: Option.some("c0ntraseña"),
      wrong: ["two words", "expected a token of at most 512 bytes without white space"]
    },
    key: {
      fallback: NONE,
      name: "seal-vkey",
      text: SEAL_VKEY,
      value: Option.some(Result.getOrThrow(parseKey(SEAL_VKEY))),
      wrong: [WITNESS_VKEY, "expected an operator's verifier key"]
    },
    evidence: { name: "evidence", ...FILE },
    ...CLIENT_TLS,
    firstName: {
      fallback: NONE,
      name: "first-name",
      text: "Ana María",
      value: Option.some("Ana María"),
      keys: ["NOMBRE"],
      wrong: NAME_WRONG
    },
    lastName: {
      fallback: NONE,
      name: "last-name",
      text: "Pérez",
      value: Option.some("Pérez"),
      keys: ["APELLIDO"],
      wrong: NAME_WRONG
    },
    document: {
      fallback: NONE,
      name: "document",
      text: "030904465",
      value: Option.some("030904465"),
      keys: ["DOCUMENTO"],
      wrong: ["12a", "expected 1 to 10 digits"]
    },
    birthdate: {
      fallback: NONE,
      name: "birthdate",
      text: "1999-03-17",
      value: Option.some("1999-03-17"),
      keys: ["NACIMIENTO"],
      wrong: ["1999-02-30", "expected a real date YYYY-MM-DD"]
    },
    number: {
      fallback: NONE,
      name: "number",
      text: "7574",
      value: Option.some(7574),
      keys: ["NUMERO"],
      wrong: ["10000", "expected 1 to 4 digits"]
    }
  },
  ping: {
    server: { ...SERVER, value: Option.some(SERVER.value), fallback: NONE },
    port: {
      fallback: 12345,
      name: "port",
      text: "99",
      value: 99,
      keys: ["SERVER_PORT"],
      wrong: ["0", `${WHOLE} 1 to 65535`]
    },
    count: {
      fallback: 1,
      name: "count",
      text: "5",
      value: 5,
      keys: ["CLI_LOOP_AMOUNT"],
      fileKeys: ["loop.amount"],
      wrong: ["0", `${WHOLE} 1 to`]
    },
    period: {
      fallback: Duration.seconds(1),
      name: "period",
      text: "5s",
      value: Duration.seconds(5),
      keys: ["CLI_LOOP_PERIOD"],
      fileKeys: ["loop.period"],
      wrong: ["soon", "expected a duration such as 500ms, 1s or 5m"]
    },
    wait: {
      fallback: Duration.zero,
      name: "wait",
      text: "30s",
      value: Duration.seconds(30),
      wrong: ["soon", "expected a duration such as 500ms, 1s or 5m"]
    },
    message: {
      fallback: NONE,
      name: "message",
      text: "Hola, ¿estás?",
      value: Option.some("Hola, ¿estás?"),
      wrong: ["P", "expected 2 to 1023 bytes"]
    },
    clientId: {
      fallback: NONE,
      name: "client-id",
      text: "0",
      value: Option.some(0),
      ...CLIENT_ID,
      wrong: ["-1", `${WHOLE} 0 to 2147483647`]
    },
    ...CLIENT_TLS
  },
  compose: {
    clients: {
      fallback: 5,
      name: "clients",
      text: "7",
      value: 7,
      wrong: ["1001", `${WHOLE} 1 to 1000`]
    },
    oneBet: { fallback: false, name: "one-bet", ...SWITCH },
    seed: SEED,
    servers: {
      fallback: 1,
      name: "servers",
      text: "2",
      value: 2,
      wrong: ["21", `${WHOLE} 1 to 20`]
    },
    out: { fallback: "docker-compose-dev.yaml", name: "out", text: "-", value: "-" }
  },
  generate: {
    agencies: AGENCIES,
    bets: {
      fallback: 27_000,
      name: "bets",
      text: "0",
      value: 0,
      wrong: ["many", `${WHOLE} 0 to 4294967295`]
    },
    seed: SEED,
    out: { fallback: ".data", name: "out", text: "books", value: "books" }
  },
  keys: {
    agencies: AGENCIES,
    names: {
      fallback: NONE,
      name: "names",
      text: "central.example, ::1",
      value: Option.some(["central.example", "::1"]),
      wrong: ["a b", "expected host names or IP addresses separated by commas"]
    },
    days: {
      fallback: 30,
      name: "days",
      text: "825",
      value: 825,
      wrong: ["826", `${WHOLE} 1 to 825`]
    },
    sealName: { ...SEAL_NAME, fallback: "lottery.example", value: "draws.example/2" },
    out: { fallback: "keys", name: "out", text: "certificates", value: "certificates" }
  },
  demo: {
    clients: {
      fallback: 5,
      name: "clients",
      text: "2",
      value: 2,
      wrong: ["0", `${WHOLE} 1 to 1000`]
    },
    bets: {
      fallback: 3000,
      name: "bets",
      text: "10",
      value: 10,
      wrong: ["1000001", `${WHOLE} 0 to 1000000`]
    },
    seed: SEED,
    sealed: { fallback: false, name: "sealed", ...SWITCH },
    keepOpen: { fallback: false, name: "keep-open", ...SWITCH }
  },
  check: {
    maxErrors: {
      fallback: 20,
      name: "max-errors",
      text: "5",
      value: 5,
      wrong: ["10001", `${WHOLE} 0 to 10000`]
    }
  },
  export: {
    store: STORE,
    draw: DRAW,
    agency: { fallback: NONE, name: "agency", value: Option.some(3), ...AGENCY }
  },
  status: {
    store: STORE,
    draw: DRAW,
    json: { fallback: false, name: "json", ...SWITCH },
    missing: { fallback: false, name: "missing", ...SWITCH },
    watch: { fallback: false, name: "watch", ...SWITCH },
    every: timeOf("every", Duration.seconds(2)),
    all: { fallback: false, name: "all", ...SWITCH },
    verify: { fallback: false, name: "verify", ...SWITCH }
  },
  winners: {
    store: STORE,
    draw: DRAW,
    agency: { fallback: NONE, name: "agency", value: Option.some(3), ...AGENCY },
    csv: { fallback: false, name: "csv", ...SWITCH },
    json: { fallback: false, name: "json", ...SWITCH }
  },
  close: { store: STORE, draw: DRAW, yes: { fallback: false, name: "yes", ...SWITCH } },
  draw: { store: STORE, draw: DRAW, yes: { fallback: false, name: "yes", ...SWITCH } },
  seal: { store: STORE, draw: DRAW, out: { name: "out", ...FILE } },
  result: { store: STORE, draw: DRAW, out: { name: "out", ...FILE } },
  verify: {
    operator: {
      fallback: undefined,
      name: "seal-vkey",
      text: SEAL_VKEY,
      value: Result.getOrThrow(parseKey(SEAL_VKEY)),
      wrong: [WITNESS_VKEY, "expected an operator's verifier key"]
    },
    json: { fallback: false, name: "json", ...SWITCH }
  },
  discard: {
    store: STORE,
    draw: DRAW,
    agency: { fallback: undefined, name: "agency", value: 3, ...AGENCY },
    yes: { fallback: false, name: "yes", ...SWITCH }
  }
}

type Settings = Readonly<Record<string, Flag.Flag<unknown>>>

const { http, identity, limits, seal: sealing, terms, ...serverSettings } = server.settings
const { bet, seal: clientSeal, tls: clientTls, ...clientSettings } = client.settings
const { tls: pingTls, ...pingSettings } = ping.settings
// Only flags; they have their own tests.
const { http: composeHttp, store: composeStore, ...composeSettings } = compose.settings
const { http: demoHttp, ...demoSettings } = demo.settings
const { at, without, ...closeSettings } = close.settings
const { beacon, number: announcedNumber, ...drawSettings } = draw.settings

const SETTINGS: Readonly<Record<string, Settings>> = {
  lottery: { logLevel: LogSettings.LogLevelFlag.flag, logFormat: LogSettings.LogFormatFlag.flag },
  server: { ...serverSettings, ...terms, ...sealing, ...http, ...identity, ...limits },
  client: { ...clientSettings, ...clientSeal, ...clientTls, ...bet },
  ping: { ...pingSettings, ...pingTls },
  compose: composeSettings,
  generate: generate.settings,
  check: check.settings,
  keys: keys.settings,
  demo: demoSettings,
  export: exportCommand.settings,
  status: status.settings,
  winners: winners.settings,
  close: closeSettings,
  draw: drawSettings,
  seal: seal.settings,
  result: result.settings,
  verify: verify.settings,
  discard: discard.settings
}

const folder = mkdtempSync(join(tmpdir(), "lottery-settings-"))
afterAll(() => rmSync(folder, { recursive: true }))

interface Places {
  readonly flags?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  readonly file?: readonly [name: string, text: string]
}

const isWhenUsed = (parsed: unknown): parsed is Setting.WhenUsed<unknown> =>
  typeof parsed === "object" && parsed !== null && "hasFlag" in parsed

const parse = (setting: Flag.Flag<unknown>, { env = {}, file, flags = {} }: Places) => {
  const given = Object.entries(flags).map(([name, text]) => [name, [text]])
  const value = Effect.flatMap(
    setting.parse({ flags: Object.fromEntries(given), arguments: [] }),
    ([, parsed]) => (isWhenUsed(parsed) ? parsed.value : Effect.succeed(parsed))
  )
  const read = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return ConfigFile.read(join(folder, name), "from the flag --config")
  }
  return value.pipe(
    Effect.provideService(ConfigFile.CurrentConfigFile, file ? read(...file) : Effect.undefined),
    Effect.provide(SettingKeys.environment(env)),
    Effect.provide(NodeServices.layer)
  )
}

/** INI or YAML with one value, nested at the dot of its key. */
const ini = (key: string, text: string): string => {
  const dot = key.lastIndexOf(".")
  const section = dot === -1 ? "DEFAULT" : key.slice(0, dot)
  return `[${section}]\n${key.slice(dot + 1)} = "${text}"\n`
}
const yaml = (key: string, text: string): string => {
  const [outer, inner] = key.split(".")
  return inner === undefined ? `${key}: "${text}"\n` : `${outer}:\n  ${inner}: "${text}"\n`
}

const PLACES = {
  ini: { file: "course.ini", write: ini },
  yaml: { file: "course.yaml", write: yaml }
}

describe.each(Object.keys(CASES))("%s", (command) => {
  const cases = CASES[command]!
  const settings = SETTINGS[command]!

  it("has exactly the settings in the table", () => {
    expect(Object.keys(settings).sort()).toEqual(Object.keys(cases).sort())
  })

  for (const [
    property,
    { fallback, fileKeys = [], keys = [], name, text, value, wrong }
  ] of Object.entries(cases)) {
    const setting = settings[property]!
    const variables = [...keys, SettingKeys.environmentName(name)]
    const inFile = [...variables, ...fileKeys]

    it.effect(`--${name}`, () =>
      Effect.gen(function* () {
        expect(yield* parse(setting, { flags: { [name]: text } })).toEqual(value)
        for (const key of variables) {
          expect(yield* parse(setting, { env: { [key]: text } }), key).toEqual(value)
        }
        for (const key of inFile) {
          for (const { file, write } of Object.values(PLACES)) {
            for (const written of [key, key.toLowerCase()]) {
              const given = { file: [file, write(written, text)] } as const
              expect(yield* parse(setting, given), `${written} in ${file}`).toEqual(value)
            }
          }
        }
      })
    )

    it.effect(`--${name}: the flag, then the environment, then the file, then the default`, () =>
      Effect.gen(function* () {
        const [key] = variables
        const other = wrong?.[0] ?? "another text"
        const places = { flags: { [name]: text }, env: { [key!]: text } }
        const file = [PLACES.yaml.file, yaml(key!, other)] as const
        expect(yield* parse(setting, { ...places, env: { [key!]: other }, file })).toEqual(value)
        expect(yield* parse(setting, { env: places.env, file })).toEqual(value)
        const lower = variables.slice(1).map((variable) => [variable, other])
        const env = { [key!]: text, ...Object.fromEntries(lower) }
        expect(yield* parse(setting, { env })).toEqual(value)
        for (const [index, first] of inFile.entries()) {
          const texts = inFile.slice(index).map((one) => yaml(one, one === first ? text : other))
          const given = { file: [PLACES.yaml.file, texts.join("")] } as const
          expect(yield* parse(setting, given), first).toEqual(value)
        }
        const none = yield* Effect.result(parse(setting, {}))
        if (fallback === undefined) {
          const { message } = Result.getOrThrow(Result.flip(none))
          expect(message).toBe(
            `${name} is missing: use the flag --${name}, ` +
              `or set ${key} in the environment or a config file`
          )
        } else expect(none).toEqual(Result.succeed(fallback))
      })
    )

    it.effect(`--${name}: an empty LOTTERY_ key is refused, any other counts as not set`, () =>
      Effect.gen(function* () {
        const missing = { message: expect.stringContaining(`${name} is missing: `) }
        const absent = fallback === undefined ? Result.fail(missing) : Result.succeed(fallback)
        for (const key of inFile) {
          const places: ReadonlyArray<readonly [string, Places]> = [
            [`environment variable ${key}`, { env: { [key]: "" } }],
            [`${key} in`, { file: [PLACES.ini.file, ini(key, "")] }],
            [`${key} in`, { file: [PLACES.yaml.file, yaml(key, "")] }],
            [`${key} in`, { file: [PLACES.yaml.file, yaml(key, "").replace('""', "")] }]
          ]
          for (const [where, given] of places) {
            const found = yield* Effect.result(parse(setting, given))
            const said = `${name} from ${given.file ? "" : "the "}${where}`
            const refused = { message: expect.stringMatching(`^${said}.*: expected .*, got ""$`) }
            expect(found).toMatchObject(key.startsWith("LOTTERY_") ? Result.fail(refused) : absent)
          }
        }
      })
    )

    if (wrong !== undefined) {
      const [text, expected] = wrong
      it.effect(`--${name}: explains what is wrong with ${JSON.stringify(text)}`, () =>
        Effect.gen(function* () {
          const said = (places: Places) =>
            Effect.map(Effect.flip(parse(setting, places)), ({ message }) => message)
          for (const key of variables) {
            expect(yield* said({ env: { [key]: text } })).toContain(
              `${name} from the environment variable ${key}: ${expected}`
            )
          }
          for (const key of inFile) {
            for (const { file, write } of Object.values(PLACES)) {
              expect(yield* said({ file: [file, write(key, text)] })).toContain(
                `${name} from ${key} in ${join(folder, file)}: ${expected}`
              )
            }
          }
          // effect/cli itself parses the text of a switch.
          if (value !== true) {
            expect(yield* said({ flags: { [name]: text } })).toContain(
              `${name} from the flag --${name}: ${expected}`
            )
          }
        })
      )
    }
  }
})

it("a file may contain the keys of every setting and two unused ones of the course", () => {
  const keys = Object.values(CASES).flatMap((cases) =>
    Object.values(cases).flatMap(({ fileKeys = [], keys = [], name }) => [
      ...[...keys, ...fileKeys, SettingKeys.environmentName(name)]
    ])
  )
  const expected = new Set([...keys, "CLI_LOOP_LAPSE", "loop.lapse"])
  expect([...SettingKeys.KNOWN_KEYS].sort()).toEqual([...expected].sort())
})

it.effect("the store of a Compose file is only a flag: elsewhere it is a server's URL", () =>
  Effect.gen(function* () {
    expect(yield* parse(composeStore, {})).toBe("sqlite")
    expect(yield* parse(composeStore, { flags: { store: "Postgres" } })).toBe("postgres")
    for (const text of ["postgres", "postgres://lottery:hunter2@db/lottery"]) {
      const places: ReadonlyArray<Places> = [
        { env: { LOTTERY_STORE: text } },
        { file: [PLACES.ini.file, ini("LOTTERY_STORE", text)] },
        { file: [PLACES.yaml.file, yaml("LOTTERY_STORE", text)] }
      ]
      for (const given of places) {
        expect(yield* parse(composeStore, given)).toBe("sqlite")
        const both = { ...given, flags: { store: "postgres" } }
        expect(yield* parse(composeStore, both)).toBe("postgres")
      }
    }
    const wrong = { flags: { store: "postgres://lottery:hunter2@db/lottery" } }
    const { message } = yield* Effect.flip(parse(composeStore, wrong))
    expect(message).toBe("store from the flag --store: expected one of sqlite, postgres")
  })
)

it.effect("what is verified comes from flags only, which may be repeated", () =>
  Effect.gen(function* () {
    const { books, receipts, seal } = verify.evidence
    expect(yield* parse(receipts, { env: { LOTTERY_RECEIPT: "file" } })).toEqual([])
    const { message } = yield* Effect.flip(parse(seal, { env: { LOTTERY_SEAL: "file" } }))
    expect(message).toBe("seal is missing: use the flag --seal")
    const [, given] = yield* books.parse({
      flags: { book: ["3=a=b.csv", "12=c"] },
      arguments: []
    })
    expect(given).toEqual([
      { agency: 3, file: "a=b.csv" },
      { agency: 12, file: "c" }
    ])
  }).pipe(Effect.provide(NodeServices.layer))
)

it.effect("an invalid store is never shown: it may contain a password", () =>
  Effect.gen(function* () {
    const text = "postgres://lottery:hunter2@db:port/lottery"
    const key = "LOTTERY_STORE"
    const places: ReadonlyArray<Places> = [
      { flags: { store: text } },
      { env: { [key]: text } },
      { file: [PLACES.ini.file, ini(key, text)] },
      { file: [PLACES.ini.file, `${key}: ${text}`] },
      { file: [PLACES.ini.file, `${key} ${text}`] },
      { file: [PLACES.ini.file, `${key} = ${text}\n[${key}]\nfoo = 1\n`] },
      { file: [PLACES.yaml.file, yaml(key, text)] },
      { file: [PLACES.yaml.file, `${key}: [${text}]`] },
      { file: [PLACES.yaml.file, `${key}: { ${text}: [] }`] }
    ]
    for (const given of places) {
      const { message } = yield* Effect.flip(parse(server.settings.store, given))
      expect(message).not.toContain("hunter2")
    }
  })
)

it.effect("a token has a maximum length, and an invalid one is never shown", () =>
  Effect.gen(function* () {
    const { token } = client.settings
    const longest = "ñ".repeat(256)
    expect(yield* parse(token, { flags: { token: longest } })).toEqual(Option.some(longest))
    for (const text of [`hunter2${longest}`, "hunter2 and more", "hunter2\t"]) {
      const places: ReadonlyArray<Places> = [
        { flags: { token: text } },
        { env: { LOTTERY_TOKEN: text } },
        { file: [PLACES.ini.file, ini("LOTTERY_TOKEN", text)] },
        { file: [PLACES.yaml.file, yaml("LOTTERY_TOKEN", text)] },
        { file: [PLACES.yaml.file, `LOTTERY_TOKEN: [${text}]`] }
      ]
      for (const given of places) {
        const { message } = yield* Effect.flip(parse(token, given))
        expect(message).toMatch(/token/i)
        expect(message).not.toContain("hunter2")
      }
    }
  })
)

/** The errors for an invalid text in each place. */
const refusals = Effect.fnUntraced(function* (
  name: string,
  setting: Flag.Flag<unknown>,
  text: string
) {
  const key = SettingKeys.environmentName(name)
  const places: ReadonlyArray<Places> = [
    { flags: { [name]: text } },
    { env: { [key]: text } },
    { file: [PLACES.ini.file, ini(key, text)] },
    { file: [PLACES.yaml.file, yaml(key, text)] }
  ]
  return yield* Effect.forEach(places, (given) =>
    Effect.map(Effect.flip(parse(setting, given)), ({ message }) => message)
  )
})

const LONG_LABEL = "a".repeat(64)
const LONG_NAME = `${"a".repeat(63)}.`.repeat(4)
const NO_HOSTS = [
  ...["-x", "x-", "x.-y.z", "a..b", ".a", ".", "a b", "a\tb", "a/b", "a@b", "*"],
  ...["300.1.1.1", "1.2.3", "0x7f000001", "[::1]", "::1%", "1::2::3", LONG_LABEL, LONG_NAME]
]
const NO_PORTS = ["", "0", "65536", "99999", "+5", "-5", "0x10", "1e3", "5.0", " 5", "05", "x"]

it.effect("an invalid host is refused, on its own or in an address", () =>
  Effect.gen(function* () {
    for (const host of NO_HOSTS) {
      for (const said of yield* refusals("host", server.settings.host, host)) {
        expect(said).toContain(`: expected a host name or an IP address, got "`)
      }
    }
    const bare = NO_HOSTS.filter((host) => host !== "[::1]").map((host) => `${host}:5`)
    const bracketed = ["zzz", "1.2.3.4", "my_server", "", "1::2::3"].map((host) => `[${host}]:5`)
    const ports = NO_PORTS.map((port) => `host:${port}`)
    const others = ["host", ":5", "::1:5", "[::1]", "[::1]5", "[::1", "http://host:5"]
    for (const address of [...bare, ...bracketed, ...ports, ...others]) {
      for (const said of yield* refusals("server", client.settings.server, address)) {
        expect(said).toContain(": expected host:port, such as localhost:12345 or [::1]:12345, got")
      }
    }
  })
)

it.effect("a host is a name, such as that of a container, or an IPv4 or IPv6 address", () =>
  Effect.gen(function* () {
    for (const [text, host] of [
      ["my_server", "my_server"],
      ["server-1.tp0_testing_net", "server-1.tp0_testing_net"],
      ["Central.Example.", "central.example."],
      ["1a", "1a"],
      ["127.0.0.1", "127.0.0.1"]
    ] as const) {
      expect(yield* parse(server.settings.host, { flags: { host: text } })).toBe(host)
      const given = { flags: { server: `${text}:65535` } }
      expect(yield* parse(client.settings.server, given)).toEqual({ host, port: 65_535 })
    }
    for (const host of ["::", "::1", "fe80::1%eth0"]) {
      expect(yield* parse(server.settings.host, { flags: { host } })).toBe(host)
      const given = { flags: { server: `[${host}]:1` } }
      expect(yield* parse(client.settings.server, given)).toEqual({ host, port: 1 })
    }
  })
)

it.effect("the winning number has the format of a bet's number", () =>
  Effect.gen(function* () {
    for (const [name, setting] of [
      ["winning-number", terms.winningNumber],
      ["number", client.settings.bet.number]
    ] as const) {
      for (const [text, number] of [
        ["0", 0],
        ["0000", 0],
        ["0012", 12],
        ["7574", 7574],
        ["9999", 9999]
      ] as const) {
        const parsed = yield* parse(setting, { flags: { [name]: text } })
        expect(Option.isOption(parsed) ? Option.getOrUndefined(parsed) : parsed).toBe(number)
      }
      for (const text of ["07574", "00000", "10000", "-0", "-1", "+1", "1e3", "0x1", "1.0", "٣"]) {
        for (const said of yield* refusals(name, setting, text)) {
          expect(said).toContain(`: expected 1 to 4 digits, got "${text}"`)
        }
      }
    }
  })
)

it.effect("a size is a whole number with a unit, and has a minimum", () =>
  Effect.gen(function* () {
    const { maxMemoryBytes } = limits
    for (const text of ["160MiB", "163840KiB"]) {
      expect(yield* parse(maxMemoryBytes, { flags: { "max-memory": text } })).toBe(160 * 1024 ** 2)
    }
    for (const text of ["163839KiB", "256", "0.5GiB", "256 MiB", "256mb", "-1GiB"]) {
      const { message } = yield* Effect.flip(
        parse(maxMemoryBytes, { flags: { "max-memory": text } })
      )
      expect(message).toContain("expected a size such as 256MiB or 1GiB, at least 160MiB")
    }
  })
)

it.effect("the error of a missing setting names unknown keys", () =>
  Effect.gen(function* () {
    const file = [
      "course.yaml",
      "CLI_IDD: 3\nloop: { lapse: 1m }\npostgres://a:hunter2@b: 1"
    ] as const
    const { message } = yield* Effect.flip(parse(client.settings.agency, { file }))
    expect(message).toContain(
      `; unknown settings in ${join(folder, "course.yaml")}: CLI_IDD, a key`
    )
    expect(message).not.toContain("lapse")
  })
)
