/**
 * The keys of settings in the environment and in files. The list finds misspelled keys without
 * loading the commands; a test compares it with the settings of all commands.
 */
import { ConfigProvider, Effect } from "effect"

/** The flags that also have a `LOTTERY_` key. */
const FLAGS = (
  "agencies agency all allow-empty backlog batch bets birthdate client-id clients close-at " +
  "count csv days dialect dialect-timeout document drand-url draw draw-at draw-delay every " +
  "evidence expect first-byte-timeout first-name handshake-timeout host http http-host " +
  "idle-timeout json keep-alive keep-open last-name log-format log-level max-connections " +
  "max-errors max-memory max-rejects max-unidentified message message-timeout missing names " +
  "number number-from once one-bet otlp out packet-bytes period port publish-seal rejects " +
  "seal-key seal-name seal-vkey sealed seed server server-ip servers store timeout tls tls-ca " +
  "tls-cert tls-client-ca tls-key token tokens verify wait watch winners-port winners-server " +
  "winning-number write-timeout yes"
).split(" ")

/** The course's keys; its `lapse` is accepted but has no effect. */
const COURSE_KEYS = (
  "APELLIDO CHUNK_SIZE CLI_BATCH_MAXAMOUNT CLI_ID CLI_LOG_LEVEL CLI_LOOP_AMOUNT CLI_LOOP_LAPSE " +
  "CLI_LOOP_PERIOD CLI_SERVER_ADDRESS CLI_SERVER_CONSULT_ADDRESS CONSULT_SERVER_PORT DOCUMENTO " +
  "LOGGING_LEVEL NACIMIENTO NOMBRE NUMERO SERVER_IP SERVER_LISTEN_BACKLOG SERVER_PORT " +
  "batch.maxAmount id log.level loop.amount loop.lapse loop.period server.address " +
  "server.consult_address"
).split(" ")

/** The keys of OpenTelemetry. */
const OTEL_KEYS = ["OTEL_EXPORTER_OTLP_ENDPOINT"]

/** `LOTTERY_WINNERS_PORT` for `winners-port`. */
export const environmentName = (flag: string): string =>
  `LOTTERY_${flag.toUpperCase().replaceAll("-", "_")}`

export const KNOWN_KEYS: ReadonlyArray<string> = [
  ...FLAGS.map(environmentName),
  ...COURSE_KEYS,
  ...OTEL_KEYS
]

/** The keys that are not settings, in a form that is safe to show. */
export const unknownOf = (keys: ReadonlyArray<string>): ReadonlyArray<string> => {
  const known = new Set(KNOWN_KEYS.map((key) => key.toLowerCase()))
  return keys.filter((key) => !known.has(key.toLowerCase())).map(show)
}

/** Hides a key that does not look like one: it may be a misplaced value, and a secret. */
export const show = (key: string): string => (/^[\w.-]{1,64}$/.test(key) ? key : "a key")

/**
 * Whether an empty value is a mistake. An empty key of the course counts as not set, because it may
 * belong to another program.
 */
export const isOwn = (key: string): boolean => /^lottery_/i.test(key)

export interface Found {
  readonly text: string
  readonly origin: string
}

/** Finds the first of the keys that is set. */
export const findFirst = Effect.fnUntraced(function* (
  provider: ConfigProvider.ConfigProvider,
  keys: ReadonlyArray<string>,
  originOf: (key: string) => string
) {
  for (const key of keys) {
    // It reads from memory and cannot fail.
    const text = (yield* Effect.orDie(provider.load([key])))?.value
    if (text !== undefined && (text !== "" || isOwn(key))) {
      return { text, origin: originOf(key) } satisfies Found
    }
  }
  return undefined
})

/** The environment, with empty variables. */
export const environment = (env?: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env, preserveEmptyStrings: true }))

export const findInEnvironment = (keys: ReadonlyArray<string>) =>
  Effect.flatMap(ConfigProvider.ConfigProvider, (provider) =>
    findFirst(provider, keys, (key) => `from the environment variable ${key}`)
  )
