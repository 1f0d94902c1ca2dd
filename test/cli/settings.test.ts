/**
 * Goal: every setting of every command can be given in each of its places, in their order, and a
 * wrong value says which setting it is, where it was found and what was expected. Method: a table
 * of all of them, each parsed from the flag, from each environment variable, and from each key of
 * real files in both formats.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Option } from "effect"
import type * as Flag from "effect/cli/Flag"
import { afterAll, describe, expect } from "vitest"
import * as ConfigFile from "../../src/cli/ConfigFile.ts"
import * as client from "../../src/cli/client.ts"
import * as compose from "../../src/cli/compose.ts"
import * as demo from "../../src/cli/demo.ts"
import * as discard from "../../src/cli/discard.ts"
import * as exportCommand from "../../src/cli/export.ts"
import * as generate from "../../src/cli/generate.ts"
import * as LogSettings from "../../src/cli/LogSettings.ts"
import * as ping from "../../src/cli/ping.ts"
import * as Setting from "../../src/cli/Setting.ts"
import * as server from "../../src/cli/server.ts"
import * as status from "../../src/cli/status.ts"

/** A setting's names, a text that it may be given as, and what that means. */
interface Case {
  readonly name: string
  readonly text: string
  readonly value: unknown
  /** In the environment and in files, beside `LOTTERY_NAME`; the first wins. */
  readonly keys?: ReadonlyArray<string>
  readonly fileKeys?: ReadonlyArray<string>
  /** A text that is refused, and what is said of it. */
  readonly wrong?: readonly [text: string, expected: string]
}

const WHOLE = "expected a whole number from"
const AGENCY = {
  text: "3",
  wrong: ["0", "expected an agency number from 1 to 2147483647"]
} satisfies Partial<Case>
const STORE: Case = {
  name: "store",
  text: "csv:bets.csv",
  value: { _tag: "csv", path: "bets.csv" },
  wrong: ["redis:x", "expected sqlite:FILE or csv:FILE, got the scheme redis:"]
}
const DRAW: Case = {
  name: "draw",
  text: "sunday",
  value: "sunday",
  wrong: ["two words", "expected 1 to 64 letters, digits, dots, dashes or underscores"]
}
const AGENCIES: Case = {
  name: "agencies",
  text: "1,2,7",
  value: [1, 2, 7],
  wrong: ["0", "expected how many agencies (1 to 1000000), or a list such as"]
}
const SEED: Case = { name: "seed", text: "8", value: 8, wrong: ["-1", `${WHOLE} 0 to 4294967295`] }
const ADDRESS_WRONG = ["server", "expected host:port, such as localhost:12345"] as const
const CLIENT_ID = { keys: ["CLI_ID"], fileKeys: ["id"] }
const SERVER: Case = {
  name: "server",
  text: "server:12345",
  value: { host: "server", port: 12345 },
  keys: ["CLI_SERVER_ADDRESS"],
  fileKeys: ["server.address"],
  wrong: ADDRESS_WRONG
}
const NAME_WRONG = [" ", "expected a name, not white space alone"] as const

const SWITCH = { text: "true", value: true, wrong: ["maybe", "expected true or false"] } as const

/** Every setting, by its command. */
const CASES: Readonly<Record<string, Readonly<Record<string, Case>>>> = {
  lottery: {
    logLevel: {
      name: "log-level",
      text: "warn",
      value: "WARNING",
      keys: ["LOGGING_LEVEL", "CLI_LOG_LEVEL"],
      fileKeys: ["log.level"],
      wrong: ["loud", "expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL"]
    },
    logFormat: {
      name: "log-format",
      text: "json",
      value: "json",
      wrong: ["xml", "expected one of text, json"]
    }
  },
  server: {
    host: {
      name: "host",
      text: "::1",
      value: "::1",
      wrong: ["a b", "expected a host name or an IP"]
    },
    port: {
      name: "port",
      text: "99",
      value: 99,
      keys: ["SERVER_PORT"],
      wrong: ["65536", `${WHOLE} 0 to 65535`]
    },
    winnersPort: {
      name: "winners-port",
      text: "0",
      value: Option.some(0),
      keys: ["CONSULT_SERVER_PORT"],
      wrong: ["x", `${WHOLE} 0 to 65535`]
    },
    backlog: {
      name: "backlog",
      text: "5",
      value: 5,
      keys: ["SERVER_LISTEN_BACKLOG"],
      wrong: ["0", `${WHOLE} 1 to 65535`]
    },
    serverIp: {
      name: "server-ip",
      text: "server",
      value: Option.some("server"),
      keys: ["SERVER_IP"]
    },
    agencies: AGENCIES,
    store: STORE,
    draw: DRAW,
    winningNumber: {
      name: "winning-number",
      text: "42",
      value: 42,
      wrong: ["10000", `${WHOLE} 0 to 9999`]
    },
    once: { name: "once", ...SWITCH }
  },
  client: {
    agency: { name: "agency", value: 3, ...CLIENT_ID, ...AGENCY },
    server: SERVER,
    winnersServer: {
      name: "winners-server",
      text: "[::1]:80",
      value: Option.some({ host: "::1", port: 80 }),
      keys: ["CLI_SERVER_CONSULT_ADDRESS"],
      fileKeys: ["server.consult_address"],
      wrong: ADDRESS_WRONG
    },
    bets: { name: "bets", text: "my book.csv", value: Option.some("my book.csv") },
    dialect: {
      name: "dialect",
      text: "Binary",
      value: "binary",
      wrong: ["http", "expected one of native, binary, json"]
    },
    draw: DRAW,
    batch: {
      name: "batch",
      text: "100",
      value: 100,
      keys: ["CLI_BATCH_MAXAMOUNT", "CHUNK_SIZE"],
      fileKeys: ["batch.maxAmount"],
      wrong: ["many", `${WHOLE} 1 to 1000000`]
    },
    packetBytes: {
      name: "packet-bytes",
      text: "256",
      value: 256,
      wrong: ["255", `${WHOLE} 256 to 65537`]
    },
    rejects: { name: "rejects", text: "bad.csv", value: Option.some("bad.csv") },
    timeout: {
      name: "timeout",
      text: "1h30m",
      value: Option.some(Duration.minutes(90)),
      wrong: ["5", "expected a duration such as 500ms, 1s or 5m"]
    },
    firstName: {
      name: "first-name",
      text: "Ana María",
      value: Option.some("Ana María"),
      keys: ["NOMBRE"],
      wrong: NAME_WRONG
    },
    lastName: {
      name: "last-name",
      text: "Pérez",
      value: Option.some("Pérez"),
      keys: ["APELLIDO"],
      wrong: NAME_WRONG
    },
    document: {
      name: "document",
      text: "030904465",
      value: Option.some("030904465"),
      keys: ["DOCUMENTO"],
      wrong: ["12a", "expected 1 to 10 digits"]
    },
    birthdate: {
      name: "birthdate",
      text: "1999-03-17",
      value: Option.some("1999-03-17"),
      keys: ["NACIMIENTO"],
      wrong: ["1999-02-30", "expected a real date YYYY-MM-DD"]
    },
    number: {
      name: "number",
      text: "7574",
      value: Option.some(7574),
      keys: ["NUMERO"],
      wrong: ["10000", "expected 1 to 4 digits"]
    }
  },
  ping: {
    server: { ...SERVER, value: Option.some(SERVER.value) },
    port: {
      name: "port",
      text: "99",
      value: 99,
      keys: ["SERVER_PORT"],
      wrong: ["0", `${WHOLE} 1 to 65535`]
    },
    count: {
      name: "count",
      text: "5",
      value: 5,
      keys: ["CLI_LOOP_AMOUNT"],
      fileKeys: ["loop.amount"],
      wrong: ["0", `${WHOLE} 1 to`]
    },
    period: {
      name: "period",
      text: "5s",
      value: Duration.seconds(5),
      keys: ["CLI_LOOP_PERIOD"],
      fileKeys: ["loop.period"],
      wrong: ["soon", "expected a duration such as 500ms, 1s or 5m"]
    },
    message: {
      name: "message",
      text: "Hola, ¿estás?",
      value: Option.some("Hola, ¿estás?"),
      wrong: ["P", "expected 2 to 1023 bytes"]
    },
    clientId: {
      name: "client-id",
      text: "0",
      value: Option.some(0),
      ...CLIENT_ID,
      wrong: ["-1", `${WHOLE} 0 to 2147483647`]
    }
  },
  compose: {
    clients: { name: "clients", text: "7", value: 7, wrong: ["1001", `${WHOLE} 1 to 1000`] },
    oneBet: { name: "one-bet", ...SWITCH },
    seed: SEED,
    out: { name: "out", text: "-", value: "-" }
  },
  generate: {
    agencies: AGENCIES,
    bets: { name: "bets", text: "0", value: 0, wrong: ["many", `${WHOLE} 0 to 4294967295`] },
    seed: SEED,
    out: { name: "out", text: "books", value: "books" }
  },
  demo: {
    clients: { name: "clients", text: "2", value: 2, wrong: ["0", `${WHOLE} 1 to 1000`] },
    bets: { name: "bets", text: "10", value: 10, wrong: ["1000001", `${WHOLE} 0 to 1000000`] },
    seed: SEED
  },
  export: {
    store: STORE,
    draw: DRAW,
    agency: { name: "agency", value: Option.some(3), ...AGENCY }
  },
  status: { store: STORE, draw: DRAW, json: { name: "json", ...SWITCH } },
  discard: {
    store: STORE,
    draw: DRAW,
    agency: { name: "agency", value: 3, ...AGENCY },
    yes: { name: "yes", ...SWITCH }
  }
}

type Settings = Readonly<Record<string, Flag.Flag<unknown>>>

const { bet, ...clientSettings } = client.settings

const SETTINGS: Readonly<Record<string, Settings>> = {
  lottery: { logLevel: LogSettings.LogLevelFlag.flag, logFormat: LogSettings.LogFormatFlag.flag },
  server: server.settings,
  client: { ...clientSettings, ...bet },
  ping: ping.settings,
  compose: compose.settings,
  generate: generate.settings,
  demo: demo.settings,
  export: exportCommand.settings,
  status: status.settings,
  discard: discard.settings
}

const folder = mkdtempSync(join(tmpdir(), "lottery-settings-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Where a test gives values: each place is left out, or has a value a key. */
interface Places {
  readonly flags?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  /** The name of a file and its text. */
  readonly file?: readonly [name: string, text: string]
}

const parse = (setting: Flag.Flag<unknown>, { env = {}, file, flags = {} }: Places) => {
  const given = Object.entries(flags).map(([name, text]) => [name, [text]])
  const value = Effect.map(
    setting.parse({ flags: Object.fromEntries(given), arguments: [] }),
    ([, parsed]) => parsed
  )
  const read = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return ConfigFile.read(join(folder, name), "from the flag --config")
  }
  return value.pipe(
    Effect.provideService(Setting.CurrentConfigFile, file ? read(...file) : Effect.undefined),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
    Effect.provide(NodeServices.layer)
  )
}

/** A key with dots as nested YAML, or in a section of INI; others at the top, or in DEFAULT. */
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

  it("has the settings of the table", () => {
    expect(Object.keys(settings).sort()).toEqual(Object.keys(cases).sort())
  })

  for (const [property, { fileKeys = [], keys = [], name, text, value, wrong }] of Object.entries(
    cases
  )) {
    const setting = settings[property]!
    const variables = [...keys, Setting.environmentName(name)]
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

    it.effect(`--${name}: the flag, then the environment, then the file`, () =>
      Effect.gen(function* () {
        const [key] = variables
        const other = wrong?.[0] ?? ""
        const file = [PLACES.yaml.file, yaml(key!, other)] as const
        const first = { flags: { [name]: text }, env: { [key!]: other }, file }
        expect(yield* parse(setting, first)).toEqual(value)
        expect(yield* parse(setting, { env: { [key!]: text }, file })).toEqual(value)
      })
    )

    if (wrong !== undefined) {
      const [text, expected] = wrong
      it.effect(`--${name}: says what is wrong with ${JSON.stringify(text)}`, () =>
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
          // A switch has no text of its own that could be wrong.
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
