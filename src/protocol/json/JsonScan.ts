/**
 * Bounds the cost of parsing a client's JSON, which depends on nesting and the number of elements:
 * a megabyte of brackets takes ten times the memory of a megabyte of bets. The scan is one pass
 * over the bytes without allocations and takes a few nanoseconds per byte.
 *
 * It does not validate the JSON. The parser sees the same structure up to the first invalid byte,
 * and stops there.
 */
import { BACKSLASH, COMMA, CR, LF, QUOTE, SPACE, TAB } from "../../domain/BetRow.ts"
import { MAX_JSON_DEPTH, MAX_JSON_MEMBERS, MIN_JSON_ROW_BYTES } from "../Limits.ts"

/** `count` and `index` are those of `BadMessage`. */
interface Problem {
  readonly reason: string
  readonly index?: number | undefined
  readonly count?: number | undefined
}

interface ScanProblem extends Problem {
  /** The end of the members before the refused one, without the comma; 0 if there are none. */
  readonly membersEnd: number
}

export const LIST_START = 0x5b
export const LIST_END = 0x5d
export const OBJECT_START = 0x7b
export const OBJECT_END = 0x7d

/** Returns the end of the white space at `start`; `start` if there is none. */
export const skipBlanks = (json: Uint8Array, start: number): number => {
  let at = start
  for (; at < json.length; at++) {
    const byte = json[at]
    if (byte !== SPACE && byte !== LF && byte !== CR && byte !== TAB) break
  }
  return at
}

/** Returns the closing quote of the string at `start`, or the end of the bytes. */
const stringEnd = (json: Uint8Array, start: number): number => {
  const { length } = json
  for (let at = start + 1; at < length; at++) {
    const byte = json[at]
    if (byte === QUOTE) return at
    if (byte === BACKSLASH) at++
  }
  return length
}

/** The format of a bet, for messages. */
export const BET = "first,last,document,birthdate,number"

const tooShort = (index: number, bytes: number): Problem => ({
  reason: `expected ${BET}, at least ${MIN_JSON_ROW_BYTES} bytes in JSON, got ${bytes}`,
  index
})

const tooDeep = (isList: boolean, index: number): Problem => {
  const most = `at most ${MAX_JSON_DEPTH} levels of JSON`
  return isList
    ? { reason: `expected ${BET} as a string, ${most}`, index }
    : { reason: `expected ${most}` }
}

const TOO_MANY_MEMBERS: Problem = {
  reason: `expected at most ${MAX_JSON_MEMBERS} members in a JSON object`
}

/**
 * Returns which limit `json` exceeds, or undefined: more than `MAX_JSON_DEPTH` levels, more than
 * `MAX_JSON_MEMBERS` in an object or a first-level list, or in a second-level list an element of
 * less than `MIN_JSON_ROW_BYTES`, including white space around it. After a short element the scan
 * continues, to count the elements for the log.
 */
export const scanJson = (json: Uint8Array): ScanProblem | undefined => {
  let depth = 0
  let members = 1
  let membersEnd = 0
  // The open list or object on the second level.
  let isList = false
  let count = 0
  let elementStart = 0
  let short: Problem | undefined
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === QUOTE) {
      at = stringEnd(json, at)
    } else if (byte === LIST_START || byte === OBJECT_START) {
      if (depth === MAX_JSON_DEPTH) return { ...(short ?? tooDeep(isList, count)), membersEnd }
      depth++
      isList = byte === LIST_START
      count = 0
      elementStart = at + 1
    } else if (byte === COMMA || byte === LIST_END || byte === OBJECT_END) {
      if (depth < MAX_JSON_DEPTH) {
        if (byte !== COMMA) return undefined
        membersEnd = at
        if (++members > MAX_JSON_MEMBERS) return { ...TOO_MANY_MEMBERS, membersEnd }
        continue
      }
      const isEmpty = byte !== COMMA && count === 0 && skipBlanks(json, elementStart) === at
      if (!isEmpty) {
        const bytes = at - elementStart
        if (isList && bytes < MIN_JSON_ROW_BYTES) short ??= tooShort(count, bytes)
        count++
        if (!isList && count > MAX_JSON_MEMBERS) return { ...TOO_MANY_MEMBERS, membersEnd }
      }
      elementStart = at + 1
      if (byte === COMMA) continue
      if (short !== undefined) return { ...short, count, membersEnd }
      depth--
    }
  }
  return short && { ...short, membersEnd }
}
