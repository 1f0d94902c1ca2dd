/**
 * A setting: a flag that may also come from the environment. The flag wins, then the environment,
 * then the default. Each is checked by the setting's Schema, and a wrong value says which setting
 * it is, where it came from and what was expected.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { BooleanFromText, type TextSchema } from "./SettingText.ts"

/** A place other than the command line where settings are looked up. */
export interface SettingSource {
  /** Says where a key is, as in "from the environment variable SERVER_PORT". */
  readonly describe: (key: string) => string
  readonly provider: Effect.Effect<ConfigProvider.ConfigProvider>
  /** Where a key is found in the provider. */
  readonly pathOf: (key: string) => ConfigProvider.Path
}

const environment: SettingSource = {
  describe: (key) => `from the environment variable ${key}`,
  provider: ConfigProvider.ConfigProvider,
  pathOf: (key) => [key]
}

/** The sources behind the flags, the first that has a setting wins. A file goes to the end. */
export const SettingSources = Context.Reference<ReadonlyArray<SettingSource>>(
  "lottery/cli/SettingSources",
  { defaultValue: () => [environment] }
)

/** The value of a setting as text, and where it was found. */
interface Found {
  readonly text: string
  readonly origin: string
}

export interface SettingOptions<A> {
  readonly description: string
  readonly schema: TextSchema<A>
  /** Keys in the environment beside `LOTTERY_NAME`, the first wins. */
  readonly keys?: ReadonlyArray<string>
  /** What the help shows in place of the value, such as "host:port". */
  readonly metavar?: string
  /** The value may hold a password: it is not shown where it is wrong. */
  readonly secret?: boolean
  /** Another spelling of the flag, such as "p" for -p. */
  readonly alias?: string
}

/** The environment variable that every setting has: `LOTTERY_WINNERS_PORT` for `--winners-port`. */
export const environmentName = (flag: string): string =>
  `LOTTERY_${flag.toUpperCase().replaceAll("-", "_")}`

/** The keys under which a flag is looked up, in order. */
const keysOf = <A>(name: string, options: SettingOptions<A>): ReadonlyArray<string> => [
  ...(options.keys ?? []),
  environmentName(name)
]

const lookUp = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
  for (const source of yield* SettingSources) {
    const provider = yield* source.provider
    for (const key of keys) {
      const node = yield* provider
        .load(source.pathOf(key))
        .pipe(
          Effect.mapError(
            (error) =>
              new CliError.ValidationError({ message: `${source.describe(key)}: ${error}` })
          )
        )
      const text = node?.value
      if (text !== undefined) return { text, origin: source.describe(key) } satisfies Found
    }
  }
  return undefined
})

const got = <A>(text: string, { secret = false }: SettingOptions<A>): string =>
  secret ? "" : `, got ${JSON.stringify(text)}`

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
  const notes = [`env ${keysOf(name, options).join(", ")}`]
  if (shownDefault !== undefined) notes.unshift(`default ${shownDefault}`)
  return `${options.description} (${notes.join("; ")})`
}

const makeFlag = <A>(
  name: string,
  options: SettingOptions<A>,
  shownDefault?: string
): Flag.Flag<Option.Option<A>> => {
  const decode = decodeFound(name, options)
  const keys = keysOf(name, options)
  const flag = Flag.String(name).pipe(
    Flag.withDescription(describe(name, options, shownDefault)),
    Flag.withMetavar(`<${options.metavar ?? "value"}>`),
    options.alias === undefined ? (self) => self : Flag.withAlias(options.alias)
  )
  return Flag.optional(flag).pipe(
    Flag.mapEffect(
      Effect.fnUntraced(function* (given) {
        const found = Option.isSome(given)
          ? { text: given.value, origin: `from the flag --${name}` }
          : yield* lookUp(keys)
        return found === undefined ? Option.none() : Option.some(yield* decode(found))
      })
    )
  )
}

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

/** A setting that must be given. */
export const required = <A>(name: string, options: SettingOptions<A>): Flag.Flag<A> =>
  makeFlag(name, options).pipe(
    Flag.mapEffect(
      Option.match({
        onSome: (value) => Effect.succeed(value),
        onNone: () =>
          Effect.fail(
            new CliError.ValidationError({
              message:
                `${name} is missing: give it as the flag --${name} ` +
                `or in the environment variable ${keysOf(name, options)[0]}`
            })
          )
      })
    )
  )

/** A switch, off unless it is given; `--no-NAME` turns off what the environment turned on. */
export const flag = (name: string, description: string): Flag.Flag<boolean> => {
  const options = { description, schema: BooleanFromText }
  const decode = decodeFound(name, options)
  const keys = keysOf(name, options)
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
