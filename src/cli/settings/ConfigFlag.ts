/** The flag `--config`, which every command has: it names the file of settings. */
import { Effect, Layer, Stdio } from "effect"
import { Flag, GlobalFlag } from "effect/cli"
import * as ConfigFile from "./ConfigFile.ts"
import * as Setting from "./Setting.ts"
import * as SettingKeys from "./SettingKeys.ts"

const NAME = "config"
const FLAG = `--${NAME}`
const VARIABLE = SettingKeys.environmentName(NAME)

/**
 * The value of the flag in these arguments. The command line's own parser finds the same, and what
 * is wrong with it, but only after the settings that the file may give. (No command takes
 * positional arguments, so nothing else can look like the flag.)
 */
const valueIn = (args: ReadonlyArray<string>): string | undefined => {
  const index = args.findIndex((arg) => arg === FLAG || arg.startsWith(`${FLAG}=`))
  if (index === -1) return undefined
  return args[index] === FLAG ? args[index + 1] : args[index]!.slice(FLAG.length + 1)
}

/** Provides the file that the arguments or the environment name; it is read at its first use. */
export const layer = Layer.effect(
  Setting.CurrentConfigFile,
  Effect.gen(function* () {
    const { args } = yield* Stdio.Stdio
    const given = valueIn(yield* args)
    const found =
      given === undefined
        ? yield* Setting.fromEnvironment(VARIABLE)
        : { text: given, origin: `from the flag ${FLAG}` }
    if (found === undefined) return Effect.undefined
    return yield* Effect.cached(ConfigFile.read(found.text, found.origin))
  })
)

/** The flag itself, for the help; a file that cannot be read fails it. */
export const ConfigFlag = GlobalFlag.Setting(NAME)({
  flag: Flag.String(NAME).pipe(
    Flag.withDescription(`File of further settings, .ini or .yaml (env ${VARIABLE})`),
    Flag.withMetavar("<file>"),
    Flag.optional,
    Flag.mapEffect((name) => Effect.as(Effect.flatten(Setting.CurrentConfigFile), name))
  )
})

/** Warns of keys in the file that no setting has: they may be misspelled. */
export const warnOfUnknownKeys = Effect.gen(function* () {
  const file = yield* yield* Setting.CurrentConfigFile
  if (file === undefined) return
  for (const key of SettingKeys.unknownOf(file.keys)) {
    yield* Effect.logWarning(`${file.name}: ${key} is no setting`)
  }
})
