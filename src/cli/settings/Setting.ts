/**
 * A setting: a flag that may also come from the environment or from a file. The flag wins, then
 * the environment, then the file of `--config`, then the default. Each is checked by the setting's
 * Schema, and a wrong value says which setting it is, where it came from and what was expected.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as ConfigFile from "./ConfigFile.ts"
import { isOwn, showKey } from "./SettingEntry.ts"
import { BooleanFromText, type TextSchema } from "./SettingText.ts"

/** Reads the file that `--config` names, once; undefined where it names none. */
export const CurrentConfigFile = Context.Reference<
  Effect.Effect<ConfigFile.ConfigFile | undefined, CliError.CliError, FileSystem.FileSystem>
>("lottery/cli/CurrentConfigFile", { defaultValue: () => Effect.undefined })

/** The value of a setting as text, and where it was found. */
interface Found {
  readonly text: string
  readonly origin: string
}

export interface SettingOptions<A> {
  readonly description: string
  readonly schema: TextSchema<A>
  /** Keys in the environment and in a file beside `LOTTERY_NAME`, the first wins. */
  readonly keys?: ReadonlyArray<string>
  /** Further keys in a file, such as `log.level`. */
  readonly fileKeys?: ReadonlyArray<string>
  /** What the help shows in place of the value, such as "host:port". */
  readonly metavar?: string
  /** The value may hold a password: it is not shown where it is wrong. */
  readonly secret?: boolean
  /** Neither the environment nor a file has it: there its name means something else. */
  readonly flagOnly?: boolean
}

/** The environment variable that every setting has: `LOTTERY_WINNERS_PORT` for `--winners-port`. */
export const environmentName = (flag: string): string =>
  `LOTTERY_${flag.toUpperCase().replaceAll("-", "_")}`

/** Where a setting is looked up behind its flag, each in order. */
interface Keys {
  readonly environment: ReadonlyArray<string>
  readonly file: ReadonlyArray<string>
}

/** The keys of every setting that is declared, in lower case: what a file may hold. */
const knownKeys = new Set<string>()

/** Makes keys known: those of each setting, and those of the course's that nothing here needs. */
export const makeKnown = (keys: ReadonlyArray<string>): void => {
  for (const key of keys) knownKeys.add(key.toLowerCase())
}

/** The keys in a file that no setting has, to be shown. */
export const unknownKeysOf = ({ keys }: ConfigFile.ConfigFile): ReadonlyArray<string> =>
  keys.filter((key) => !knownKeys.has(key.toLowerCase())).map(showKey)

const keysOf = <A>(name: string, options: SettingOptions<A>): Keys => {
  if (options.flagOnly) return { environment: [], file: [] }
  const environment = [...(options.keys ?? []), environmentName(name)]
  return { environment, file: [...environment, ...(options.fileKeys ?? [])] }
}

/** The environment; what is set to nothing in it can be told from what is not set. */
export const environment = (env?: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env, preserveEmptyStrings: true }))

/** What a provider has under a key; what it reads here is in memory already, and cannot fail. */
const textOf = (
  key: string,
  provider: ConfigProvider.ConfigProvider,
  path: ConfigProvider.Path = [key]
) =>
  Effect.map(Effect.orDie(provider.load(path)), (node) =>
    node?.value === "" && !isOwn(key) ? undefined : node?.value
  )

/** What the environment has under a key. */
export const fromEnvironment = Effect.fnUntraced(function* (key: string) {
  const text = yield* textOf(key, yield* ConfigProvider.ConfigProvider)
  const origin = `from the environment variable ${key}`
  return text === undefined ? undefined : ({ text, origin } satisfies Found)
})

const lookUp = Effect.fnUntraced(function* (keys: Keys) {
  for (const key of keys.environment) {
    const found = yield* fromEnvironment(key)
    if (found !== undefined) return found
  }
  const file = yield* yield* CurrentConfigFile
  if (file === undefined) return undefined
  for (const key of keys.file) {
    const text = yield* textOf(key, file.provider, ConfigFile.pathOf(key))
    if (text !== undefined) return { text, origin: `from ${key} in ${file.name}` } satisfies Found
  }
  return undefined
})

/** As much of a wrong value as is shown. */
const SHOWN_CHARACTERS = 64

const got = <A>(text: string, { secret = false }: SettingOptions<A>): string => {
  if (secret && text !== "") return ""
  const shown = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text
  return `, got ${JSON.stringify(shown)}`
}

const decodeFound = <A>(name: string, options: SettingOptions<A>) => {
  const decode = Schema.decodeEffect(options.schema)
  return (found: Found): Effect.Effect<A, CliError.CliError> =>
    Effect.mapError(
      decode(found.text),
      (error) =>
        new CliError.ValidationError({
          message: `${name} ${found.origin}: ${error.message}${got(found.text, options)}`
        })
    )
}

const describe = <A>(name: string, options: SettingOptions<A>, shownDefault?: string): string => {
  const { environment } = keysOf(name, options)
  const notes = environment.length === 0 ? [] : [`env ${environment.join(", ")}`]
  if (options.fileKeys !== undefined) notes.push(`file ${options.fileKeys.join(", ")}`)
  if (shownDefault !== undefined) notes.unshift(`default ${shownDefault}`)
  return notes.length === 0 ? options.description : `${options.description} (${notes.join("; ")})`
}

/** A setting that is used in one mode of a command only. */
export class WhenUsed<A> {
  /** What the flag gives; it was checked. */
  readonly flag: Option.Option<A>
  /**
   * The setting wherever it is given. What the environment or a file has is read only here: where
   * it is not used it may mean something else, and be anything.
   */
  readonly value: Effect.Effect<Option.Option<A>, CliError.CliError, FileSystem.FileSystem>

  constructor(flag: WhenUsed<A>["flag"], value: WhenUsed<A>["value"]) {
    this.flag = flag
    this.value = value
  }

  /** The setting, or `fallback` if it is not given. */
  orElse(fallback: NoInfer<A>) {
    return Effect.map(
      this.value,
      Option.getOrElse(() => fallback)
    )
  }
}

/** A setting that may be left out, and is used in one mode of its command only. */
export const whenUsed = <A>(
  name: string,
  options: SettingOptions<A>,
  shownDefault?: string
): Flag.Flag<WhenUsed<A>> => {
  const decode = decodeFound(name, options)
  const keys = keysOf(name, options)
  makeKnown(keys.file)
  const lookedUp = Effect.flatMap(lookUp(keys), (found) =>
    found === undefined ? Effect.succeedNone : Effect.asSome(decode(found))
  )
  const flag = Flag.String(name).pipe(
    Flag.withDescription(describe(name, options, shownDefault)),
    Flag.withMetavar(`<${options.metavar ?? "value"}>`)
  )
  return Flag.optional(flag).pipe(
    Flag.mapEffect(
      Effect.fnUntraced(function* (given) {
        if (Option.isNone(given)) return new WhenUsed(Option.none<A>(), lookedUp)
        const text = given.value
        const value = Option.some(yield* decode({ text, origin: `from the flag --${name}` }))
        return new WhenUsed(value, Effect.succeed(value))
      })
    )
  )
}

const makeFlag = <A>(
  name: string,
  options: SettingOptions<A>,
  shownDefault?: string
): Flag.Flag<Option.Option<A>> =>
  Flag.mapEffect(whenUsed(name, options, shownDefault), ({ value }) => value)

/** A setting that may be left out. */
export const optional = <A>(
  name: string,
  options: SettingOptions<A>
): Flag.Flag<Option.Option<A>> => makeFlag(name, options)

/** A setting with a default, which the help shows as `shownDefault`. */
export const withDefault = <A>(
  name: string,
  options: SettingOptions<A> & { readonly default: NoInfer<A>; readonly shownDefault?: string }
): Flag.Flag<A> =>
  makeFlag(name, options, options.shownDefault ?? String(options.default)).pipe(
    Flag.map(Option.getOrElse(() => options.default))
  )

/** Keys of the file that no setting has, for one of them may be meant. */
const unknownKeysHint = Effect.gen(function* () {
  const file = yield* yield* CurrentConfigFile
  const keys = file === undefined ? [] : unknownKeysOf(file)
  return keys.length === 0 ? "" : `; no settings are, in ${file?.name}: ${keys.join(", ")}`
})

/** A setting that must be given. */
export const required = <A>(
  name: string,
  options: SettingOptions<A> & { readonly flagOnly?: false }
): Flag.Flag<A> => {
  const { environment } = keysOf(name, options)
  const ways = `the flag --${name}, or in the environment or a file as ${environment[0]}`
  return makeFlag(name, options).pipe(
    Flag.mapEffect(
      Option.match({
        onSome: (value) => Effect.succeed(value),
        onNone: () =>
          Effect.flatMap(unknownKeysHint, (hint) =>
            Effect.fail(
              new CliError.ValidationError({
                message: `${name} is missing: give it as ${ways}${hint}`
              })
            )
          )
      })
    )
  )
}

/** A switch, off unless it is given; `--no-NAME` turns off what the environment turned on. */
export const flag = (name: string, description: string): Flag.Flag<boolean> => {
  const options = { description, schema: BooleanFromText }
  const decode = decodeFound(name, options)
  const keys = keysOf(name, options)
  makeKnown(keys.file)
  return Flag.Boolean(name).pipe(
    Flag.withDescription(describe(name, options)),
    Flag.optional,
    Flag.mapEffect(
      Effect.fnUntraced(function* (given) {
        if (Option.isSome(given)) return given.value
        const found = yield* lookUp(keys)
        return found === undefined ? false : yield* decode(found)
      })
    )
  )
}
