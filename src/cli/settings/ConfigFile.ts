/**
 * A file of settings, in either of the course's formats: `.ini` and `.yaml`. The keys of its
 * section `DEFAULT` stand as if they were outside of any; those of another section, or of a nested
 * mapping, are named with dots: `log.level`. Upper and lower case are the same, as in the course.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import type * as Result from "effect/Result"
import { fileUnavailable } from "../../domain/FileUnavailable.ts"
import * as IniFile from "./IniFile.ts"
import { type Entry, showKey } from "./SettingEntry.ts"
import * as YamlFile from "./YamlFile.ts"

/** A file of settings that was read. */
export interface ConfigFile {
  readonly name: string
  /** Its keys as they are written in it, with dots. */
  readonly keys: ReadonlyArray<string>
  /** Its values, each at the path that `pathOf` gives. */
  readonly provider: ConfigProvider.ConfigProvider
}

/** Where the provider of a file has the value of a key. */
export const pathOf = (key: string): ConfigProvider.Path => [key.toLowerCase()]

const MAX_BYTES = 65_536
const MAX_ENTRIES = 1000

type Parser = (text: string) => Result.Result<ReadonlyArray<Entry>, string>

const PARSERS: ReadonlyArray<readonly [RegExp, Parser]> = [
  [/\.ini$/i, IniFile.parse],
  [/\.ya?ml$/i, (text) => YamlFile.parse(text, MAX_ENTRIES + 1)]
]

const parserOf = (file: string) => PARSERS.find(([name]) => name.test(file))?.[1]

/**
 * Reads a file of settings. What is wrong with it is wrong usage; `origin` says where its name was
 * given.
 */
export const read = Effect.fn("ConfigFile.read")(function* (name: string, origin: string) {
  const refuse = (reason: string) =>
    new CliError.ValidationError({ message: `config ${origin}: ${reason}` })
  const parse = parserOf(name)
  if (parse === undefined) {
    return yield* refuse(
      `expected a file ending in .ini, .yaml or .yml, got ${JSON.stringify(name)}`
    )
  }
  const bytes = yield* readSmallFile(name, (reason) => refuse(`${name}: ${reason}`))
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => refuse(`${name}: expected text in UTF-8`)
  })
  const entries = yield* Effect.mapError(Effect.fromResult(parse(text)), (reason) =>
    refuse(`${name}: ${reason}`)
  )
  if (entries.length > MAX_ENTRIES) {
    return yield* refuse(`${name}: expected at most ${MAX_ENTRIES} settings`)
  }
  const values = new Map<string, unknown>()
  for (const [key, value] of entries) {
    if (values.has(key.toLowerCase())) {
      return yield* refuse(`${name}: expected ${showKey(key)} once, got it twice`)
    }
    values.set(key.toLowerCase(), value)
  }
  return {
    name,
    keys: entries.map(([key]) => key),
    provider: ConfigProvider.fromUnknown(Object.fromEntries(values), { preserveEmptyStrings: true })
  } satisfies ConfigFile
})

/** The bytes of a file that is one: whoever waits at a pipe cannot be stopped. */
const readSmallFile = Effect.fnUntraced(function* (
  name: string,
  refuse: (reason: string) => CliError.ValidationError
) {
  const fs = yield* FileSystem.FileSystem
  const refuseUnavailable = Effect.mapError((error: PlatformError) =>
    refuse(fileUnavailable(name)(error).reason)
  )
  const { size, type } = yield* refuseUnavailable(fs.stat(name))
  if (type !== "File") return yield* refuse("is not a file")
  if (size > MAX_BYTES) return yield* refuse(`expected at most ${MAX_BYTES} bytes, got ${size}`)
  return yield* refuseUnavailable(fs.readFile(name))
})
