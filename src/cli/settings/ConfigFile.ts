/**
 * The settings file given with `--config`, in either of the course's formats, `.ini` or `.yaml`.
 * Nested keys are joined by dots: `log.level`. Keys are case-insensitive, as in the course.
 */
import { ConfigProvider, Context, Effect, FileSystem, Layer, Stdio } from "effect"
import { CliError, Flag, GlobalFlag } from "effect/cli"
import { fileUnavailable } from "../../domain/FileUnavailable.ts"
import { parseIni, parseYaml } from "./ConfigText.ts"
import * as SettingKeys from "./SettingKeys.ts"
import * as TextFlag from "./TextFlag.ts"

export interface ConfigFile {
  readonly name: string
  /** Its keys as written, with nested keys joined by dots. */
  readonly keys: ReadonlyArray<string>
  /** Looks up its values by full key, ignoring case. */
  readonly provider: ConfigProvider.ConfigProvider
}

const MAX_BYTES = 65_536
const MAX_ENTRIES = 1000

const parserOf = (file: string) => {
  if (/\.ini$/i.test(file)) return parseIni
  if (/\.ya?ml$/i.test(file)) return (text: string) => parseYaml(text, MAX_ENTRIES + 1)
  return undefined
}

/** Reads a regular file only, because a read that waits for a pipe cannot be interrupted. */
const readSmallFile = Effect.fnUntraced(
  function* (name: string, refuse: (reason: string) => CliError.ValidationError) {
    const fs = yield* FileSystem.FileSystem
    const { size, type } = yield* fs.stat(name)
    if (type !== "File") return yield* refuse("is not a file")
    if (size > MAX_BYTES) return yield* refuse(`expected at most ${MAX_BYTES} bytes, got ${size}`)
    return yield* fs.readFile(name)
  },
  (effect, name, refuse) =>
    Effect.catchTag(effect, "PlatformError", (error) =>
      Effect.fail(refuse(fileUnavailable(name)(error).reason))
    )
)

/** Reads a settings file. Errors in it are usage errors; `origin` says where its name came from. */
export const read = Effect.fn("ConfigFile.read")(function* (name: string, origin: string) {
  const refuseName = (reason: string) =>
    new CliError.ValidationError({ message: `config ${origin}: ${reason}` })
  const refuse = (reason: string) => refuseName(`${name}: ${reason}`)
  const parse = parserOf(name)
  if (parse === undefined) {
    const given = JSON.stringify(name)
    return yield* refuseName(`expected a file ending in .ini, .yaml or .yml, got ${given}`)
  }
  const bytes = yield* readSmallFile(name, refuse)
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => refuse("expected text in UTF-8")
  })
  const entries = yield* Effect.mapError(Effect.fromResult(parse(text)), refuse)
  if (entries.length > MAX_ENTRIES) return yield* refuse(`expected at most ${MAX_ENTRIES} settings`)
  const values = new Map<string, unknown>()
  for (const [key, value] of entries) {
    const lower = key.toLowerCase()
    if (values.has(lower)) {
      return yield* refuse(`expected ${SettingKeys.show(key)} only once, got it twice`)
    }
    values.set(lower, value)
  }
  const provider = ConfigProvider.fromUnknown(Object.fromEntries(values), {
    preserveEmptyStrings: true
  })
  return {
    name,
    keys: entries.map(([key]) => key),
    provider: ConfigProvider.mapInput(provider, (path) =>
      path.map((key) => String(key).toLowerCase())
    )
  } satisfies ConfigFile
})

const NAME = "config"
const FLAG = `--${NAME}`
const VARIABLE = SettingKeys.environmentName(NAME)

/**
 * Finds the flag's value before effect/cli, which parses the flag only after the settings that the
 * file may contain. (No command takes positional arguments that could look like the flag.)
 */
const valueIn = (args: ReadonlyArray<string>): string | undefined => {
  const index = args.findIndex((arg) => arg === FLAG || arg.startsWith(`${FLAG}=`))
  if (index === -1) return undefined
  return args[index] === FLAG ? args[index + 1] : args[index]!.slice(FLAG.length + 1)
}

/** The file given with `--config`; undefined if there is none. */
export const CurrentConfigFile = Context.Reference<
  Effect.Effect<ConfigFile | undefined, CliError.CliError, FileSystem.FileSystem>
>("lottery/cli/CurrentConfigFile", { defaultValue: () => Effect.undefined })

/** Finds the file's name in the arguments or the environment. Reads the file on first use. */
export const layer = Layer.effect(
  CurrentConfigFile,
  Effect.gen(function* () {
    const { args } = yield* Stdio.Stdio
    const given = valueIn(yield* args)
    const found =
      given === undefined
        ? yield* SettingKeys.findInEnvironment([VARIABLE])
        : { text: given, origin: `from the flag ${FLAG}` }
    if (found === undefined) return Effect.undefined
    return yield* Effect.cached(read(found.text, found.origin))
  })
)

/** The flag as the help shows it. Parsing it fails if the file cannot be read. */
export const ConfigFlag = GlobalFlag.Setting(NAME)({
  flag: TextFlag.make(NAME, "<file>").pipe(
    Flag.withDescription(`Settings file, .ini or .yaml (env ${VARIABLE})`),
    Flag.optional,
    Flag.mapEffect((name) => Effect.as(Effect.flatten(CurrentConfigFile), name))
  )
})

/** Warns about unknown keys in the file, because they may be misspelled. */
export const warnOfUnknownKeys = Effect.gen(function* () {
  const file = yield* yield* CurrentConfigFile
  if (file === undefined) return
  for (const key of SettingKeys.unknownOf(file.keys)) {
    yield* Effect.logWarning(`${file.name}: unknown setting ${key}`)
  }
})
