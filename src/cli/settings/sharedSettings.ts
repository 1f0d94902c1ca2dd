/** Settings that several commands share. */
import { Effect } from "effect"
import { CliError } from "effect/cli"
import { DrawId } from "../../domain/Draw.ts"
import * as Setting from "./Setting.ts"
import * as SettingText from "./SettingText.ts"

export const DEFAULT_PORT = 12_345

const SERVER = {
  description: "Server to connect to",
  schema: SettingText.AddressFromText,
  keys: ["CLI_SERVER_ADDRESS"],
  fileKeys: ["server.address"]
} satisfies Setting.SettingOptions<SettingText.Address>

export const server = Setting.withDefault("server", "<host:port>", {
  ...SERVER,
  default: { host: "localhost", port: DEFAULT_PORT },
  shownDefault: `localhost:${DEFAULT_PORT}`
})

/** The server, for a command that has another way to find it. */
export const optionalServer = Setting.optional("server", "<host:port>", SERVER)

export const agencies = Setting.withDefault("agencies", "<agencies>", {
  description: 'Agencies: a count such as 5, or a list such as "1,2,7" ("7," is agency 7 alone)',
  schema: SettingText.AgenciesFromText,
  default: [1, 2, 3, 4, 5],
  shownDefault: "5"
})

export const bookName = (agency: number): string => `agency-${agency}.csv`

export const DEFAULT_DRAW = "default"

const DRAW = { description: "Name of the draw", schema: DrawId }

export const drawWhenUsed = Setting.whenUsed("draw", "<name>", { ...DRAW, default: DEFAULT_DRAW })

/** The draw, for a command in which some uses have no default. */
export const optionalDraw = Setting.optional("draw", "<name>", {
  ...DRAW,
  shownDefault: DEFAULT_DRAW
})

export const draw = Setting.use(drawWhenUsed)

const MAX_SEED = 4_294_967_295

export const seedWhenUsed = Setting.whenUsed("seed", "<number>", {
  description: "Random seed; the same seed gives the same books",
  schema: SettingText.intBetween(0, MAX_SEED),
  default: 1
})

export const seed = Setting.use(seedWhenUsed)

/** The default for the setting `name`: the port after `port`. */
export const nextPort = Effect.fnUntraced(function* (port: number, name: string) {
  if (port < SettingText.MAX_PORT) return port + 1
  const message = `--${name} is required: there is no port after ${port}`
  return yield* new CliError.ValidationError({ message })
})
