/**
 * Batches of bets as validated canonical rows. Codecs check every field when they decode a batch;
 * later only a store that needs columns parses the rows again.
 */
import { Schema, SchemaTransformation } from "effect"
import { Bet, textsOf } from "./Bet.ts"
import { type BetProblem, betProblem } from "./BetCheck.ts"
import * as Row from "./BetRow.ts"

const text = new TextDecoder("utf-8", { ignoreBOM: true })
const NOTHING = new Uint8Array(0)

/** Bets of one agency, in book order. Equal rows are different bets. */
export class BetBatch {
  /** The canonical rows. Each run contains whole rows and is never written to. */
  readonly runs: ReadonlyArray<Uint8Array>
  readonly count: number
  /** How many bytes in front of the only run belong to this batch. */
  readonly #room: number
  private joined: Uint8Array | undefined

  /** Takes ownership of `runs`, which must contain `count` valid canonical rows in total. */
  constructor(runs: Uint8Array | ReadonlyArray<Uint8Array>, count: number, room = 0) {
    this.runs = runs instanceof Uint8Array ? [runs] : runs
    this.count = count
    this.#room = room
  }

  static readonly empty = new BetBatch(NOTHING, 0)

  /** Joins batches; shares their bytes. */
  static concat(batches: ReadonlyArray<BetBatch>): BetBatch {
    const count = batches.reduce((sum, batch) => sum + batch.count, 0)
    return new BetBatch(
      batches.flatMap((batch) => batch.runs),
      count
    )
  }

  static fromBets(bets: Iterable<Bet>): BetBatch {
    const builder = new BetBatchBuilder()
    for (const bet of bets) builder.addTexts(textsOf(bet))
    return builder.build()
  }

  get byteLength(): number {
    return this.runs.reduce((sum, run) => sum + run.length, 0)
  }

  /** The rows in one array; several runs are joined once and cached. */
  get bytes(): Uint8Array {
    this.joined ??= this.runs.length === 1 ? this.runs[0]! : Buffer.concat(this.runs)
    return this.joined
  }

  /**
   * Returns `header` bytes, which the caller writes, and the rows after them. A batch from a
   * builder has room for a header of up to `HEADER_ROOM` bytes, so its rows are not copied.
   */
  bytesAfter(header: number): Uint8Array {
    const { bytes } = this
    const room = this.#room
    if (header <= room) {
      return new Uint8Array(bytes.buffer, bytes.byteOffset - header, header + bytes.length)
    }
    const copy = new Uint8Array(header + bytes.length)
    copy.set(bytes, header)
    return copy
  }

  *[Symbol.iterator](): Generator<Bet> {
    for (const row of this.rows()) {
      const [firstName = "", lastName = "", document = "", birthdate = "", number] =
        Row.splitRow(row)
      const fields = { firstName, lastName, document, birthdate, number: Number(number) }
      yield new Bet(fields, { disableChecks: true })
    }
  }

  /** Yields each row as text, without its line ending. */
  *rows(): Generator<string> {
    let start = 0
    while (start < this.bytes.length) {
      const end = this.bytes.indexOf(Row.LF, start)
      yield text.decode(this.bytes.subarray(start, end))
      start = end + 1
    }
  }

  /** Returns the batch without its first `bets` bets; shares the bytes. */
  drop(bets: number): BetBatch {
    if (bets === 0) return this
    return new BetBatch(this.bytes.subarray(this.endOf(bets)), this.count - bets)
  }

  /** Returns the first `bets` bets, or all if there are fewer; shares the bytes. */
  take(bets: number): BetBatch {
    if (bets >= this.count) return this
    return new BetBatch(this.bytes.subarray(0, this.endOf(bets)), bets)
  }

  private endOf(bets: number): number {
    if (bets === this.count) return this.bytes.length
    let end = 0
    for (let row = 0; row < bets; row++) end = this.bytes.indexOf(Row.LF, end) + 1
    return end
  }
}

/** The Schema of a batch; encoding leaves it unchanged. Random batches are made from `Bet`. */
export const BetBatchSchema = Schema.declare(
  (value): value is BetBatch => value instanceof BetBatch,
  {
    identifier: "BetBatch",
    toCodecArbitrary: () =>
      Schema.link<BetBatch>()(
        Schema.Array(Bet),
        SchemaTransformation.transform({
          decode: (bets) => BetBatch.fromBets(bets),
          encode: (batch) => [...batch]
        })
      )
  }
)

/** The largest header for which `BetBatch.bytesAfter` copies nothing. */
export const HEADER_ROOM = 16

const WORD_BYTES = 4

/** Collects bets into a batch. */
export class BetBatchBuilder {
  count = 0
  byteLength = 0
  private buffer: Uint8Array<ArrayBuffer>
  private view: DataView
  /** The last source of bets, which is usually that of the next bet too. */
  private source: Uint8Array = NOTHING
  private sourceView: DataView = new DataView(NOTHING.buffer)
  private readonly spans = Row.makeFieldSpans()

  constructor(capacityBytes = 4096) {
    this.buffer = new Uint8Array(capacityBytes)
    this.view = new DataView(this.buffer.buffer)
  }

  /** The rows so far: a view, valid until the next change. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.byteLength)
  }

  /**
   * Adds the bet whose fields `spans` marks in `source`. If a field is invalid, returns the first
   * problem and adds nothing.
   */
  add(source: Uint8Array, spans: Row.FieldSpans): BetProblem | undefined {
    const problem = betProblem(source, spans)
    if (problem !== undefined) return problem
    // Quoting at most doubles a field and adds two quotes; a comma or LF follows.
    this.reserve(2 * (spans[9]! - spans[0]!) + 3 * Row.FIELD_COUNT)
    for (let field = 0; field < Row.FIELD_COUNT - 1; field++) {
      this.writeField(source, spans[2 * field]!, spans[2 * field + 1]!)
      this.buffer[this.byteLength++] = Row.COMMA
    }
    this.write(source, numberStart(source, spans[8]!, spans[9]!), spans[9]!)
    this.buffer[this.byteLength++] = Row.LF
    this.count++
    return undefined
  }

  /** Adds the bet that `ordinaryBetEnd` accepted and marked in `source`, without more checks. */
  addOrdinary(source: Uint8Array, spans: Row.FieldSpans): void {
    const start = spans[0]!
    const number = spans[8]!
    const row = this.byteLength
    this.addRow(source, start, spans[9]!)
    const { buffer } = this
    if (source[spans[1]!] !== Row.COMMA) {
      for (let field = 0; field < Row.FIELD_COUNT - 1; field++) {
        buffer[row + spans[2 * field + 1]! - start] = Row.COMMA
      }
    }
    const zeros = numberStart(source, number, spans[9]!) - number
    if (zeros === 0) return
    buffer.copyWithin(row + number - start, row + number - start + zeros, this.byteLength)
    this.byteLength -= zeros
  }

  /** Copies the row in `[start, end)`, which lacks its LF. */
  private addRow(source: Uint8Array, start: number, end: number): void {
    this.reserve(end - start + 1)
    if (source !== this.source) {
      this.source = source
      this.sourceView = new DataView(source.buffer, source.byteOffset, source.byteLength)
    }
    const { byteLength, sourceView, view } = this
    const moved = byteLength - start
    // Words take half the time of bytes. The last one overlaps the one before it: a row has at
    // least 18 bytes.
    const last = end - WORD_BYTES
    for (let at = start; at < last; at += WORD_BYTES) {
      view.setInt32(at + moved, sourceView.getInt32(at))
    }
    view.setInt32(last + moved, sourceView.getInt32(last))
    this.buffer[end + moved] = Row.LF
    this.byteLength = end + moved + 1
    this.count++
  }

  /** Adds the bet with these five fields; see `add`. */
  addTexts(fields: ReadonlyArray<string>): BetProblem | undefined {
    return this.add(Row.joinFields(fields, this.spans), this.spans)
  }

  /** Returns the batch and clears the builder. */
  build(): BetBatch {
    const { byteLength, count } = this
    const bytes = new Uint8Array(HEADER_ROOM + byteLength).subarray(HEADER_ROOM)
    bytes.set(this.bytes)
    const batch = new BetBatch(bytes, count, HEADER_ROOM)
    this.clear()
    return batch
  }

  clear(): void {
    this.byteLength = 0
    this.count = 0
    // A builder may outlive a source of several megabytes.
    this.source = NOTHING
    if (this.buffer.length > MAX_KEPT_BYTES) this.use(new Uint8Array(MAX_KEPT_BYTES))
  }

  private reserve(bytes: number): void {
    const needed = this.byteLength + bytes
    if (needed <= this.buffer.length) return
    const larger = new Uint8Array(Math.max(needed, 2 * this.buffer.length))
    larger.set(this.bytes)
    this.use(larger)
  }

  private use(buffer: Uint8Array<ArrayBuffer>): void {
    this.buffer = buffer
    this.view = new DataView(buffer.buffer)
  }

  private write(source: Uint8Array, start: number, end: number): void {
    const { buffer } = this
    let length = this.byteLength
    for (let at = start; at < end; at++) buffer[length++] = source[at]!
    this.byteLength = length
  }

  private writeField(source: Uint8Array, start: number, end: number): void {
    if (!needsQuotes(source, start, end)) {
      this.write(source, start, end)
      return
    }
    this.buffer[this.byteLength++] = Row.QUOTE
    for (let at = start; at < end; at++) {
      if (source[at] === Row.QUOTE) this.buffer[this.byteLength++] = Row.QUOTE
      this.buffer[this.byteLength++] = source[at]!
    }
    this.buffer[this.byteLength++] = Row.QUOTE
  }
}

/** The largest buffer that a builder keeps for the next batch. */
const MAX_KEPT_BYTES = 1024 * 1024

/** Returns the start of the digits after leading zeros; at least one digit remains. */
const numberStart = (bytes: Uint8Array, start: number, end: number): number => {
  let at = start
  while (at < end - 1 && bytes[at] === Row.ZERO) at++
  return at
}

const needsQuotes = (bytes: Uint8Array, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    if (bytes[at] === Row.COMMA || bytes[at] === Row.QUOTE) return true
  }
  return false
}
