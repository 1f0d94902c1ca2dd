/**
 * Settings: flags that may also come from the environment or a file. The flag wins, then the
 * environment, then the file of `--config`, then the default. The setting's Schema checks the
 * value; the error names the setting, where its value came from and what was expected.
 */
import { Effect, type FileSystem, Option, Schema } from "effect"
import { CliError, Flag } from "effect/cli"
import { CurrentConfigFile } from "./ConfigFile.ts"
import * as SettingKeys from "./SettingKeys.ts"
import { BooleanFromText, oneOf, Text, type TextSchema } from "./SettingText.ts"
import * as TextFlag from "./TextFlag.ts"

export interface SettingOptions<A> {
  readonly description: string
  readonly schema: TextSchema<A>
  /** The values that the help lists and shells complete, if the schema accepts few others. */
  readonly choices?: ReadonlyArray<string>
  /** Keys in the environment and in files, looked up in order and before `LOTTERY_NAME`. */
  readonly keys?: ReadonlyArray<string>
  /** Further keys in files, such as `log.level`. */
  readonly fileKeys?: ReadonlyArray<string>
  /** The value may contain a password, so errors do not show it. */
  readonly secret?: boolean
  /** Only the flag is read: in the environment and files the key means something else. */
  readonly flagOnly?: boolean
  /** The default as shown in the help. */
  readonly shownDefault?: string
}

interface DefaultOptions<A> extends SettingOptions<A> {
  readonly default: NoInfer<A>
}

interface ChoiceOptions<Word> extends Omit<DefaultOptions<Word>, "schema" | "choices"> {
  /** Accepts the words and perhaps others. */
  readonly schema?: TextSchema<Word>
}

const environmentKeys = <A>(name: string, { flagOnly, keys = [] }: SettingOptions<A>) =>
  flagOnly ? [] : [...keys, SettingKeys.environmentName(name)]

const lookUp = Effect.fnUntraced(function* <A>(name: string, options: SettingOptions<A>) {
  const keys = environmentKeys(name, options)
  const found = yield* SettingKeys.findInEnvironment(keys)
  if (found !== undefined) return found
  const file = yield* yield* CurrentConfigFile
  if (file === undefined) return undefined
  const fileKeys = [...keys, ...(options.fileKeys ?? [])]
  return yield* SettingKeys.findFirst(
    file.provider,
    fileKeys,
    (key) => `from ${key} in ${file.name}`
  )
})

/** A wrong value is cut to this length in its error. */
const SHOWN_CHARACTERS = 64

const got = (text: string, secret: boolean | undefined): string => {
  if (secret && text !== "") return ""
  const shown = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text
  return `, got ${JSON.stringify(shown)}`
}

const describe = <A>(name: string, options: SettingOptions<A>): string => {
  const { description, fileKeys = [], shownDefault } = options
  const keys = environmentKeys(name, options)
  const notes = [
    ...(shownDefault === undefined ? [] : [`default ${shownDefault}`]),
    ...(keys.length === 0 ? [] : [`env ${keys.join(", ")}`]),
    ...(fileKeys.length === 0 ? [] : [`file ${fileKeys.join(", ")}`])
  ]
  return notes.length === 0 ? description : `${description} (${notes.join("; ")})`
}

/** A setting that only one mode of a command uses. */
export interface WhenUsed<A> {
  /** Whether the flag was given; its value has then been checked. */
  readonly hasFlag: boolean
  /** Reads the environment and the file only on use: until then their values may be invalid. */
  readonly value: Effect.Effect<A, CliError.CliError, FileSystem.FileSystem>
}

const fromFlag = <A>(
  flag: Flag.Flag<string>,
  name: string,
  options: SettingOptions<A>
): Flag.Flag<WhenUsed<Option.Option<A>>> => {
  const decode = Schema.decodeEffect(options.schema)
  const read = ({ origin, text }: SettingKeys.Found) =>
    Effect.mapError(decode(text), ({ message }) => {
      const problem = `${message}${got(text, options.secret)}`
      return new CliError.ValidationError({ message: `${name} ${origin}: ${problem}` })
    })
  const lookedUp = Effect.flatMap(lookUp(name, options), (found) =>
    found === undefined ? Effect.succeedNone : Effect.asSome(read(found))
  )
  return Flag.optional(flag).pipe(
    Flag.mapEffect(
      Effect.fnUntraced(function* (given) {
        if (Option.isNone(given)) return { hasFlag: false, value: lookedUp }
        const origin = `from the flag --${name}`
        const value = Option.some(yield* read({ text: given.value, origin }))
        return { hasFlag: true, value: Effect.succeed(value) }
      })
    )
  )
}

export const use = <A>(setting: Flag.Flag<WhenUsed<A>>): Flag.Flag<A> =>
  Flag.mapEffect(setting, ({ value }) => value)

const orElse = <A>(setting: Flag.Flag<WhenUsed<Option.Option<A>>>, fallback: A) =>
  Flag.map(setting, ({ hasFlag, value }): WhenUsed<A> => {
    const given = Option.getOrElse(() => fallback)
    return { hasFlag, value: Effect.map(value, given) }
  })

/** An optional setting. The help shows `placeholder` for its value. */
export const optionalWhenUsed = <A>(
  name: string,
  placeholder: string,
  options: SettingOptions<A>
) =>
  fromFlag(
    TextFlag.make(name, placeholder, options.choices).pipe(
      Flag.withDescription(describe(name, options))
    ),
    name,
    options
  )

export const whenUsed = <A>(
  name: string,
  placeholder: string,
  { shownDefault, ...options }: DefaultOptions<A>
): Flag.Flag<WhenUsed<A>> => {
  const shown = shownDefault ?? String(options.default)
  const given = optionalWhenUsed(name, placeholder, { ...options, shownDefault: shown })
  return orElse(given, options.default)
}

export const optional = <A>(name: string, placeholder: string, options: SettingOptions<A>) =>
  use(optionalWhenUsed(name, placeholder, options))

/** An optional file name. */
export const file = (name: string, description: string) =>
  optional(name, "<file>", { description, schema: Text })

export const withDefault = <A>(name: string, placeholder: string, options: DefaultOptions<A>) =>
  use(whenUsed(name, placeholder, options))

/** One of a few words, in upper or lower case. */
export const choice = <Word extends string>(
  name: string,
  placeholder: string,
  words: ReadonlyArray<Word>,
  { schema = oneOf(words), ...options }: ChoiceOptions<Word>
) => {
  const choices = words.map((word) => word.toLowerCase())
  return withDefault(name, placeholder, { ...options, schema, choices })
}

export const required = <A>(
  name: string,
  placeholder: string,
  options: SettingOptions<A>
): Flag.Flag<A> => {
  const [key] = environmentKeys(name, options)
  const elsewhere = key === undefined ? "" : `, or set ${key} in the environment or a config file`
  const ways = `use the flag --${name}${elsewhere}`
  const refuse = Effect.gen(function* () {
    const file = yield* yield* CurrentConfigFile
    const unknown = file === undefined ? [] : SettingKeys.unknownOf(file.keys)
    // One of these may be its key, misspelled.
    const hint =
      unknown.length === 0 ? "" : `; unknown settings in ${file?.name}: ${unknown.join(", ")}`
    const message = `${name} is missing: ${ways}${hint}`
    return yield* new CliError.ValidationError({ message })
  })
  return Flag.mapEffect(
    optional(name, placeholder, options),
    Option.match({ onSome: (value: A) => Effect.succeed(value), onNone: () => refuse })
  )
}

/** A flag that may be repeated. Only the flag is read: a file has each of its keys once. */
export const repeated = <A>(
  name: string,
  placeholder: string,
  { description, schema }: Pick<SettingOptions<A>, "description" | "schema">
): Flag.Flag<ReadonlyArray<A>> => {
  const decode = Schema.decodeEffect(schema)
  return TextFlag.make(name, placeholder).pipe(
    Flag.withDescription(description),
    Flag.atLeast(0),
    Flag.mapEffect(
      Effect.forEach((text) =>
        Effect.mapError(decode(text), ({ message }) => {
          const problem = `${message}${got(text, false)}`
          const origin = `from the flag --${name}`
          return new CliError.ValidationError({ message: `${name} ${origin}: ${problem}` })
        })
      )
    )
  )
}

/** A switch, off by default; `--no-NAME` turns off what the environment turned on. */
export const flag = (
  name: string,
  description: string,
  more: Pick<SettingOptions<boolean>, "flagOnly"> = {}
): Flag.Flag<boolean> => {
  const options = { description, schema: BooleanFromText, ...more }
  const given = Flag.Boolean(name).pipe(Flag.withDescription(describe(name, options)))
  return use(orElse(fromFlag(Flag.map(given, String), name, options), false))
}
