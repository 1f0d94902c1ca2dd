/**
 * Parses an agency's book into batches: UTF-8 CSV, LF or CRLF line endings, five fields per line,
 * RFC 4180 quoting without line breaks in fields. Memory is bounded for any book size and line
 * length. An ordinary line creates no string or object; all others take a slower path.
 */
import { Data } from "effect"
import { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { type BetProblem, decodeUtf8, ordinaryBetEnd } from "../../domain/BetCheck.ts"
import * as Row from "../../domain/BetRow.ts"
import { birthdateProblem } from "./Today.ts"

/** The longest line in bytes, without its line ending: over twice the size of the largest bet. */
const MAX_BOOK_LINE_BYTES = 1024

const INITIAL_BUILDER_BYTES = 256 * 1024

export const SHOWN_BAD_LINES = 20

/** A line of a book that is not a valid bet, or a single bet that cannot be sent. */
export class BadLine extends Data.TaggedError("BadLine")<{
  /** Undefined for a bet that is not from a file. */
  readonly file?: string
  /** Counted from 1. */
  readonly line: number
  /** The field, or "line" if the whole line is invalid. */
  readonly field: string
  readonly reason: string
}> {
  override get message(): string {
    const place = this.file === undefined ? "" : `${this.file}:${this.line}: `
    return `${place}${this.field}: ${this.reason}`
  }
}

/** A last line that has text but no line ending. It may be truncated. */
interface UnendedLine {
  readonly line: number
  /** The line, or the end of a long line. */
  readonly text: string
}

/**
 * Returns a problem if the dialect cannot represent the bet that `spans` marks in `source`. Not
 * called for ordinary bets: their names contain no separator of any dialect.
 */
export type DialectCheck = (source: Uint8Array, spans: Row.FieldSpans) => BetProblem | undefined

export interface BookOptions {
  /** The book's name in error messages. */
  readonly name: string
  readonly batchSize: number
  /** Maximum bytes per batch, in canonical form. A larger single bet is a bad line. */
  readonly maxBatchBytes: number
  readonly check?: DialectCheck | undefined
  /** Whether bad lines are skipped; otherwise parsing stops at the first one. */
  readonly skipBadLines: boolean
  /** How many skipped lines `BookParser.shownBadLines` gets at most; the default is 20. */
  readonly shownBadLines?: number
  /** The agency's local date as YYYY-MM-DD, the same in every pass over a book. */
  readonly today: string
}

const BOM = [0xef, 0xbb, 0xbf] as const
const NOTHING = new Uint8Array(0)

/** Parses a book from pieces of any size. It does no I/O. */
export class BookParser {
  /** The skipped lines unchanged, with their line endings. The caller removes them. */
  readonly rejected: Array<Uint8Array> = []
  /** The problems of the first skipped lines. The caller removes them. */
  readonly shownBadLines: Array<BadLine> = []
  badLines = 0
  /** The first bad line that is not skipped. Parsing stops there. */
  failure: BadLine | undefined
  unended: UnendedLine | undefined
  /** The number of the current line, counted from 1. */
  line = 1

  private readonly options: BookOptions
  private readonly take: (builder: BetBatchBuilder) => void
  private readonly year: number
  private readonly builder: BetBatchBuilder
  private readonly single = new BetBatchBuilder(512)
  private readonly spans = Row.makeFieldSpans()
  /** The beginning of an incomplete line. */
  private carried: Uint8Array = NOTHING
  /** Whether the next bytes belong to a line already refused as too long. */
  private inLongLine = false
  /** The empty line before the current one. It is bad unless it is the last line. */
  private emptyLine: Uint8Array | undefined

  /** `take` must empty the builder, which holds the bets of one batch. */
  constructor(
    options: BookOptions,
    take: (builder: BetBatchBuilder) => void,
    builder = new BetBatchBuilder(Math.min(options.maxBatchBytes, INITIAL_BUILDER_BYTES))
  ) {
    this.options = options
    this.take = take
    this.year = Number(options.today.slice(0, 4))
    this.builder = builder
  }

  /** Parses the next piece of the book. The caller may reuse its memory afterwards. */
  push(chunk: Uint8Array): void {
    if (this.carried.length === 0) {
      this.takeLines(chunk)
      return
    }
    const next = nextLine(chunk)
    const line = Buffer.concat([this.carried, chunk.subarray(0, next)])
    this.carried = NOTHING
    this.takeLines(line)
    this.takeLines(chunk.subarray(next))
  }

  /** Parses the end of the book. The last line needs no line ending. */
  finish(): void {
    if (this.failure !== undefined) return
    if (this.inLongLine) {
      // It has been counted and shown as a line that is skipped.
      this.badLines--
      if (this.shownBadLines.at(-1)?.line === this.line) this.shownBadLines.pop()
      this.badLine(LINE_TOO_LONG, { isUnended: true })
    }
    const last = this.carried
    if (last.length > 0) {
      const text = shownEnd(last)
      if (text !== "") this.unended = { line: this.line, text }
      this.takeLine(last, 0, last.length)
    }
    if (this.failure === undefined) this.flush()
  }

  private takeLines(bytes: Uint8Array): void {
    let start = this.inLongLine ? this.skipLongLine(bytes) : 0
    for (;;) {
      start = this.takeOrdinaryLines(bytes, start)
      if (start === bytes.length || this.failure !== undefined) return
      const end = bytes.indexOf(Row.LF, start)
      if (end === -1) {
        this.carry(bytes.subarray(start))
        return
      }
      this.takeLine(bytes, start, end + 1)
      if (this.failure !== undefined) return
      start = end + 1
    }
  }

  /** Keeps the beginning of a line for the next piece, or refuses it if it is already too long. */
  private carry(beginning: Uint8Array): void {
    // A CR may follow a line of the maximum length.
    if (beginning.length <= MAX_BOOK_LINE_BYTES + 1) {
      this.carried = new Uint8Array(beginning)
      return
    }
    this.refuseEmptyLine()
    if (this.failure !== undefined) return
    this.inLongLine = true
    this.badLine(LINE_TOO_LONG)
    this.reject(beginning)
  }

  /** Rejects the rest of a long line in `bytes`, and returns the start of the next line. */
  private skipLongLine(bytes: Uint8Array): number {
    const next = nextLine(bytes)
    this.reject(bytes.subarray(0, next))
    if (bytes[next - 1] === Row.LF) {
      this.inLongLine = false
      this.line++
    }
    return next
  }

  /** Adds the ordinary lines from `start` on. Returns the start of the first line that is not. */
  private takeOrdinaryLines(bytes: Uint8Array, start: number): number {
    if (this.emptyLine !== undefined) return start
    const { batchSize, maxBatchBytes } = this.options
    const { builder, spans, year } = this
    const { length } = bytes
    let next = start
    while (next < length) {
      const rowEnd = ordinaryBetEnd(bytes, next, length, Row.COMMA, spans, year)
      if (rowEnd === -1) break
      const end = bytes[rowEnd] === Row.CR ? rowEnd + 1 : rowEnd
      const atMost = rowEnd - next + 1
      if (bytes[end] !== Row.LF || atMost > maxBatchBytes) break
      if (builder.byteLength + atMost > maxBatchBytes) this.flush()
      builder.addOrdinary(bytes, spans)
      if (builder.count >= batchSize) this.flush()
      this.line++
      next = end + 1
    }
    return next
  }

  /** Adds or refuses the line in `[start, next)`, which includes its line ending. */
  private takeLine(bytes: Uint8Array, start: number, next: number): void {
    const hasEnd = bytes[next - 1] === Row.LF
    let end = hasEnd ? next - 1 : next
    if (end > start && bytes[end - 1] === Row.CR) end--
    this.refuseEmptyLine()
    if (this.failure !== undefined) return
    const first = this.line === 1 && hasBom(bytes, start, end) ? start + BOM.length : start
    if (first === end) {
      if (next > end) this.emptyLine = bytes.slice(start, next)
    } else {
      const problem = this.addLine(bytes.subarray(first, end))
      if (problem !== undefined) {
        this.badLine(problem, { isUnended: !hasEnd })
        this.reject(bytes.subarray(start, next))
      }
    }
    this.line++
  }

  private addLine(line: Uint8Array): BetProblem | undefined {
    if (line.length > MAX_BOOK_LINE_BYTES) return LINE_TOO_LONG
    if (line.includes(Row.QUOTE)) return this.addQuoted(line)
    if (Row.markFields(line, 0, line.length, Row.COMMA, this.spans)) return this.add(line)
    return wrongFieldCount(line.filter((byte) => byte === Row.COMMA).length + 1)
  }

  private addQuoted(line: Uint8Array): BetProblem | undefined {
    const text = decodeUtf8(line)
    if (text === undefined) return lineProblem("expected valid UTF-8")
    const fields = Row.splitQuoted(text)
    if (fields === undefined) return lineProblem("expected a closing quote followed by a comma")
    if (fields.length !== Row.FIELD_COUNT) return wrongFieldCount(fields.length)
    return this.add(Row.joinFields(fields, this.spans))
  }

  /** Adds the marked bet, to a new batch if the current one has no room for it. */
  private add(bytes: Uint8Array): BetProblem | undefined {
    const { batchSize, check, maxBatchBytes, today } = this.options
    // Only encoding the bet gives its size.
    const refused = check?.(bytes, this.spans) ?? this.single.add(bytes, this.spans)
    if (refused !== undefined) return refused
    const size = this.single.byteLength
    this.single.clear()
    const unborn = birthdateProblem(today, bytes, this.spans[6]!)
    if (unborn !== undefined) return unborn
    if (size > maxBatchBytes) {
      return lineProblem(`expected at most ${maxBatchBytes} bytes per bet, got ${size}`)
    }
    if (this.builder.byteLength + size > maxBatchBytes) this.flush()
    this.builder.add(bytes, this.spans)
    if (this.builder.count >= batchSize) this.flush()
    return undefined
  }

  private flush(): void {
    if (this.builder.count > 0) this.take(this.builder)
  }

  /** Refuses an empty line that turned out not to be the last. */
  private refuseEmptyLine(): void {
    const { emptyLine } = this
    if (emptyLine === undefined) return
    this.emptyLine = undefined
    this.badLine(lineProblem("expected a bet, got an empty line"), { line: this.line - 1 })
    this.reject(emptyLine)
  }

  private reject(bytes: Uint8Array): void {
    if (this.options.skipBadLines) this.rejected.push(bytes.slice())
  }

  /** A bad line without a line ending is never skipped: the rest of the book may be missing. */
  private badLine({ field, message }: BetProblem, { line = this.line, isUnended = false } = {}) {
    const { name: file, shownBadLines = SHOWN_BAD_LINES, skipBadLines } = this.options
    this.badLines++
    const isSkipped = skipBadLines && !isUnended
    if (isSkipped && this.badLines > shownBadLines) return
    const reason = isUnended ? `${message}; ${MAY_BE_CUT_OFF}` : message
    const bad = new BadLine({ file, line, field, reason })
    if (isSkipped) this.shownBadLines.push(bad)
    else this.failure = bad
  }
}

const lineProblem = (message: string): BetProblem => ({ field: "line", message })

const LINE_TOO_LONG = lineProblem(`expected at most ${MAX_BOOK_LINE_BYTES} bytes`)

const MAY_BE_CUT_OFF = "it has no line ending: the book may be truncated here and is not sent"

const wrongFieldCount = (count: number): BetProblem =>
  lineProblem(`expected ${Row.FIELD_COUNT} fields separated by commas, got ${count}`)

/** Returns the start of the second line, or the end of the bytes. */
const nextLine = (bytes: Uint8Array): number => {
  const end = bytes.indexOf(Row.LF)
  return end === -1 ? bytes.length : end + 1
}

const hasBom = (bytes: Uint8Array, start: number, end: number): boolean =>
  end - start >= BOM.length && BOM.every((byte, index) => bytes[start + index] === byte)

const SHOWN_LINE_CHARACTERS = 80
const lenientUtf8 = new TextDecoder()

/** Returns the end of a line, without BOM or CR: a truncated line was cut there. */
const shownEnd = (line: Uint8Array): string => {
  const text = lenientUtf8.decode(line).replace(/\r$/, "")
  return text.length > SHOWN_LINE_CHARACTERS ? `…${text.slice(-SHOWN_LINE_CHARACTERS)}` : text
}
