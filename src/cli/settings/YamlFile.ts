/** YAML as a list of settings, in which the keys of nested mappings are joined with dots. */
import * as Yaml from "effect/encoding/Yaml"
import * as Iterable from "effect/Iterable"
import * as Result from "effect/Result"
import { type Entry, isDefaultSection, isOwn, showKey } from "./SettingEntry.ts"

type Mapping = Readonly<Record<string, unknown>>

const isMapping = (value: unknown): value is Mapping =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Deeper than any setting; a mapping below it is taken for a value. */
const MAX_DEPTH = 8

/**
 * Every key that has a value, or should have one. The keys of `DEFAULT` stand as in INI, as if
 * outside of it.
 */
function* entriesOf(mapping: Mapping, outer: ReadonlyArray<string> = []): Generator<Entry> {
  for (const [name, value] of Object.entries(mapping)) {
    const keys = [...outer, name]
    const key = keys.join(".")
    // An empty mapping would leave a setting out that was meant to be there.
    if (isMapping(value) && keys.length < MAX_DEPTH && !isOwn(key)) {
      yield* entriesOf(value, outer.length === 0 && isDefaultSection(name) ? [] : keys)
    } else if (value !== null || isOwn(key)) yield [key, value ?? ""]
  }
}

/**
 * Whether the text has a number or a boolean as it is shown. `1_000` and `1.10` have lost their
 * spelling, and another value must not go unseen into a setting that is a name.
 */
const isSpelled = (text: string, value: number | boolean): boolean => {
  const shown = String(value).replace(/[.+]/g, "\\$&")
  return new RegExp(`(?<![\\w.+-])${shown}(?![\\w.+-])`).test(text)
}

const problemOf = (text: string, [key, value]: Entry): string | undefined => {
  if (typeof value === "string") return undefined
  if (typeof value !== "number" && typeof value !== "boolean")
    return `${showKey(key)}: expected one value`
  if (isSpelled(text, value)) return undefined
  return `${showKey(key)}: expected the value in quotes, or spelled ${value}`
}

const reasonOf = (error: unknown): string => {
  if (error instanceof SyntaxError) return error.message
  if (error instanceof RangeError) return `expected plain YAML: ${error.message}`
  throw error
}

/** At most so many entries in order, for aliases may make any number; or what is wrong. */
export const parse = (
  text: string,
  maxEntries: number
): Result.Result<ReadonlyArray<Entry>, string> =>
  Result.flatMap(
    Result.try({ try: () => Yaml.parse(text) ?? {}, catch: reasonOf }),
    (root): Result.Result<ReadonlyArray<Entry>, string> => {
      if (!isMapping(root)) return Result.fail("expected keys and their values")
      const entries = Array.from(Iterable.take(entriesOf(root), maxEntries))
      for (const entry of entries) {
        const problem = problemOf(text, entry)
        if (problem !== undefined) return Result.fail(problem)
      }
      return Result.succeed(entries)
    }
  )
