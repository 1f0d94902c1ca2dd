/**
 * A setting: a flag that may also come from the environment or from a file. The flag wins, then
 * the environment, then the file of `--config`, then the default. Each is checked by the setting's
 * Schema, and a wrong value says which setting it is, where it came from and what was expected.
 *
 * A setting is made of its name, what the help shows in place of its value, and its options.
 */
import { Effect, type FileSystem, Option, Schema } from "effect"
import { CliError, Flag } from "effect/cli"
import { CurrentConfigFile } from "./ConfigFile.ts"
import * as SettingKeys from "./SettingKeys.ts"
import { BooleanFromText, Text, type TextSchema } from "./SettingText.ts"

export interface SettingOptions<A> {
  readonly description: string
  readonly schema: TextSchema<A>
  /** Keys in the environment and in a file before `LOTTERY_NAME`; the first wins. */
  readonly keys?: ReadonlyArray<string>
  /** Further keys in a file, such as `log.level`. */
  readonly fileKeys?: ReadonlyArray<string>
  /** The value may hold a password: a wrong one is not shown. */
  readonly secret?: boolean
  /** Only the flag is read: in the environment and in files its name means something else. */
  readonly flagOnly?: boolean
  /** The default as the help shows it. */
  readonly shownDefault?: string
}

interface DefaultOptions<A> extends SettingOptions<A> {
  readonly default: NoInfer<A>
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

/** As much of a wrong value as is shown. */
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

/** A setting that is used in one mode of a command only. */
export interface WhenUsed<A> {
  /** Whether the flag gives it; then it was checked. */
  readonly hasFlag: boolean
  /**
   * The setting from any of its places. The environment and the file are read only here: while the
   * setting is not used they may hold anything under its keys.
   */
  readonly value: Effect.Effect<A, CliError.CliError, FileSystem.FileSystem>
}

/** Makes a setting of a flag that gives its text. */
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

/** A setting that is always used. */
export const use = <A>(setting: Flag.Flag<WhenUsed<A>>): Flag.Flag<A> =>
  Flag.mapEffect(setting, ({ value }) => value)

const orElse = <A>(setting: Flag.Flag<WhenUsed<Option.Option<A>>>, fallback: A) =>
  Flag.map(setting, ({ hasFlag, value }): WhenUsed<A> => {
    const given = Option.getOrElse(() => fallback)
    return { hasFlag, value: Effect.map(value, given) }
  })

/** A setting that may be left out, and is used in one mode of its command only. */
export const optionalWhenUsed = <A>(
  name: string,
  placeholder: string,
  options: SettingOptions<A>
) =>
  fromFlag(
    Flag.String(name).pipe(
      Flag.withDescription(describe(name, options)),
      Flag.withMetavar(placeholder)
    ),
    name,
    options
  )

/** A setting with a default that is used in one mode of its command only. */
export const whenUsed = <A>(
  name: string,
  placeholder: string,
  { shownDefault, ...options }: DefaultOptions<A>
): Flag.Flag<WhenUsed<A>> => {
  const shown = shownDefault ?? String(options.default)
  const given = optionalWhenUsed(name, placeholder, { ...options, shownDefault: shown })
  return orElse(given, options.default)
}

/** A setting that may be left out. */
export const optional = <A>(name: string, placeholder: string, options: SettingOptions<A>) =>
  use(optionalWhenUsed(name, placeholder, options))

/** A setting that names a file, and may be left out. */
export const file = (name: string, description: string) =>
  optional(name, "<file>", { description, schema: Text })

/** A setting with a default. */
export const withDefault = <A>(name: string, placeholder: string, options: DefaultOptions<A>) =>
  use(whenUsed(name, placeholder, options))

/** A setting that must be given. */
export const required = <A>(
  name: string,
  placeholder: string,
  options: SettingOptions<A> & { readonly flagOnly?: false }
): Flag.Flag<A> => {
  const [key] = environmentKeys(name, options)
  const ways = `the flag --${name}, or in the environment or a file as ${key}`
  const refuse = Effect.gen(function* () {
    const file = yield* yield* CurrentConfigFile
    const unknown = file === undefined ? [] : SettingKeys.unknownOf(file.keys)
    // It may be one of these, misspelled.
    const hint =
      unknown.length === 0 ? "" : `; no settings are, in ${file?.name}: ${unknown.join(", ")}`
    const message = `${name} is missing: give it as ${ways}${hint}`
    return yield* new CliError.ValidationError({ message })
  })
  return Flag.mapEffect(
    optional(name, placeholder, options),
    Option.match({ onSome: (value: A) => Effect.succeed(value), onNone: () => refuse })
  )
}

/** A switch, off unless it is given; `--no-NAME` turns off what the environment turned on. */
export const flag = (name: string, description: string): Flag.Flag<boolean> => {
  const options = { description, schema: BooleanFromText }
  const given = Flag.Boolean(name).pipe(Flag.withDescription(describe(name, options)))
  return use(orElse(fromFlag(Flag.map(given, String), name, options), false))
}
