/** Reads a book once, in constant memory: its digest, its rows and its winners. */
import { Effect, Result, Stream } from "effect"
import * as BookFile from "../../client/book/BookFile.ts"
import { LF, MAX_ROW_BYTES } from "../../domain/BetRow.ts"
import { countRows } from "../../domain/CanonicalRows.ts"
import { type BookDigest, MarkedHash } from "../../domain/seal/MarkedDigest.ts"

interface BadRow {
  readonly row: number
  readonly reason: string
  readonly isCrlf: boolean
}

/** How the reason of a row ends that ends in CR. */
const CR_REASON = '\\r"'

export interface Scanned extends BookDigest {
  readonly bets: number
  /** Rows with the number; undefined if it is not known. */
  readonly winners: number | undefined
  /** The first row that is not a canonical bet, counted from 1. The rows after it do not count. */
  readonly bad: BadRow | undefined
}

/** How a winning row ends. */
export const winningEnd = (number: number): Buffer => Buffer.from(`,${number}\n`)

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Scans canonical rows in pieces of any size. It does no I/O. */
export class RowScan {
  private readonly hash = new MarkedHash()
  private readonly end: Buffer | undefined
  private bets = 0
  private winners = 0
  private bad: Scanned["bad"]
  /** The beginning of an incomplete row. */
  private carried: Buffer = Buffer.alloc(0)

  constructor(number: number | undefined) {
    this.end = number === undefined ? undefined : winningEnd(number)
  }

  /** The caller may reuse the memory of `piece` afterwards. */
  push(piece: Uint8Array): void {
    this.hash.update(piece)
    if (this.bad !== undefined) return
    const bytes = bufferOf(piece)
    const rows = bytes.lastIndexOf(LF) + 1
    let start = 0
    if (rows > 0 && this.carried.length > 0) {
      start = bytes.indexOf(LF) + 1
      this.take(Buffer.concat([this.carried, bytes.subarray(0, start)]))
    }
    if (rows > 0) {
      this.carried = Buffer.alloc(0)
      this.take(bytes.subarray(start, rows))
    }
    if (rows < bytes.length) this.carried = Buffer.concat([this.carried, bytes.subarray(rows)])
    if (this.carried.length > MAX_ROW_BYTES) {
      this.refuse(`expected at most ${MAX_ROW_BYTES} bytes`)
    }
  }

  finish(): Scanned {
    if (this.carried.length > 0) this.refuse("expected a row that ends in LF")
    const { bad, bets, end, winners } = this
    return { ...this.hash.digest(), bets, bad, winners: end === undefined ? undefined : winners }
  }

  private take(rows: Buffer): void {
    if (this.bad !== undefined) return
    const counted = countRows(rows)
    if (Result.isSuccess(counted)) {
      this.count(rows, counted.success)
      return
    }
    const { index = 0, reason } = counted.failure
    this.count(rows.subarray(0, endOfRows(rows, index)), index)
    this.refuse(reason)
  }

  private count(rows: Buffer, bets: number): void {
    this.bets += bets
    if (this.end === undefined) return
    for (const _ of endsIn(rows, this.end)) this.winners++
  }

  private refuse(reason: string): void {
    this.bad ??= { row: this.bets + 1, reason, isCrlf: reason.endsWith(CR_REASON) }
  }
}

/** Returns the length of the first rows in bytes. */
const endOfRows = (rows: Buffer, count: number): number => {
  let end = 0
  for (let index = 0; index < count; index++) end = rows.indexOf(LF, end) + 1
  return end
}

/** Yields where each `end` begins. */
export function* endsIn(rows: Buffer, end: Buffer): Generator<number> {
  for (let at = rows.indexOf(end); at !== -1; at = rows.indexOf(end, at + end.length)) yield at
}

export const scan = Effect.fn("BookScan.scan")(function* (
  file: string,
  number: number | undefined
) {
  const rows = new RowScan(number)
  yield* Stream.runForEach(BookFile.piecesOf(file, file), (piece) =>
    Effect.sync(() => rows.push(piece))
  )
  return rows.finish()
}, Effect.scoped)
