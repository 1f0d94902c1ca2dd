/**
 * The bets of a JSON chunk between their two forms as bytes: a list of strings in JSON, and rows.
 * No string is made per bet. What is out of the ordinary is left to whoever parses JSON as a whole.
 */
import { type BetBatch, BetBatchBuilder } from "../../domain/BetBatch.ts"
import { ordinaryBetEnd } from "../../domain/BetCheck.ts"
import { BACKSLASH, COMMA, LF, makeFieldSpans, markFields, QUOTE } from "../../domain/BetRow.ts"
import { LIST_END, LIST_START, skipBlanks } from "./JsonScan.ts"

const SLASH = 0x2f
const SMALL_U = 0x75

/** The bets of a list, which begins at its bracket and ends behind it. */
interface BetList {
  readonly batch: BetBatch
  readonly start: number
  readonly end: number
}

const utf8 = new TextEncoder()
/** The value of a hex digit, by byte; negative where it is none. */
const HEX_VALUES = new Int8Array(256).fill(-1)
for (const [value, byte] of utf8.encode("0123456789abcdef").entries()) HEX_VALUES[byte] = value
for (const [value, byte] of utf8.encode("ABCDEF").entries()) HEX_VALUES[byte] = 10 + value

/** The code unit of the four hex digits at `at`; negative where they are none. */
const codeUnit = (json: Uint8Array, at: number): number =>
  (HEX_VALUES[json[at]!]! << 12) |
  (HEX_VALUES[json[at + 1]!]! << 8) |
  (HEX_VALUES[json[at + 2]!]! << 4) |
  HEX_VALUES[json[at + 3]!]!

/** The longest bet is shorter: two names of 100 bytes and little else. */
const MAX_UNESCAPED_BYTES = 512

// Used for every message: memory that is asked for anew costs as much as the bets in it.
const builder = new BetBatchBuilder()
const spans = makeFieldSpans()
/** A string without its escapes. */
const unescaped = new Uint8Array(MAX_UNESCAPED_BYTES)

/** Reads the list of bets that begins at a bracket. */
class BetListReader {
  private readonly json: Uint8Array
  private readonly start: number
  private at: number

  constructor(json: Uint8Array, start: number) {
    this.json = json
    this.start = start
    this.at = start + 1
  }

  read(): BetList | undefined {
    const { json, start } = this
    for (;;) {
      this.at = skipBlanks(json, this.at)
      if (json[this.at] !== QUOTE || !(this.readOrdinary() || this.readAny())) return undefined
      this.at = skipBlanks(json, this.at)
      const byte = json[this.at++]
      if (byte === LIST_END) return { batch: builder.build(), start, end: this.at }
      if (byte !== COMMA) return undefined
    }
  }

  /** Reads an ordinary bet, which has no escapes: it has no backslash. */
  private readOrdinary(): boolean {
    const { json } = this
    const end = ordinaryBetEnd(json, this.at + 1, json.length, COMMA, spans)
    if (end === -1 || json[end] !== QUOTE) return false
    builder.addOrdinary(json, spans)
    this.at = end + 1
    return true
  }

  private readAny(): boolean {
    const length = this.unescape()
    if (length === undefined) return false
    if (ordinaryBetEnd(unescaped, 0, length, COMMA, spans) === length) {
      builder.addOrdinary(unescaped, spans)
      return true
    }
    return (
      markFields(unescaped, 0, length, COMMA, spans) && builder.add(unescaped, spans) === undefined
    )
  }

  /** Reads a string and gives how long it is, which may be no bet; undefined where it cannot. */
  private unescape(): number | undefined {
    const { json } = this
    let length = 0
    for (let at = this.at + 1; at < json.length && length < MAX_UNESCAPED_BYTES - 3; at++) {
      const byte = json[at]!
      if (byte === QUOTE) {
        this.at = at + 1
        return length
      }
      if (byte !== BACKSLASH) {
        unescaped[length++] = byte
        continue
      }
      const escaped = json[++at]
      if (escaped === QUOTE || escaped === BACKSLASH || escaped === SLASH) {
        unescaped[length++] = escaped
      } else if (escaped === SMALL_U) {
        const code = codeUnit(json, at + 1)
        at += 4
        // No number at all, or half of a pair.
        if (code < 0 || (code >= 0xd800 && code <= 0xdfff)) return undefined
        length = writeCodeUnit(unescaped, length, code)
      } else {
        return undefined
      }
    }
    return undefined
  }
}

/** Writes a code unit that is a character by itself as UTF-8; gives where it ends. */
const writeCodeUnit = (into: Uint8Array, at: number, code: number): number => {
  if (code < 0x80) {
    into[at] = code
    return at + 1
  }
  if (code < 0x800) {
    into[at] = 0xc0 | (code >> 6)
    into[at + 1] = 0x80 | (code & 0x3f)
    return at + 2
  }
  into[at] = 0xe0 | (code >> 12)
  into[at + 1] = 0x80 | ((code >> 6) & 0x3f)
  into[at + 2] = 0x80 | (code & 0x3f)
  return at + 3
}

/**
 * Reads the bets of the only list in a message. Undefined if there is another list, or if it takes
 * a parser of JSON to read this one or to say what is wrong with it.
 */
export const readOnlyList = (json: Uint8Array): BetList | undefined => {
  const start = json.indexOf(LIST_START)
  const list = start === -1 ? undefined : new BetListReader(json, start).read()
  builder.clear()
  return list === undefined || json.includes(LIST_START, list.end) ? undefined : list
}

const HEX_DIGITS = utf8.encode("0123456789abcdef")

/** Writes the escape of a code unit; gives where it ends. */
const writeEscape = (into: Uint8Array, at: number, code: number): number => {
  into[at] = BACKSLASH
  into[at + 1] = SMALL_U
  into[at + 2] = HEX_DIGITS[code >> 12]!
  into[at + 3] = HEX_DIGITS[(code >> 8) & 0xf]!
  into[at + 4] = HEX_DIGITS[(code >> 4) & 0xf]!
  into[at + 5] = HEX_DIGITS[code & 0xf]!
  return at + 6
}

/** The bits that the byte at `at`, one after the first of a character, adds to it. */
const moreBits = (bytes: Uint8Array, at: number): number => bytes[at]! & 0x3f

/** Writes the row in `[start, end)` without its quotes; gives where it ends. */
const writeRow = (
  rows: Uint8Array,
  start: number,
  end: number,
  json: Uint8Array,
  jsonStart: number
): number => {
  let length = jsonStart
  for (let at = start; at < end; at++) {
    const byte = rows[at]!
    if (byte < 0x80) {
      if (byte === QUOTE || byte === BACKSLASH) json[length++] = BACKSLASH
      json[length++] = byte
    } else if (byte < 0xe0) {
      length = writeEscape(json, length, ((byte & 0x1f) << 6) | moreBits(rows, at + 1))
      at += 1
    } else if (byte < 0xf0) {
      const high = ((byte & 0xf) << 12) | (moreBits(rows, at + 1) << 6)
      length = writeEscape(json, length, high | moreBits(rows, at + 2))
      at += 2
    } else {
      const high = ((byte & 0x7) << 18) | (moreBits(rows, at + 1) << 12)
      const code = high | (moreBits(rows, at + 2) << 6) | moreBits(rows, at + 3)
      length = writeEscape(json, length, 0xd800 + ((code - 0x10000) >> 10))
      length = writeEscape(json, length, 0xdc00 + (code & 0x3ff))
      at += 3
    }
  }
  return length
}

/** Where a list is written; the same one for every message that is not large. */
const list = new Uint8Array(256 * 1024)

/**
 * Rows as a list of strings in JSON, all of it ASCII, as `JSON.stringify` would write them but for
 * that: a view, good until the next list is written. Each row ends in LF, and is valid UTF-8
 * without controls.
 */
export const writeJsonRows = (rows: Uint8Array): Uint8Array => {
  if (rows.length === 0) return Uint8Array.of(LIST_START, LIST_END)
  // A character of two bytes takes six, a line end a comma and two quotes.
  const most = 3 * rows.length + 1
  const json = most > list.length ? new Uint8Array(most) : list
  let length = 0
  for (let start = 0; start < rows.length; ) {
    const end = rows.indexOf(LF, start)
    json[length++] = start === 0 ? LIST_START : COMMA
    json[length++] = QUOTE
    length = writeRow(rows, start, end, json, length)
    json[length++] = QUOTE
    start = end + 1
  }
  json[length++] = LIST_END
  return json.subarray(0, length)
}
