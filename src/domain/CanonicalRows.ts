/**
 * Checks canonical rows from a peer in place, without an object or a string per bet, and uses their
 * bytes as a batch. Only unusual rows, such as those with quotes, take a slower path.
 */
import { Result } from "effect"
import { BetBatch, BetBatchBuilder } from "./BetBatch.ts"
import { type BetProblem, betProblem, decodeUtf8, ordinaryBetEnd } from "./BetCheck.ts"
import * as Row from "./BetRow.ts"

interface RowsProblem {
  readonly reason: string
  /** The invalid row, counted from 0; undefined if the number of rows is wrong. */
  readonly index?: number
}

/** Counts the rows of `bytes`. Checks every field of each, and that it is canonical. */
export const countRows = (bytes: Uint8Array): Result.Result<number, RowsProblem> => {
  const { length } = bytes
  const spans = Row.makeFieldSpans()
  let start = 0
  let index = 0
  while (start < length) {
    let end = ordinaryBetEnd(bytes, start, length, Row.COMMA, spans)
    if (end === -1 || bytes[end] !== Row.LF || hasLeadingZero(bytes, spans)) {
      end = bytes.indexOf(Row.LF, start)
      if (end === -1) return Result.fail({ reason: "line: expected a row that ends in LF", index })
      const problem = rowProblem(bytes.subarray(start, end + 1))
      if (problem !== undefined) {
        return Result.fail({ reason: `${problem.field}: ${problem.message}`, index })
      }
    }
    start = end + 1
    index++
  }
  return Result.succeed(index)
}

/**
 * Makes a batch of `count` bets of `bytes`, which the batch owns from then on. Checks every row, so
 * that equal bets have equal bytes.
 */
export const batchFromRows = (
  bytes: Uint8Array,
  count: number
): Result.Result<BetBatch, RowsProblem> =>
  Result.flatMap(countRows(bytes), (rows) =>
    rows === count
      ? Result.succeed(new BetBatch(bytes, count))
      : Result.fail({ reason: `expected ${count} rows, got ${rows}` })
  )

const hasLeadingZero = (bytes: Uint8Array, spans: Row.FieldSpans): boolean =>
  bytes[spans[8]!] === Row.ZERO && spans[9]! - spans[8]! > 1

const wrongFieldCount: BetProblem = {
  field: "line",
  message: `expected ${Row.FIELD_COUNT} fields separated by commas`
}

/** `row` includes its LF. */
const rowProblem = (row: Uint8Array): BetProblem | undefined => {
  if (row.includes(Row.QUOTE)) return quotedRowProblem(row)
  const spans = Row.makeFieldSpans()
  if (!Row.markFields(row, 0, row.length - 1, Row.COMMA, spans)) return wrongFieldCount
  const problem = betProblem(row, spans)
  return problem === undefined && hasLeadingZero(row, spans)
    ? { field: "number", message: "expected no leading zeros in a canonical row" }
    : problem
}

const quotedRowProblem = (row: Uint8Array): BetProblem | undefined => {
  const text = decodeUtf8(row.subarray(0, -1))
  if (text === undefined) return { field: "line", message: "expected valid UTF-8" }
  const fields = Row.splitQuoted(text)
  if (fields?.length !== Row.FIELD_COUNT) return wrongFieldCount
  const builder = new BetBatchBuilder(row.length)
  const problem = builder.addTexts(fields)
  const isCanonical = Buffer.compare(builder.bytes, row) === 0
  return problem !== undefined || isCanonical
    ? problem
    : {
        field: "line",
        message: "expected quotes only around a field with a comma or a quote, and no leading zeros"
      }
}
