/**
 * Looks a client's JSON over as bytes, before it is parsed: how deep it nests and how many elements
 * it has, which is what parsing it costs: a megabyte of brackets takes ten times the memory of one
 * of bets. One pass that makes nothing, at some nanoseconds a byte whatever the bytes are.
 *
 * It does not tell whether this is JSON at all: up to the first byte that is not JSON the parser
 * reads the same as this, and it does not go further.
 */
import { BACKSLASH, COMMA, CR, LF, QUOTE, SPACE, TAB } from "../../domain/BetRow.ts"
import { MAX_JSON_DEPTH, MAX_JSON_MEMBERS, MIN_JSON_ROW_BYTES } from "../Limits.ts"

/** Why JSON is not parsed; `count` and `index` as in `BadMessage`. */
interface Problem {
  readonly reason: string
  readonly index?: number | undefined
  readonly count?: number | undefined
}

interface ScanProblem extends Problem {
  /** Where the members before the refused one end, without their comma; 0 if there are none. */
  readonly membersEnd: number
}

export const LIST_START = 0x5b
export const LIST_END = 0x5d
export const OBJECT_START = 0x7b
export const OBJECT_END = 0x7d

/** Where the white space ends that begins at `start`; `start` itself if there is none. */
export const skipBlanks = (json: Uint8Array, start: number): number => {
  let at = start
  for (; at < json.length; at++) {
    const byte = json[at]
    if (byte !== SPACE && byte !== LF && byte !== CR && byte !== TAB) break
  }
  return at
}

/** Where the string that begins at `start` ends: at its quote, or with the bytes. */
const stringEnd = (json: Uint8Array, start: number): number => {
  const { length } = json
  for (let at = start + 1; at < length; at++) {
    const byte = json[at]
    if (byte === QUOTE) return at
    if (byte === BACKSLASH) at++
  }
  return length
}

/** How a bet is written in the list, for messages. */
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
  reason: `expected at most ${MAX_JSON_MEMBERS} members in an object of JSON`
}

/**
 * What is too much of `json`, or undefined: more than `MAX_JSON_DEPTH` levels, an object of more
 * than `MAX_JSON_MEMBERS`, or on the second level an element of a list of less than
 * `MIN_JSON_ROW_BYTES`, the white space around it included. After an element that is too short
 * the others are counted, for the log.
 */
export const scanJson = (json: Uint8Array): ScanProblem | undefined => {
  let depth = 0
  let members = 1
  let membersEnd = 0
  // Of the list or object on the second level that is open.
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
