/**
 * Looks a client's JSON over as bytes, before it is parsed: how deep it nests and how many elements
 * it has, which is what parsing it costs: a megabyte of brackets takes ten times the memory of one
 * of bets. One pass that makes nothing, at some nanoseconds a byte whatever the bytes are.
 *
 * Whether it is JSON at all is left to whoever parses it: what is JSON up to some byte was read
 * here as the parser reads it, and behind that byte the parser does not go.
 */
import { BACKSLASH, COMMA, CR, LF, QUOTE, SPACE } from "../../domain/BetRow.ts"
import { MAX_JSON_DEPTH, MAX_JSON_MEMBERS, MIN_JSON_ROW_BYTES } from "../Limits.ts"

/** Why JSON is not parsed; `count` and `index` as in `BadMessage`. */
export interface ScanProblem {
  readonly reason: string
  readonly index?: number | undefined
  readonly count?: number | undefined
  /** Where the members end that stand before the refused one, without their comma; 0: none do. */
  readonly membersEnd: number
}

const LIST_START = 0x5b
const LIST_END = 0x5d
const OBJECT_START = 0x7b
const OBJECT_END = 0x7d
const TAB = 0x09

/** Where the string ends that begins at `start`: at its quote, or where the bytes end. */
const stringEnd = (json: Uint8Array, start: number): number => {
  const { length } = json
  for (let at = start + 1; at < length; at++) {
    const byte = json[at]
    if (byte === QUOTE) return at
    if (byte === BACKSLASH) at++
  }
  return length
}

const isBlank = (json: Uint8Array, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    const byte = json[at]
    if (byte !== SPACE && byte !== LF && byte !== CR && byte !== TAB) return false
  }
  return true
}

const opens = (byte: number | undefined): boolean => byte === LIST_START || byte === OBJECT_START
const closes = (byte: number | undefined): boolean => byte === LIST_END || byte === OBJECT_END

type Problem = Omit<ScanProblem, "membersEnd">

const BET = "first,last,document,birthdate,number"

/** An element of a list that is too short for a bet, and how short it is. */
interface Short {
  readonly index: number
  readonly bytes: number
}

const tooShort = ({ bytes, index }: Short, count?: number): Problem => ({
  reason: `expected ${BET}, at least ${MIN_JSON_ROW_BYTES} bytes in JSON, got ${bytes}`,
  index,
  count
})

const tooDeep = (start: number | undefined, index: number): Problem => {
  const most = `at most ${MAX_JSON_DEPTH} levels of JSON`
  return start === LIST_START
    ? { reason: `expected ${BET} as a string, ${most}`, index }
    : { reason: `expected ${most}` }
}

const TOO_MANY_MEMBERS: Problem = {
  reason: `expected at most ${MAX_JSON_MEMBERS} members in an object of JSON`
}

/**
 * Where the list or object of the second level ends that begins at `start`, or what is wrong in
 * it. Behind an element that is too short the others are counted, for whoever logs them.
 */
const innerEnd = (json: Uint8Array, start: number): number | Problem => {
  const { length } = json
  const isList = json[start] === LIST_START
  let count = 0
  let elementStart = start + 1
  let short: Short | undefined
  for (let at = start + 1; at < length; at++) {
    const byte = json[at]
    if (byte === QUOTE) {
      at = stringEnd(json, at)
    } else if (opens(byte)) {
      return short === undefined ? tooDeep(json[start], count) : tooShort(short)
    } else if (byte === COMMA || closes(byte)) {
      if (byte !== COMMA && count === 0 && isBlank(json, elementStart, at)) return at
      const bytes = at - elementStart
      if (isList && bytes < MIN_JSON_ROW_BYTES) short ??= { index: count, bytes }
      count++
      if (!isList && count > MAX_JSON_MEMBERS) return TOO_MANY_MEMBERS
      if (byte !== COMMA) return short === undefined ? at : tooShort(short, count)
      elementStart = at + 1
    }
  }
  return short === undefined ? length : tooShort(short)
}

/**
 * What is too much of `json`, or undefined: more than `MAX_JSON_DEPTH` levels, an object of more
 * than `MAX_JSON_MEMBERS`, or on the second level an element of a list of less than
 * `MIN_JSON_ROW_BYTES`, the white space around it included.
 */
export const scanJson = (json: Uint8Array): ScanProblem | undefined => {
  const { length } = json
  let isInside = false
  let members = 1
  let membersEnd = 0
  for (let at = 0; at < length; at++) {
    const byte = json[at]
    if (byte === QUOTE) {
      at = stringEnd(json, at)
    } else if (opens(byte)) {
      if (isInside) {
        const end = innerEnd(json, at)
        if (typeof end !== "number") return { ...end, membersEnd }
        at = end
      }
      isInside = true
    } else if (byte === COMMA) {
      membersEnd = at
      if (++members > MAX_JSON_MEMBERS) {
        return { ...TOO_MANY_MEMBERS, membersEnd }
      }
    } else if (closes(byte)) {
      return undefined
    }
  }
  return undefined
}
