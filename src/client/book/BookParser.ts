/**
 * Turns the bytes of an agency's book into batches: UTF-8 CSV with LF or CRLF line ends, five
 * fields a line, quoted as in RFC 4180 if they have to be; a field never has a line end. A book of
 * any size, and a line of any length, takes bounded memory. No string and no object is made per
 * bet; only a line that is out of the ordinary goes the slow way.
 */
import { Data } from "effect"
import { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { type BetProblem, decodeUtf8, ordinaryBetEnd } from "../../domain/BetCheck.ts"
import * as Row from "../../domain/BetRow.ts"
import { birthdateProblem } from "./Today.ts"

/** The longest line in bytes, without its line end; over twice what a bet takes. */
const MAX_BOOK_LINE_BYTES = 1024

/** The room that a builder begins with, in bytes. */
const BUILDER_BYTES = 256 * 1024

/** How many bad lines are kept to be shown. */
export const SHOWN_BAD_LINES = 20

/** A line of a book that is not a bet, or a single bet that cannot be sent. */
export class BadLine extends Data.TaggedError("BadLine")<{
  /** Undefined for a bet that stands in no file. */
  readonly file?: string
  /** From 1 on. */
  readonly line: number
  /** The field, or "line" if the line as a whole is wrong. */
  readonly field: string
  readonly reason: string
}> {
  override get message(): string {
    const place = this.file === undefined ? "" : `${this.file}:${this.line}: `
    return `${place}${this.field}: ${this.reason}`
  }
}

/** A last line without a line end, which may have been cut off. */
interface UnendedLine {
  readonly line: number
  /** The line, or its end if it is long. */
  readonly text: string
}

/**
 * Returns what a dialect cannot say of the bet that `spans` marks in `source`, if anything. It is
 * not asked about an ordinary bet, whose names have no separator of any dialect.
 */
export type DialectCheck = (source: Uint8Array, spans: Row.FieldSpans) => BetProblem | undefined

export interface BookOptions {
  /** What errors call the book. */
  readonly name: string
  /** The most bets of a batch. */
  readonly batchSize: number
  /** The most bytes of a batch, in canonical form; a bet that alone takes more is a bad line. */
  readonly maxBatchBytes: number
  /** A rule on top of those of a bet. */
  readonly check?: DialectCheck | undefined
  /** Whether bad lines are left out; otherwise the first one ends the reading. */
  readonly skipBadLines: boolean
  /** The day at the agency as YYYY-MM-DD, the same in every pass over a book. */
  readonly today: string
}

const BOM = [0xef, 0xbb, 0xbf] as const
const NOTHING = new Uint8Array(0)

/** Takes a book in pieces of any size. Knows no file: bytes in, data out. */
export class BookParser {
  /** Skipped lines as they are in the book, line ends included; the caller takes them out. */
  readonly rejected: Array<Uint8Array> = []
  /** The first skipped lines, and what is wrong with them; the caller takes them out. */
  readonly shownBadLines: Array<BadLine> = []
  badLines = 0
  /** The first bad line that is not skipped; nothing is parsed after it. */
  failure: BadLine | undefined
  /** The last line, if it is not empty and has no line end. */
  unended: UnendedLine | undefined
  /** The number of the line that is being taken, from 1 on. */
  line = 1

  private readonly options: BookOptions
  private readonly take: (builder: BetBatchBuilder) => void
  private readonly year: number
  private readonly builder: BetBatchBuilder
  private readonly single = new BetBatchBuilder(512)
  private readonly spans = Row.makeFieldSpans()
  /** The beginning of a line whose end has not come yet. */
  private carried: Uint8Array = NOTHING
  /** Whether the bytes that come belong to a line that was refused as too long. */
  private inLongLine = false
  /** An empty line, which is bad unless it is the last. */
  private emptyLine: Uint8Array | undefined

  /** `take` takes the bets of a batch from the builder, and leaves that empty. */
  constructor(options: BookOptions, take: (builder: BetBatchBuilder) => void) {
    this.options = options
    this.take = take
    this.year = Number(options.today.slice(0, 4))
    this.builder = new BetBatchBuilder(Math.min(options.maxBatchBytes, BUILDER_BYTES))
  }

  /** Takes the next piece of the book; nothing of it is kept but copies. */
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

  /** Takes the end of the book: the last line may lack its line end. */
  finish(): void {
    if (this.failure !== undefined) return
    if (this.inLongLine) this.badLine(LINE_TOO_LONG, { isUnended: true })
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
    while (start < bytes.length && this.failure === undefined) {
      const next = this.takeOrdinaryLine(bytes, start)
      if (next !== undefined) {
        start = next
        continue
      }
      const end = bytes.indexOf(Row.LF, start)
      if (end === -1) {
        this.carry(bytes.subarray(start))
        return
      }
      this.takeLine(bytes, start, end + 1)
      start = end + 1
    }
  }

  /** Keeps the beginning of a line for the next piece, unless the line is too long already. */
  private carry(beginning: Uint8Array): void {
    // A line of the greatest length may be followed by CR.
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

  /** Rejects the next part of a long line and returns where the next line starts. */
  private skipLongLine(bytes: Uint8Array): number {
    const next = nextLine(bytes)
    this.reject(bytes.subarray(0, next))
    if (bytes[next - 1] === Row.LF) {
      this.inLongLine = false
      this.line++
    }
    return next
  }

  /**
   * Takes the line at `start` if it is good and ordinary, and returns where the next one starts;
   * otherwise undefined: `takeLine` takes it.
   */
  private takeOrdinaryLine(bytes: Uint8Array, start: number): number | undefined {
    const { batchSize, maxBatchBytes } = this.options
    const { builder, spans } = this
    const numberEnd = ordinaryBetEnd(bytes, start, bytes.length, Row.COMMA, spans, this.year)
    if (numberEnd === -1) return undefined
    const end = bytes[numberEnd] === Row.CR ? numberEnd + 1 : numberEnd
    const atMost = numberEnd - start + 1
    if (bytes[end] !== Row.LF || atMost > maxBatchBytes) return undefined
    if (this.emptyLine !== undefined) return undefined
    if (builder.byteLength + atMost > maxBatchBytes) this.flush()
    builder.addOrdinary(bytes, spans)
    if (builder.count >= batchSize) this.flush()
    this.line++
    return end + 1
  }

  /** Takes the line in `[start, next)`, line end included. */
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
    if (fields === undefined) return lineProblem("expected a closed quote, and a comma after it")
    if (fields.length !== Row.FIELD_COUNT) return wrongFieldCount(fields.length)
    return this.add(Row.joinFields(fields, this.spans))
  }

  /** Adds the marked bet to a batch that has room for it. */
  private add(bytes: Uint8Array): BetProblem | undefined {
    const { batchSize, check, maxBatchBytes, today } = this.options
    // Its size is not known without writing it.
    const refused = check?.(bytes, this.spans) ?? this.single.add(bytes, this.spans)
    if (refused !== undefined) return refused
    const size = this.single.byteLength
    this.single.clear()
    const unborn = birthdateProblem(today, bytes, this.spans[6]!)
    if (unborn !== undefined) return unborn
    if (size > maxBatchBytes) {
      return lineProblem(`expected at most ${maxBatchBytes} bytes a bet, got ${size}`)
    }
    if (this.builder.byteLength + size > maxBatchBytes) this.flush()
    this.builder.add(bytes, this.spans)
    if (this.builder.count >= batchSize) this.flush()
    return undefined
  }

  private flush(): void {
    if (this.builder.count > 0) this.take(this.builder)
  }

  /** Another line comes, so an empty one before it was not the last. */
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

  /** A bad line without a line end is not skipped: the rest of the book may be missing. */
  private badLine({ field, message }: BetProblem, { line = this.line, isUnended = false } = {}) {
    const { name: file, skipBadLines } = this.options
    const reason = isUnended ? `${message}; ${MAY_BE_CUT_OFF}` : message
    const bad = new BadLine({ file, line, field, reason })
    this.badLines++
    if (isUnended || !skipBadLines) this.failure = bad
    else if (this.badLines <= SHOWN_BAD_LINES) this.shownBadLines.push(bad)
  }
}

const lineProblem = (message: string): BetProblem => ({ field: "line", message })

const LINE_TOO_LONG = lineProblem(`expected at most ${MAX_BOOK_LINE_BYTES} bytes`)

const MAY_BE_CUT_OFF = "it has no line end: the book may have been cut off here, and is not sent"

const wrongFieldCount = (count: number): BetProblem =>
  lineProblem(`expected ${Row.FIELD_COUNT} fields separated by commas, got ${count}`)

/** Where the line after the first one starts, or where the bytes end. */
const nextLine = (bytes: Uint8Array): number => {
  const end = bytes.indexOf(Row.LF)
  return end === -1 ? bytes.length : end + 1
}

const hasBom = (bytes: Uint8Array, start: number, end: number): boolean =>
  end - start >= BOM.length && BOM.every((byte, index) => bytes[start + index] === byte)

/** How many characters of a line are shown. */
const SHOWN_CHARACTERS = 80
const lenientUtf8 = new TextDecoder()

/** The end of a line, without a byte order mark and CR: if it was cut off, it was cut off there. */
const shownEnd = (line: Uint8Array): string => {
  const text = lenientUtf8.decode(line).replace(/\r$/, "")
  return text.length > SHOWN_CHARACTERS ? `…${text.slice(-SHOWN_CHARACTERS)}` : text
}
