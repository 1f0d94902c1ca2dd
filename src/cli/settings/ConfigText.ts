/**
 * Parses the text of a config file, INI or YAML. Keys in a section `DEFAULT` count as top-level.
 */
import { Iterable, Result } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import * as SettingKeys from "./SettingKeys.ts"

/** A full key, joined by dots, and its value. */
type Entry = readonly [key: string, value: string | number | boolean]

const isDefaultSection = (name: string): boolean => /^default$/i.test(name)

const BLANK = /^\s*(?:[;#].*)?$/
const SECTION = /^\s*\[([\w.-]+)\]\s*(?:[;#].*)?$/
const ENTRY = /^\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$/
const QUOTED = /^"([^"]*)"(?:\s+[;#].*)?$/
const COMMENT = /(?:^|\s+)[;#].*$/

/**
 * Parses INI as Python's ConfigParser does, which the course's server uses: `KEY = VALUE` or
 * `KEY: VALUE` under a `[SECTION]`, and comment lines that begin with # or ;. A comment may also
 * follow a value after white space, and a value may be in double quotes. (Effect's own parser does
 * not know the colon, cuts values at any #, and treats any other line as a key.)
 *
 * The error names the line but does not show its text, which may be a secret.
 */
export const parseIni = (text: string): Result.Result<ReadonlyArray<Entry>, string> => {
  const entries: Array<Entry> = []
  let section = ""
  for (const [index, line] of text.split(/\r\n|\r|\n/).entries()) {
    if (BLANK.test(line)) continue
    const name = SECTION.exec(line)?.[1]
    if (name !== undefined) {
      section = isDefaultSection(name) ? "" : `${name}.`
      continue
    }
    const [, key, value] = ENTRY.exec(line) ?? []
    if (key === undefined)
      return Result.fail(`line ${index + 1}: expected KEY = VALUE or [SECTION]`)
    entries.push([`${section}${key}`, QUOTED.exec(value!)?.[1] ?? value!.replace(COMMENT, "")])
  }
  return Result.succeed(entries)
}

type Mapping = Readonly<Record<string, unknown>>

const isMapping = (value: unknown): value is Mapping =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Deeper than any setting; a mapping at this depth counts as a value. */
const MAX_DEPTH = 8

/** Every key with a value, and every `LOTTERY_` key without one. */
function* valuesIn(
  mapping: Mapping,
  outer: ReadonlyArray<string> = []
): Generator<readonly [key: string, value: unknown]> {
  for (const [name, value] of Object.entries(mapping)) {
    const keys = [...outer, name]
    const key = keys.join(".")
    const isOwn = SettingKeys.isOwn(key)
    // An empty mapping under a `LOTTERY_` key would silently drop that setting.
    if (isMapping(value) && keys.length < MAX_DEPTH && !isOwn) {
      yield* valuesIn(value, outer.length === 0 && isDefaultSection(name) ? [] : keys)
    } else if (value !== null || isOwn) yield [key, value ?? ""]
  }
}

/**
 * Whether the text contains the number or boolean exactly as it is shown. `1_000` or `1.10` would
 * silently become another value in a setting that is a name.
 */
const isSpelled = (text: string, value: number | boolean): boolean => {
  const shown = String(value).replace(/[.+]/g, "\\$&")
  return new RegExp(`(?<![\\w.+-])${shown}(?![\\w.+-])`).test(text)
}

const reasonOf = (error: unknown): string => {
  if (error instanceof SyntaxError) return error.message
  if (error instanceof RangeError) return `expected plain YAML: ${error.message}`
  throw error
}

/** Parses YAML into at most `maxEntries` entries; aliases could expand to any number. */
export const parseYaml = (text: string, maxEntries: number) =>
  Result.gen(function* () {
    const root: unknown = yield* Result.try({ try: () => Yaml.parse(text) ?? {}, catch: reasonOf })
    if (!isMapping(root)) return yield* Result.fail("expected keys with values")
    const entries: Array<Entry> = []
    for (const [key, value] of Iterable.take(valuesIn(root), maxEntries)) {
      const isText = typeof value === "string"
      const shown = SettingKeys.show(key)
      if (!isText && typeof value !== "number" && typeof value !== "boolean") {
        return yield* Result.fail(`${shown}: expected one value`)
      }
      if (!isText && !isSpelled(text, value)) {
        return yield* Result.fail(`${shown}: expected the value in quotes or written as ${value}`)
      }
      entries.push([key, value])
    }
    return entries
  })
