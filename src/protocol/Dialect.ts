/**
 * Tells which dialect a connection speaks from its first bytes (wire: "Telling them apart").
 * Pure, and asked again each time that bytes come.
 */
import { decodeUtf8 } from "../domain/BetCheck.ts"
import { CR, LF } from "../domain/BetRow.ts"
import { MAX_JSON_BYTES, MAX_LINE_BYTES } from "./Limits.ts"

export type Dialect = "native" | "json" | "binary" | "line"

/** What the first bytes say: a dialect, none of them, or that more bytes are needed. */
export type Detection = Dialect | "unknown" | "undecided"

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

const JSON_SECOND_BYTES: ReadonlySet<number> = new Set([0x22, 0x7d, 0x20, 0x09, 0x0a, 0x0d])

const isJson = (bytes: Uint8Array): Verdict => {
  let least = 0
  for (let index = 0; index < 4; index++) least = least * 256 + (bytes[index] ?? 0)
  if (least > MAX_JSON_BYTES) return "no"
  if (bytes.length > 4 && bytes[4] !== 0x7b) return "no"
  if (bytes.length > 5) return JSON_SECOND_BYTES.has(bytes[5]!) ? "yes" : "no"
  return "more"
}

const MAX_AGENCY_DIGITS = 10
const SEMICOLON = 0x3b

const isBinary = (bytes: Uint8Array): Verdict => {
  if (bytes.length < 2) return "more"
  // The content begins after the size and ends before `continue`, which the size counts.
  const contentEnd = bytes[0]! * 256 + bytes[1]!
  for (let digits = 0; digits <= MAX_AGENCY_DIGITS; digits++) {
    const at = 2 + digits
    if (at === contentEnd) return digits > 0 ? "yes" : "no"
    if (at > contentEnd) return "no"
    const byte = bytes[at]
    if (byte === undefined) return "more"
    if (byte === SEMICOLON) return digits > 0 ? "yes" : "no"
    if (byte < 0x30 || byte > 0x39) return "no"
  }
  return "no"
}

/** Whether a byte can stand in a text line before its LF; a CR only right before it. */
const isLineByte = (byte: number): boolean => (byte >= 0x20 && byte !== 0x7f) || byte === 0x09

/** Bytes that begin a UTF-8 character cut off by the end of what has come. */
const cutCharacterBytes = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    if (byte > 0xf4) return 0
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1
    return length > back ? back : 0
  }
  return 0
}

const isLine = (bytes: Uint8Array, ended: boolean): Verdict => {
  const lineEnd = bytes.indexOf(LF)
  const end = lineEnd === -1 ? bytes.length : lineEnd
  if (end >= MAX_LINE_BYTES) return "no"
  for (let at = 0; at < end; at++) {
    const beforeLineEnd = at === end - 1 && (lineEnd !== -1 || !ended)
    if (!isLineByte(bytes[at]!) && !(bytes[at] === CR && beforeLineEnd)) return "no"
  }
  const line = bytes.subarray(0, end)
  const whole = lineEnd === -1 && !ended ? line.subarray(0, end - cutCharacterBytes(line)) : line
  if (decodeUtf8(whole) === undefined) return "no"
  if (ended) return bytes.length > 0 ? "yes" : "no"
  if (lineEnd === -1) return "more"
  // A line end among the first two bytes may be a packet's size; only the stream's end tells.
  if (lineEnd < 2) return bytes.length === lineEnd + 1 ? "more" : "no"
  return "yes"
}

/**
 * Decides from the bytes so far; `ended` says that no more will come. The rules are asked in the
 * wire's order; one that needs more bytes is waited for, unless the stream has ended.
 */
export const detect = (bytes: Uint8Array, ended: boolean): Detection => {
  const rules: ReadonlyArray<readonly [Dialect, () => Verdict]> = [
    ["native", () => isNative(bytes)],
    ["json", () => isJson(bytes)],
    ["binary", () => isBinary(bytes)],
    ["line", () => isLine(bytes, ended)]
  ]
  for (const [dialect, rule] of rules) {
    const verdict = rule()
    if (verdict === "yes") return dialect
    if (verdict === "more" && !ended) return "undecided"
  }
  return "unknown"
}
