/**
 * The text of a config file, INI or YAML, as a list of entries. The keys of a section `DEFAULT`
 * count as keys outside of any section.
 */
import { Iterable, Result } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import * as SettingKeys from "./SettingKeys.ts"

/** A key, with the names of the sections or mappings around it and dots; and its value. */
type Entry = readonly [key: string, value: string | number | boolean]

const isDefaultSection = (name: string): boolean => /^default$/i.test(name)

const BLANK = /^\s*(?:[;#].*)?$/
const SECTION = /^\s*\[([\w.-]+)\]\s*(?:[;#].*)?$/
const ENTRY = /^\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$/
const QUOTED = /^"([^"]*)"(?:\s+[;#].*)?$/
const COMMENT = /(?:^|\s+)[;#].*$/

/**
 * INI as Python's ConfigParser takes it, with which the course's server reads its settings:
 * `KEY = VALUE` or `KEY: VALUE` under a `[SECTION]`, and lines that begin with # or ;. Also, a
 * comment may follow a value after white space, and a value may stand in double quotes. (Effect's
 * own parser takes no colon, cuts a value at any #, and takes any other line for a key.)
 *
 * The entries in order; or what is wrong with which line, without its text: it may be a secret.
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

/** Deeper than any setting; a mapping below it is taken for a value. */
const MAX_DEPTH = 8

/** Every key that has a value, or should have one. */
function* valuesIn(
  mapping: Mapping,
  outer: ReadonlyArray<string> = []
): Generator<readonly [key: string, value: unknown]> {
  for (const [name, value] of Object.entries(mapping)) {
    const keys = [...outer, name]
    const key = keys.join(".")
    const isOwn = SettingKeys.isOwn(key)
    // An empty mapping under a key of our own would leave out a setting that was meant.
    if (isMapping(value) && keys.length < MAX_DEPTH && !isOwn) {
      yield* valuesIn(value, outer.length === 0 && isDefaultSection(name) ? [] : keys)
    } else if (value !== null || isOwn) yield [key, value ?? ""]
  }
}

/**
 * Whether the text has a number or a boolean as it is shown. `1_000` and `1.10` have lost their
 * spelling, and must not go unseen as another value into a setting that is a name.
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

/** The entries of YAML in order, at most `maxEntries`, for aliases may make any number. */
export const parseYaml = (text: string, maxEntries: number) =>
  Result.gen(function* () {
    const root: unknown = yield* Result.try({ try: () => Yaml.parse(text) ?? {}, catch: reasonOf })
    if (!isMapping(root)) return yield* Result.fail("expected keys and their values")
    const entries: Array<Entry> = []
    for (const [key, value] of Iterable.take(valuesIn(root), maxEntries)) {
      const isText = typeof value === "string"
      const shown = SettingKeys.show(key)
      if (!isText && typeof value !== "number" && typeof value !== "boolean") {
        return yield* Result.fail(`${shown}: expected one value`)
      }
      if (!isText && !isSpelled(text, value)) {
        return yield* Result.fail(`${shown}: expected the value in quotes, or spelled ${value}`)
      }
      entries.push([key, value])
    }
    return entries
  })
