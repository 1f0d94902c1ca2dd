/**
 * The bets of the binary and JSON dialects: fields between separators, without quotes, so a field
 * cannot contain a separator. Pure.
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

/** The bytes between two fields and after a bet. They may be equal. */
interface Separators {
  readonly field: number
  readonly row: number
}

/**
 * Decodes bets and checks every field. The last bet may lack its separator. Fails with the index of
 * the first invalid bet.
 */
export const decodePlainRows = (
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

/** Encodes a batch with a separator after every bet. Fails if a field contains a separator. */
export const encodePlainRows = (
  batch: BetBatch,
  separators: Separators
): Result.Result<Uint8Array, BadMessage> => {
  const { bytes } = batch
  const isCanonical = separators.field === COMMA && separators.row === LF
  if (!bytes.includes(QUOTE) && (isCanonical || !bytes.includes(separators.field))) {
    return Result.succeed(isCanonical ? bytes : withSeparators(bytes, separators))
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
  return Result.succeed(utf8.encode(plain))
}

const EVERY_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => byte)

/** Copies canonical rows without quotes and replaces their separators. */
const withSeparators = (rows: Uint8Array, { field, row }: Separators): Uint8Array => {
  // Two branches per byte instead of this table take 50% longer.
  const written = EVERY_BYTE.slice()
  written[COMMA] = field
  written[LF] = row
  const plain = new Uint8Array(rows.length)
  for (let at = 0; at < rows.length; at++) plain[at] = written[rows[at]!]!
  return plain
}
