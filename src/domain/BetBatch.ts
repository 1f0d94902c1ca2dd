/**
 * The currency of the system: validated canonical rows, as bytes and a count. A codec decodes into
 * a batch with every field checked; from there to the store nothing is parsed again unless the
 * store needs columns.
 */
import { Schema, SchemaTransformation } from "effect"
import { Bet, textsOf } from "./Bet.ts"
import { type BetProblem, betProblem } from "./BetCheck.ts"
import * as Row from "./BetRow.ts"

const text = new TextDecoder("utf-8", { ignoreBOM: true })

/** Some bets of one agency's book, in the book's order. Equal rows are different bets. */
export class BetBatch {
  /** `count` canonical rows in runs, none of which ends within a row. Never written to. */
  readonly runs: ReadonlyArray<Uint8Array>
  readonly count: number
  private joined: Uint8Array | undefined

  /** Takes over `runs`, `count` valid canonical rows as `BetBatchBuilder` makes them. */
  constructor(runs: Uint8Array | ReadonlyArray<Uint8Array>, count: number) {
    this.runs = runs instanceof Uint8Array ? [runs] : runs
    this.count = count
  }

  static readonly empty = new BetBatch(new Uint8Array(0), 0)

  /** One batch of several; shares their bytes. */
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

  /** The rows in one run; of several they are copied, once. */
  get bytes(): Uint8Array {
    this.joined ??= this.runs.length === 1 ? this.runs[0]! : Buffer.concat(this.runs)
    return this.joined
  }

  /** Reads the bets one by one. */
  *[Symbol.iterator](): Generator<Bet> {
    for (const row of this.rows()) {
      const [firstName = "", lastName = "", document = "", birthdate = "", number] =
        Row.splitRow(row)
      const fields = { firstName, lastName, document, birthdate, number: Number(number) }
      yield new Bet(fields, { disableChecks: true })
    }
  }

  /** Reads the rows one by one as text, without their line ends. */
  *rows(): Generator<string> {
    let start = 0
    while (start < this.bytes.length) {
      const end = this.bytes.indexOf(Row.LF, start)
      yield text.decode(this.bytes.subarray(start, end))
      start = end + 1
    }
  }

  /** The batch without its first `bets` bets; shares the bytes. */
  drop(bets: number): BetBatch {
    if (bets === 0) return this
    return new BetBatch(this.bytes.subarray(this.endOf(bets)), this.count - bets)
  }

  /** The first `bets` bets of the batch, or all that it has; shares the bytes. */
  take(bets: number): BetBatch {
    if (bets >= this.count) return this
    return new BetBatch(this.bytes.subarray(0, this.endOf(bets)), bets)
  }

  /** Where the first `bets` rows end. */
  private endOf(bets: number): number {
    if (bets === this.count) return this.bytes.length
    let end = 0
    for (let row = 0; row < bets; row++) end = this.bytes.indexOf(Row.LF, end) + 1
    return end
  }
}

/** A batch as a Schema, whose encoded side is the batch itself. Generated from bets. */
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

/** Collects bets into a batch; every field is checked on the way in. */
export class BetBatchBuilder {
  /** How many bets were added, and how many bytes their rows have. */
  count = 0
  byteLength = 0
  private buffer: Uint8Array<ArrayBuffer>
  private readonly spans = Row.makeFieldSpans()

  constructor(capacityBytes = 4096) {
    this.buffer = new Uint8Array(capacityBytes)
  }

  /** The rows that the batch has so far; a view, good until something is added. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.byteLength)
  }

  /**
   * Adds the bet whose five fields `spans` marks in `source`. Returns what is wrong with the first
   * bad field, and adds nothing then.
   */
  add(source: Uint8Array, spans: Row.FieldSpans): BetProblem | undefined {
    const problem = betProblem(source, spans)
    if (problem !== undefined) return problem
    // Quoting at most doubles a field and adds two quotes; a comma or the line end follows.
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

  /** Adds the bet that `ordinaryBetEnd` marked in `source`. */
  addOrdinary(source: Uint8Array, spans: Row.FieldSpans): void {
    const start = spans[0]!
    const number = spans[8]!
    this.reserve(spans[9]! - start + 1)
    const row = this.byteLength
    this.write(source, start, number)
    // Another dialect's separators become commas.
    for (let field = 0; field < Row.FIELD_COUNT - 1; field++) {
      this.buffer[row + spans[2 * field + 1]! - start] = Row.COMMA
    }
    this.write(source, numberStart(source, number, spans[9]!), spans[9]!)
    this.buffer[this.byteLength++] = Row.LF
    this.count++
  }

  /** Adds the bet with these five texts; as `add`. */
  addTexts(fields: ReadonlyArray<string>): BetProblem | undefined {
    return this.add(Row.joinFields(fields, this.spans), this.spans)
  }

  /** The batch of what was added; the builder starts anew. */
  build(): BetBatch {
    const batch = new BetBatch(this.bytes.slice(), this.count)
    this.clear()
    return batch
  }

  /** Forgets what was added; gives back room that is much more than usual. */
  clear(): void {
    this.byteLength = 0
    this.count = 0
    if (this.buffer.length > KEPT_BYTES) this.buffer = new Uint8Array(KEPT_BYTES)
  }

  /** Makes room for more bytes. */
  private reserve(bytes: number): void {
    const needed = this.byteLength + bytes
    if (needed <= this.buffer.length) return
    const larger = new Uint8Array(Math.max(needed, 2 * this.buffer.length))
    larger.set(this.bytes)
    this.buffer = larger
  }

  // A loop over a few bytes, with locals, is several times as fast as TypedArray.set.
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

/** The most room that a builder keeps from one batch to the next. */
const KEPT_BYTES = 1024 * 1024

/** Where the digits begin once leading zeros are dropped; the last digit always stays. */
const numberStart = (bytes: Uint8Array, start: number, end: number): number => {
  let at = start
  while (at < end - 1 && bytes[at] === Row.ZERO) at++
  return at
}

/** Whether the field in `[start, end)` must be quoted in a row. */
const needsQuotes = (bytes: Uint8Array, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    if (bytes[at] === Row.COMMA || bytes[at] === Row.QUOTE) return true
  }
  return false
}
