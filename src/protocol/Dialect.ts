/**
 * Tells which dialect a connection speaks from its first bytes (wire: "Telling them apart").
 * Pure, and asked again each time that bytes come.
 */
import { decodeUtf8, digitsEnd } from "../domain/BetCheck.ts"
import { CR, LF, QUOTE, SEMICOLON, SPACE, TAB } from "../domain/BetRow.ts"
import { OBJECT_END, OBJECT_START } from "./json/JsonScan.ts"
import { MAX_JSON_BYTES, MAX_LINE_BYTES } from "./Limits.ts"
import { isLineText } from "./line/TextLine.ts"

export type Dialect = "native" | "json" | "binary" | "line"

/** What one rule says of the bytes so far. */
type Verdict = "yes" | "no" | "more"

/** The bytes that open a native connection. */
export const NATIVE_PREFACE = Uint8Array.of(0xff, 0x4c, 0x54, 0x52, 0x59, 0x0d, 0x0a, 0x01)

const isNative = (bytes: Uint8Array): Verdict => {
  for (const [index, byte] of NATIVE_PREFACE.entries()) {
    if (index >= bytes.length) return "more"
    if (bytes[index] !== byte) return "no"
  }
  return "yes"
}

const JSON_SECOND_BYTES: ReadonlySet<number> = new Set([QUOTE, OBJECT_END, SPACE, TAB, LF, CR])

const isJson = (bytes: Uint8Array): Verdict => {
  // The length if no more of its bytes come, and so the least that it can be.
  let leastLength = 0
  for (let index = 0; index < 4; index++) leastLength = leastLength * 256 + (bytes[index] ?? 0)
  if (leastLength > MAX_JSON_BYTES) return "no"
  if (bytes.length > 4 && bytes[4] !== OBJECT_START) return "no"
  if (bytes.length > 5) return JSON_SECOND_BYTES.has(bytes[5]!) ? "yes" : "no"
  return "more"
}

/** The bytes that a JSON message announces which is too large to be one; else undefined. */
export const tooLargeJsonBytes = (bytes: Uint8Array): number | undefined => {
  const [a = 0, b = 0, c = 0, d = 0, open, second = 0] = bytes
  const length = ((a * 256 + b) * 256 + c) * 256 + d
  const isJson = open === OBJECT_START && JSON_SECOND_BYTES.has(second)
  return isJson && length > MAX_JSON_BYTES ? length : undefined
}

const CONTENT_START = 2
const MAX_AGENCY_DIGITS = 10

const isBinary = (bytes: Uint8Array): Verdict => {
  const { length } = bytes
  if (length < CONTENT_START) return "more"
  // The content ends before `continue`, which the size counts.
  const contentEnd = bytes[0]! * 256 + bytes[1]!
  const limit = Math.min(length, contentEnd, CONTENT_START + MAX_AGENCY_DIGITS)
  const end = digitsEnd(bytes, CONTENT_START, limit)
  if (end > CONTENT_START && (end === contentEnd || bytes[end] === SEMICOLON)) return "yes"
  return end === length && end < contentEnd ? "more" : "no"
}

const isLine = (bytes: Uint8Array, ended: boolean): Verdict => {
  const lineEnd = bytes.indexOf(LF)
  const end = lineEnd === -1 ? bytes.length : lineEnd
  if (end >= MAX_LINE_BYTES) return "no"
  // More of the line may come: the rest of a character, or a line end after CR.
  const isCut = lineEnd === -1 && !ended
  const text = decodeUtf8(bytes.subarray(0, end), isCut)
  const mayEndInReturn = (lineEnd !== -1 || isCut) && bytes[end - 1] === CR
  if (text === undefined || !isLineText(mayEndInReturn ? text.slice(0, -1) : text)) return "no"
  if (ended) return bytes.length > 0 ? "yes" : "no"
  if (isCut) return "more"
  // A line end among the first two bytes may be a packet's size; only the stream's end tells.
  if (lineEnd < 2) return bytes.length === lineEnd + 1 ? "more" : "no"
  return "yes"
}

const RULES = [
  ["native", isNative],
  ["json", isJson],
  ["binary", isBinary],
  ["line", isLine]
] as const

/**
 * Decides from the bytes so far; `ended` says that no more will come. The rules are asked in the
 * wire's order; one that needs more bytes is waited for, unless the stream has ended.
 */
export const detect = (bytes: Uint8Array, ended: boolean): Dialect | "unknown" | "undecided" => {
  for (const [dialect, rule] of RULES) {
    const verdict = rule(bytes, ended)
    if (verdict === "yes") return dialect
    if (verdict === "more" && !ended) return "undecided"
  }
  return "unknown"
}
