/**
 * The bets of the binary and JSON dialects: fields between separators, without quotes, so a field
 * cannot contain a separator. Pure.
 */
import { Result } from "effect"
import { BetBatch, BetBatchBuilder } from "../domain/BetBatch.ts"
import { ordinaryBetEnd } from "../domain/BetCheck.ts"
import {
  COMMA,
  FIELD_COUNT,
  type FieldSpans,
  LF,
  makeFieldSpans,
  QUOTE,
  splitRow,
  ZERO
} from "../domain/BetRow.ts"
import { type BadMessage, badMessage } from "./BytesCodec.ts"

/** The bytes between two fields and after a bet. They may be equal. */
interface Separators {
  readonly field: number
  readonly row: number
}

/** Whether a marked bet's number differs from the canonical one. */
export const hasLeadingZero = (bytes: Uint8Array, spans: FieldSpans): boolean =>
  bytes[spans[8]!] === ZERO && spans[9]! - spans[8]! > 1

/**
 * Decodes bets and checks every field. The last bet may lack its separator. Fails with the index of
 * the first invalid bet.
 */
export const decodePlainRows = (
  bytes: Uint8Array,
  separators: Separators
): Result.Result<BetBatch, BadMessage> => {
  const batch = decodeOrdinaryRows(bytes, separators)
  return batch === undefined ? decodeAnyRows(bytes, separators) : Result.succeed(batch)
}

/**
 * Decodes bets of which each is ordinary and has a canonical number; otherwise returns undefined.
 * Except for the separators they are canonical rows, so one copy of all of them is enough.
 */
const decodeOrdinaryRows = (bytes: Uint8Array, separators: Separators): BetBatch | undefined => {
  const { length } = bytes
  const rows = new Uint8Array(length + 1)
  rows.set(bytes)
  const spans = makeFieldSpans()
  let count = 0
  let at = 0
  while (at < length) {
    const end = ordinaryBetEnd(rows, at, length, separators.field, spans)
    if (end === -1 || (end < length && rows[end] !== separators.row)) return undefined
    if (hasLeadingZero(rows, spans)) return undefined
    for (let field = 0; field < FIELD_COUNT - 1; field++) rows[spans[2 * field + 1]!] = COMMA
    rows[end] = LF
    at = end + 1
    count++
  }
  return new BetBatch(rows.subarray(0, at), count)
}

const decodeAnyRows = (
  bytes: Uint8Array,
  separators: Separators
): Result.Result<BetBatch, BadMessage> => {
  const { length } = bytes
  const builder = new BetBatchBuilder(length + 1)
  const spans = makeFieldSpans()
  for (let at = 0; at < length; at = spans[2 * FIELD_COUNT - 1]! + 1) {
    const end = ordinaryBetEnd(bytes, at, length, separators.field, spans)
    if (end !== -1 && (end === length || bytes[end] === separators.row)) {
      builder.addOrdinary(bytes, spans)
      continue
    }
    const index = builder.count
    const fields = markPlainFields(bytes, at, separators, spans)
    if (fields < FIELD_COUNT) {
      return badMessage(`expected ${FIELD_COUNT} fields, got ${fields}`, { index })
    }
    const problem = builder.add(bytes, spans)
    if (problem !== undefined) return badMessage(`${problem.field}: ${problem.message}`, { index })
  }
  return Result.succeed(builder.build())
}

/** Marks the fields of the bet at `start`; returns their number, at most five. */
const markPlainFields = (
  bytes: Uint8Array,
  start: number,
  separators: Separators,
  spans: FieldSpans
): number => {
  let field = 0
  let at = start
  spans[0] = start
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === separators.field && field < FIELD_COUNT - 1) {
      spans[2 * field + 1] = at
      field++
      spans[2 * field] = at + 1
    } else if (byte === separators.row) {
      break
    }
  }
  spans[2 * field + 1] = at
  return field + 1
}

const utf8 = new TextEncoder()
const BIRTHDATE_BYTES = 10

/** Bytes to leave free before and after the encoded bets. */
interface Room {
  readonly before: number
  readonly after: number
}

const NO_ROOM: Room = { before: 0, after: 0 }

/** Encodes a batch with a separator after every bet. Fails if a field contains a separator. */
export const encodePlainRows = (
  batch: BetBatch,
  separators: Separators,
  room = NO_ROOM
): Result.Result<Uint8Array, BadMessage> => {
  const { bytes } = batch
  const isCanonical = separators.field === COMMA && separators.row === LF
  if (!has(bytes, QUOTE) && (isCanonical || !has(bytes, separators.field))) {
    return Result.succeed(
      isCanonical && room === NO_ROOM ? bytes : withSeparators(bytes, separators, room)
    )
  }
  const separator = String.fromCharCode(separators.field)
  const end = String.fromCharCode(separators.row)
  let plain = ""
  let index = 0
  for (const row of batch.rows()) {
    const fields = splitRow(row)
    if (fields.some((field) => field.includes(separator))) {
      return badMessage(`a name cannot contain "${separator}" in this dialect`, { index })
    }
    plain += fields.join(separator) + end
    index++
  }
  const encoded = utf8.encode(plain)
  const roomy = new Uint8Array(room.before + encoded.length + room.after)
  roomy.set(encoded, room.before)
  return Result.succeed(roomy)
}

/** Whether `bytes` include `byte`; thirty times as fast as `TypedArray.includes`. */
const has = (bytes: Uint8Array, byte: number): boolean =>
  Buffer.prototype.indexOf.call(bytes, byte) !== -1

/** Copies canonical rows without quotes and replaces their separators. */
const withSeparators = (rows: Uint8Array, separators: Separators, room: Room): Uint8Array => {
  const { before } = room
  const end = before + rows.length
  const plain = new Uint8Array(end + room.after)
  plain.set(rows, before)
  /** Replaces the next `separator` after `at`; returns its end. */
  const replace = (at: number, separator: number, by: number): number => {
    let next = at
    while (next < end && plain[next] !== separator) next++
    if (next < end) plain[next] = by
    return next + 1
  }
  // Skipping the birthdate, and each field in a loop of its own, takes half the time of one loop
  // over all bytes.
  for (let at = before; at < end; ) {
    at = replace(at, COMMA, separators.field)
    at = replace(at, COMMA, separators.field)
    at = replace(at, COMMA, separators.field)
    at = replace(at + BIRTHDATE_BYTES, COMMA, separators.field)
    at = replace(at, LF, separators.row)
  }
  return plain
}
