/**
 * A file of settings, in either of the course's formats: `.ini` and `.yaml`. The keys of its
 * section `DEFAULT` stand as if they were outside of any; those of another section, or of a nested
 * mapping, are named with dots: `log.level`. Upper and lower case are the same, as in the course.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Ini from "effect/encoding/Ini"
import * as Yaml from "effect/encoding/Yaml"
import * as FileSystem from "effect/FileSystem"
import { fileUnavailable } from "../client/FileUnavailable.ts"

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

const PARSERS: ReadonlyArray<readonly [RegExp, (text: string) => unknown]> = [
  [/\.ini$/i, Ini.parse],
  [/\.ya?ml$/i, Yaml.parse]
]

const parserOf = (file: string) => PARSERS.find(([name]) => name.test(file))?.[1]

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const DEFAULT_SECTION = "DEFAULT"

/** Every key, with dots, that has a value which is no mapping, and the value. */
function* leavesOf(
  mapping: Readonly<Record<string, unknown>>,
  outer: ReadonlyArray<string> = []
): Generator<readonly [key: string, value: unknown]> {
  for (const [name, value] of Object.entries(mapping)) {
    const isDefault = outer.length === 0 && name === DEFAULT_SECTION
    if (isMapping(value)) yield* leavesOf(value, isDefault ? [] : [...outer, name])
    else yield [[...outer, name].join("."), value]
  }
}

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
  const fs = yield* FileSystem.FileSystem
  const bytes = yield* Effect.mapError(fs.readFile(name), (error) =>
    refuse(fileUnavailable(name)(error).message)
  )
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => refuse(`${name}: expected text in UTF-8`)
  })
  const root = yield* Effect.try({
    try: () => parse(text) ?? {},
    catch: (error) => refuse(`${name}: ${error instanceof Error ? error.message : error}`)
  })
  if (!isMapping(root)) return yield* refuse(`${name}: expected keys and their values`)
  const leaves = [...leavesOf(root)]
  const list = leaves.find(([, value]) => Array.isArray(value))
  if (list !== undefined) {
    return yield* refuse(`${name}: ${list[0]}: expected one value, got a list`)
  }
  return {
    name,
    keys: leaves.map(([key]) => key),
    provider: ConfigProvider.fromUnknown(
      Object.fromEntries(leaves.map(([key, value]) => [key.toLowerCase(), value]))
    )
  } satisfies ConfigFile
})
