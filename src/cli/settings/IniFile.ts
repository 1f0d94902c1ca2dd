/**
 * INI as Python's ConfigParser takes it, with which the course's server reads its settings:
 * `KEY = VALUE` or `KEY: VALUE` under a `[SECTION]`, and lines that begin with # or ;. Beyond that
 * a comment may follow a value after white space, and a value may stand in double quotes.
 * (Effect's own parser takes no colon, cuts a value at any #, and takes any other line for a key.)
 */
import * as Result from "effect/Result"
import { type Entry, isDefaultSection } from "./SettingEntry.ts"

const BLANK = /^\s*(?:[;#].*)?$/
const SECTION = /^\s*\[([\w.-]+)\]\s*(?:[;#].*)?$/
const ENTRY = /^\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$/
const QUOTED = /^"([^"]*)"(?:\s+[;#].*)?$/
const COMMENT = /(?:^|\s+)[;#].*$/

/** The entries in order; or what is wrong with which line, without its text: it may be a secret. */
export const parse = (text: string): Result.Result<ReadonlyArray<Entry>, string> => {
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
