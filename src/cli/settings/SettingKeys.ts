/**
 * The keys by which the environment and files hold settings. They are listed here so that a
 * misspelled one is found without loading the commands; a test compares the list with the settings
 * of all commands.
 */
import { ConfigProvider, Effect } from "effect"

/** The flags that also have a key of the project's own. */
const FLAGS = (
  "agencies agency allow-empty backlog batch bets birthdate client-id clients count days dialect " +
  "dialect-timeout document draw expect first-byte-timeout first-name handshake-timeout host " +
  "idle-timeout json keep-alive last-name log-format log-level max-connections max-memory " +
  "max-rejects max-unidentified message message-timeout names number once one-bet out " +
  "packet-bytes period port rejects seed server server-ip servers store timeout tls tls-ca " +
  "tls-cert tls-client-ca tls-key token tokens winners-port winners-server winning-number " +
  "write-timeout yes"
).split(" ")

/** The course's keys; nothing here needs its `lapse`. */
const COURSE_KEYS = (
  "APELLIDO CHUNK_SIZE CLI_BATCH_MAXAMOUNT CLI_ID CLI_LOG_LEVEL CLI_LOOP_AMOUNT CLI_LOOP_LAPSE " +
  "CLI_LOOP_PERIOD CLI_SERVER_ADDRESS CLI_SERVER_CONSULT_ADDRESS CONSULT_SERVER_PORT DOCUMENTO " +
  "LOGGING_LEVEL NACIMIENTO NOMBRE NUMERO SERVER_IP SERVER_LISTEN_BACKLOG SERVER_PORT " +
  "batch.maxAmount id log.level loop.amount loop.lapse loop.period server.address " +
  "server.consult_address"
).split(" ")

/** The environment variable that every setting has: `LOTTERY_WINNERS_PORT` for `--winners-port`. */
export const environmentName = (flag: string): string =>
  `LOTTERY_${flag.toUpperCase().replaceAll("-", "_")}`

export const KNOWN_KEYS: ReadonlyArray<string> = [...FLAGS.map(environmentName), ...COURSE_KEYS]

/** The keys that no setting has, to be shown. */
export const unknownOf = (keys: ReadonlyArray<string>): ReadonlyArray<string> => {
  const known = new Set(KNOWN_KEYS.map((key) => key.toLowerCase()))
  return keys.filter((key) => !known.has(key.toLowerCase())).map(show)
}

/** A key to be shown; one of another kind may be a value in the wrong place, and a secret. */
export const show = (key: string): string => (/^[\w.-]{1,64}$/.test(key) ? key : "a key")

/**
 * Whether a key is the project's own: then an empty value is a mistake. One of the course's keys
 * may be another program's, and counts as not set if it is empty.
 */
export const isOwn = (key: string): boolean => /^lottery_/i.test(key)

/** The value of a setting as text, and where it was found. */
export interface Found {
  readonly text: string
  readonly origin: string
}

/** What a provider has under the first of these keys that it has. */
export const findFirst = Effect.fnUntraced(function* (
  provider: ConfigProvider.ConfigProvider,
  keys: ReadonlyArray<string>,
  originOf: (key: string) => string
) {
  for (const key of keys) {
    // What is read here is in memory already, and cannot fail.
    const text = (yield* Effect.orDie(provider.load([key])))?.value
    if (text !== undefined && (text !== "" || isOwn(key))) {
      return { text, origin: originOf(key) } satisfies Found
    }
  }
  return undefined
})

/** The environment; an empty variable can be told from one that is not set. */
export const environment = (env?: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env, preserveEmptyStrings: true }))

/** What the environment has under the first of these keys that it has. */
export const findInEnvironment = (keys: ReadonlyArray<string>) =>
  Effect.flatMap(ConfigProvider.ConfigProvider, (provider) =>
    findFirst(provider, keys, (key) => `from the environment variable ${key}`)
  )
