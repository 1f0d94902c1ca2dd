/**
 * Bets as the two older dialects write them: plain fields between separators, nothing quoted.
 * A field therefore cannot hold a separator. Pure: bytes in, a batch out, and back.
 */
import { Result } from "effect"
import { type BetBatch, BetBatchBuilder } from "../domain/BetBatch.ts"
import { ordinaryBetEnd } from "../domain/BetCheck.ts"
import {
  COMMA,
  FIELD_COUNT,
  type FieldSpans,
  LF,
  makeFieldSpans,
  QUOTE,
  splitRow
} from "../domain/BetRow.ts"
import { type BadMessage, badMessage } from "./BytesCodec.ts"

/** The bytes between two fields and after a bet; they may be the same. */
export interface Separators {
  readonly field: number
  readonly row: number
}

// Used for every message: memory that is asked for anew costs as much as the bets in it.
const builder = new BetBatchBuilder()
const spans = makeFieldSpans()

/**
 * Decodes bets, the last of which may lack its end. Every field is checked. Fails with the index of
 * the first bad bet.
 */
export const decodePlainRows = (
  bytes: Uint8Array,
  separators: Separators
): Result.Result<BetBatch, BadMessage> => {
  const { length } = bytes
  for (let at = 0; at < length; at = spans[2 * FIELD_COUNT - 1]! + 1) {
    const end = ordinaryBetEnd(bytes, at, length, separators.field, spans)
    if (end !== -1 && (end === length || bytes[end] === separators.row)) {
      builder.addOrdinary(bytes, spans)
      continue
    }
    const fields = markPlainFields(bytes, at, separators, spans)
    const problem =
      fields < FIELD_COUNT
        ? `expected ${FIELD_COUNT} fields, got ${fields}`
        : describe(builder.add(bytes, spans))
    if (problem !== undefined) {
      const index = builder.count
      builder.clear()
      return badMessage(problem, { index })
    }
  }
  return Result.succeed(builder.build())
}

/** Marks the fields of the bet that begins at `start`; gives their number, five at most. */
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

const describe = (problem: ReturnType<BetBatchBuilder["add"]>): string | undefined =>
  problem === undefined ? undefined : `${problem.field}: ${problem.message}`

const utf8 = new TextEncoder()
const text = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * Encodes a batch, every bet with its end. Fails with the index of the first bet that has a
 * separator in a field.
 */
export const encodePlainRows = (
  batch: BetBatch,
  separators: Separators
): Result.Result<Uint8Array, BadMessage> => {
  const { bytes } = batch
  const isCanonical = separators.field === COMMA && separators.row === LF
  if (isCanonical && !bytes.includes(QUOTE)) return Result.succeed(bytes)
  const plain = new Uint8Array(bytes.length)
  let start = 0
  let length = 0
  for (let index = 0; index < batch.count; index++) {
    const copied = copyOrdinaryRow(bytes, start, separators, plain, length)
    if (copied > 0) {
      start += copied
      length += copied
      continue
    }
    const end = bytes.indexOf(LF, start)
    const row = encodeRow(bytes.subarray(start, end), separators, index)
    if (Result.isFailure(row)) return Result.fail(row.failure)
    plain.set(row.success, length)
    start = end + 1
    length += row.success.length
  }
  return Result.succeed(plain.subarray(0, length))
}

/**
 * Copies the row at `start` with the dialect's separators. Gives the number of its bytes, or 0 if
 * it has a quote or a separator in a field. A function of its own: inside the loop over the rows
 * V8 does not compile the loop over the bytes well.
 */
const copyOrdinaryRow = (
  bytes: Uint8Array,
  start: number,
  { field, row }: Separators,
  into: Uint8Array,
  at: number
): number => {
  for (let from = start, to = at; ; from++, to++) {
    const byte = bytes[from]!
    if (byte === LF) {
      into[to] = row
      return from + 1 - start
    }
    if (byte === COMMA) into[to] = field
    else if (byte === QUOTE || byte === field || byte === row) return 0
    else into[to] = byte
  }
}

/** Encodes any row, which comes without its end. */
const encodeRow = (
  row: Uint8Array,
  separators: Separators,
  index: number
): Result.Result<Uint8Array, BadMessage> => {
  const separator = String.fromCharCode(separators.field)
  const fields = splitRow(text.decode(row))
  // No field has a line end, the one other separator that there is.
  return fields.some((field) => field.includes(separator))
    ? badMessage(`a name cannot hold "${separator}" in this dialect`, { index })
    : Result.succeed(utf8.encode(fields.join(separator) + String.fromCharCode(separators.row)))
}
