/** An agency's own copy of its book, in the canonical form in which a client sends it. */
import { Effect, Stream } from "effect"
import * as BookFile from "../../client/book/BookFile.ts"
import { BookParser } from "../../client/book/BookParser.ts"
import { LF, MAX_ROW_BYTES } from "../../domain/BetRow.ts"
import * as BookBytes from "./BookBytes.ts"
import { RowScan } from "./BookScan.ts"

/** Rows that are read at a time. */
const BATCH_BYTES = 256 * 1024

/** There are no batches: the rows are only compared. */
const OPTIONS = { batchSize: Number.POSITIVE_INFINITY, maxBatchBytes: BATCH_BYTES }

/**
 * Reads the canonical rows. Bad lines are left out, as by a client with `--rejects`; fails if the
 * file may have been cut off.
 */
const reading = (file: string, today: string) => {
  const batches: Array<Buffer> = []
  const options = { ...OPTIONS, name: file, skipBadLines: true, today }
  const parser = new BookParser(options, (builder) => {
    batches.push(Buffer.from(builder.bytes))
    builder.clear()
  })
  const pieces = Stream.concat(BookFile.piecesOf(file, file), Stream.succeed(undefined))
  const rows = pieces.pipe(
    Stream.mapEffect((piece) => {
      if (piece === undefined) parser.finish()
      else parser.push(piece)
      parser.rejected.length = 0
      return parser.failure === undefined
        ? Effect.succeed(batches.splice(0))
        : Effect.fail(parser.failure)
    }),
    Stream.flattenIterable
  )
  return { parser, rows }
}

/** The first bet in which two books differ; a row is undefined after the end of its book. */
export interface Difference {
  /** Counted from 1. */
  readonly bet: number
  readonly own: Buffer | undefined
  readonly given: Buffer | undefined
}

const rowAt = (bytes: Buffer, start: number): Buffer | undefined => {
  if (start >= bytes.length) return undefined
  const end = bytes.indexOf(LF, start)
  return bytes.subarray(start, end === -1 ? bytes.length : end + 1)
}

/** Compares the rows of two parts of books, of which `own` has only whole rows. */
const firstDifference = (own: Buffer, given: Buffer) => {
  let start = 0
  let row = 0
  for (;;) {
    const one = rowAt(own, start)
    const other = rowAt(given, start)
    if (one === undefined || other === undefined || !one.equals(other)) {
      return { row, own: one, given: other, start }
    }
    start += one.length
    row++
  }
}

/** Reads an own copy and scans it as a book. */
export const scan = Effect.fn("OwnCopy.scan")(function* (file: string, today: string) {
  const scanned = new RowScan(undefined)
  const { parser, rows } = reading(file, today)
  yield* Stream.runForEach(rows, (bytes) => Effect.sync(() => scanned.push(bytes)))
  const { badLines, shownBadLines } = parser
  return { ...scanned.finish(), badLines, firstBadLine: shownBadLines[0] }
}, Effect.scoped)

/** Finds the first bet in which a given book differs from the own copy; undefined if none does. */
export const compare = Effect.fn("OwnCopy.compare")(function* (
  own: string,
  given: string,
  today: string
) {
  const book = yield* BookBytes.open(given)
  let at = 0
  let bets = 0
  let found: Difference | undefined
  yield* reading(own, today).rows.pipe(
    Stream.takeUntil(() => found !== undefined),
    Stream.runForEach((bytes) =>
      Effect.gen(function* () {
        if (found !== undefined) return
        const same = yield* book.read(at, bytes.length)
        if (!same.equals(bytes)) {
          // The row that differs may be longer in the given book.
          const more = yield* book.read(at, bytes.length + MAX_ROW_BYTES)
          const { row, ...rows } = firstDifference(bytes, more)
          found = { bet: bets + row + 1, own: rows.own, given: rows.given }
          return
        }
        at += bytes.length
        for (let lf = bytes.indexOf(LF); lf !== -1; lf = bytes.indexOf(LF, lf + 1)) bets++
      })
    )
  )
  if (found !== undefined || at >= book.size) return found
  const rest = yield* book.read(at, MAX_ROW_BYTES)
  return { bet: bets + 1, own: undefined, given: rowAt(rest, 0) } satisfies Difference
}, Effect.scoped)
