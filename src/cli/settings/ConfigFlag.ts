/** The flag `--config`, which every command has: it names the file of settings. */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stdio from "effect/Stdio"
import * as ConfigFile from "./ConfigFile.ts"
import * as Setting from "./Setting.ts"

const NAME = "config"
const FLAG = `--${NAME}`
const VARIABLE = Setting.environmentName(NAME)

/**
 * The value of the flag in these arguments. The command line's own parser finds the same, and what
 * is wrong with it, but only after the settings that the file may give. (No command takes what is
 * no flag, so that nothing else can look like it.)
 */
const valueIn = (args: ReadonlyArray<string>): string | undefined => {
  const index = args.findIndex((arg) => arg === FLAG || arg.startsWith(`${FLAG}=`))
  if (index === -1) return undefined
  return args[index] === FLAG ? args[index + 1] : args[index]!.slice(FLAG.length + 1)
}

/**
 * Provides the file that the arguments or the environment name; it is read at its first use, once
 * `declareSettings` has made all keys known that may be in it.
 */
export const layer = (declareSettings: Effect.Effect<void>) => {
  const read = (name: string, origin: string) =>
    Effect.cached(Effect.andThen(declareSettings, ConfigFile.read(name, origin)))
  return Layer.effect(
    Setting.CurrentConfigFile,
    Effect.gen(function* () {
      const { args } = yield* Stdio.Stdio
      const given = valueIn(yield* args)
      if (given !== undefined) return yield* read(given, `from the flag ${FLAG}`)
      const named = yield* Setting.fromEnvironment(VARIABLE)
      return named === undefined ? Effect.undefined : yield* read(named.text, named.origin)
    })
  )
}

/** The flag itself, for the help; a file that cannot be read fails it. */
export const ConfigFlag = GlobalFlag.Setting(NAME)({
  flag: Flag.String(NAME).pipe(
    Flag.withDescription(`File of further settings, .ini or .yaml (env ${VARIABLE})`),
    Flag.withMetavar("<file>"),
    Flag.optional,
    Flag.mapEffect((name) =>
      Effect.as(
        Effect.flatMap(Setting.CurrentConfigFile, (file) => file),
        name
      )
    )
  )
})

/** Warns of keys in the file that no setting has: they may be misspelled. */
export const warnOfUnknownKeys = Effect.gen(function* () {
  const file = yield* yield* Setting.CurrentConfigFile
  if (file === undefined) return
  for (const key of Setting.unknownKeysOf(file)) {
    yield* Effect.logWarning(`${file.name}: ${key} is no setting`)
  }
})
