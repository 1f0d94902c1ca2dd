/** Detects a connection's dialect (docs/wire.md, "Telling the dialects apart"). Pure. */
import { decodeUtf8, digitsEnd } from "../domain/BetCheck.ts"
import { CR, LF, QUOTE, SEMICOLON, SPACE, TAB } from "../domain/BetRow.ts"
import { OBJECT_END, OBJECT_START } from "./json/JsonScan.ts"
import { MAX_JSON_BYTES, MAX_LINE_BYTES } from "./Limits.ts"
import { isLineText } from "./line/TextLine.ts"
import { NATIVE_PREFACE } from "./native/Preface.ts"

export type Dialect = "native" | "json" | "binary" | "line"

type Verdict = "yes" | "no" | "more"

const isNative = (bytes: Uint8Array): Verdict => {
  for (const [index, byte] of NATIVE_PREFACE.entries()) {
    if (index >= bytes.length) return "more"
    if (bytes[index] !== byte) return "no"
  }
  return "yes"
}

const JSON_SECOND_BYTES: ReadonlySet<number> = new Set([QUOTE, OBJECT_END, SPACE, TAB, LF, CR])

const isJson = (bytes: Uint8Array): Verdict => {
  // Missing bytes count as 0.
  let minLength = 0
  for (let index = 0; index < 4; index++) minLength = minLength * 256 + (bytes[index] ?? 0)
  if (minLength > MAX_JSON_BYTES) return "no"
  if (bytes.length > 4 && bytes[4] !== OBJECT_START) return "no"
  if (bytes.length > 5) return JSON_SECOND_BYTES.has(bytes[5]!) ? "yes" : "no"
  return "more"
}

/** Returns the length of a JSON message that exceeds the limit; otherwise undefined. */
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
  // The size also counts the two bytes of `continue` after the content.
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
  // The rest of a character, or LF after CR, may still come.
  const isCut = lineEnd === -1 && !ended
  const text = decodeUtf8(bytes.subarray(0, end), isCut)
  const mayEndInReturn = (lineEnd !== -1 || isCut) && bytes[end - 1] === CR
  if (text === undefined || !isLineText(mayEndInReturn ? text.slice(0, -1) : text)) return "no"
  if (ended) return bytes.length > 0 ? "yes" : "no"
  if (isCut) return "more"
  // An LF in the first two bytes may be part of a packet's size, unless the stream ends there.
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
 * Decides from the bytes so far; `ended` means that no more will come. Call it again when bytes
 * arrive. A rule that needs more bytes delays the rules after it until the stream ends.
 */
export const detect = (bytes: Uint8Array, ended: boolean): Dialect | "unknown" | "undecided" => {
  for (const [dialect, rule] of RULES) {
    const verdict = rule(bytes, ended)
    if (verdict === "yes") return dialect
    if (verdict === "more" && !ended) return "undecided"
  }
  return "unknown"
}
