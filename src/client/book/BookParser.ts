/**
 * Turns the bytes of an agency's book into batches: UTF-8 CSV with LF or CRLF line ends, five
 * fields a line, quoted as RFC 4180 where need be; a field never holds a line end. A book of any
 * size, and a line of any length, takes bounded memory. No string and no object is made per bet;
 * only a line that is out of the ordinary goes the slow way.
 */
import { Data } from "effect"
import { BetBatchBuilder } from "../../domain/BetBatch.ts"
import { type BetProblem, decodeUtf8, ordinaryBetEnd } from "../../domain/BetCheck.ts"
import * as Row from "../../domain/BetRow.ts"
import { birthdateProblem, type Today } from "./Today.ts"

/** The longest line in bytes, without its line end; a bet takes at most 433. */
const MAX_BOOK_LINE_BYTES = 1024

/** The room that a builder begins with, in bytes. */
const BUILDER_BYTES = 256 * 1024

/** How many bad lines are kept to be shown. */
export const SHOWN_BAD_LINES = 20

/** A line of a book that is not a bet. */
export class BadLine extends Data.TaggedError("BadLine")<{
  readonly file: string
  /** From 1 on. */
  readonly line: number
  /** The field, or "line" if the line as a whole is wrong. */
  readonly field: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}:${this.line}: ${this.field}: ${this.reason}`
  }
}

/** A bad line that is left out: its number from 1 on, and what is wrong with it. */
export interface RejectedLine {
  readonly line: number
  readonly field: string
  readonly reason: string
}

/** A last line without a line end, which may have been cut off. */
export interface UnendedLine {
  readonly line: number
  /** The line, or its end if it is long. */
  readonly text: string
}

/** What a dialect cannot say of the bet that `spans` marks in `source`; undefined: nothing. */
export type BetCheck = (source: Uint8Array, spans: Row.FieldSpans) => BetProblem | undefined

export interface BookOptions {
  /** What errors call the book; its path unless given. */
  readonly name?: string | undefined
  /** The most bets of a batch. */
  readonly batchSize: number
  /** The most bytes of a batch, in canonical form; a bet that alone takes more is a bad line. */
  readonly maxBatchBytes: number
  /** A rule on top of those of a bet. */
  readonly check?: BetCheck | undefined
  /** Whether bad lines are left out; otherwise the first one ends the reading. */
  readonly skipBadLines: boolean
  /** Nobody was born after it; the same in every pass over a book. */
  readonly today: Today
}

const BOM = [0xef, 0xbb, 0xbf] as const

/** Takes a book in pieces of any size. Knows no file: bytes in, data out. */
export class BookParser {
  /** Bad lines as they are in the book, line ends included; to be taken from here. */
  readonly rejected: Array<Uint8Array> = []
  /** The first bad lines, where bad lines are skipped; to be taken from here too. */
  readonly shownBadLines: Array<RejectedLine> = []
  badLines = 0
  /** The first bad line that is not skipped; nothing is parsed after it. */
  failure: BadLine | undefined
  /** The last line, if it is not empty and has no line end. */
  unended: UnendedLine | undefined

  /** What errors call the book. */
  readonly name: string
  private readonly options: BookOptions
  private readonly builder: BetBatchBuilder
  private readonly single = new BetBatchBuilder(512)
  private readonly spans = Row.makeFieldSpans()
  /** The number of the line that is being taken, from 1 on. */
  line = 1
  /** The beginning of a line whose end has not come yet. */
  private carried = new Uint8Array(0)
  /** In a line that is too long, and known to be bad. */
  private inLongLine = false
  /** An empty line, which is bad unless it is the last. */
  private emptyLine: Uint8Array | undefined

  private readonly take: (builder: BetBatchBuilder) => void

  /** `take` takes the bets of a batch from the builder, and leaves that empty. */
  constructor(file: string, options: BookOptions, take: (builder: BetBatchBuilder) => void) {
    this.name = options.name ?? file
    this.options = options
    this.builder = new BetBatchBuilder(Math.min(options.maxBatchBytes, BUILDER_BYTES))
    this.take = take
  }

  /** Takes the next piece of the book; nothing of it is kept but copies. */
  push(chunk: Uint8Array): void {
    if (this.failure !== undefined) return
    let start = 0
    if (this.inLongLine || this.carried.length > 0) start = this.pushFirstLine(chunk)
    while (start < chunk.length && this.failure === undefined) {
      const next = this.takeOrdinaryLine(chunk, start)
      if (next !== undefined) {
        start = next
        continue
      }
      const end = chunk.indexOf(Row.LF, start)
      if (end === -1) {
        this.carry(chunk, start)
        return
      }
      this.takeLine(chunk, start, end + 1)
      start = end + 1
    }
  }

  /** Takes the end of the book: the last line may lack its line end. */
  finish(): void {
    if (this.failure !== undefined) return
    if (this.inLongLine) this.badLine(LINE_TOO_LONG, true)
    const last = this.carried
    if (last.length > 0) this.takeUnended(last)
    if (this.failure === undefined) this.flush()
  }

  private takeUnended(line: Uint8Array): void {
    const text = shownEnd(line)
    if (text !== "") this.unended = { line: this.line, text }
    this.takeLine(line, 0, line.length)
  }

  /** The end of a line that began in an earlier piece; gives where the next one starts. */
  private pushFirstLine(chunk: Uint8Array): number {
    const end = chunk.indexOf(Row.LF)
    const next = end === -1 ? chunk.length : end + 1
    if (this.inLongLine) {
      this.reject(chunk.subarray(0, next))
      if (end !== -1) {
        this.inLongLine = false
        this.line++
      }
    } else if (end === -1) {
      this.carry(chunk, 0)
    } else {
      const line = Buffer.concat([this.carried, chunk.subarray(0, next)])
      this.carried = new Uint8Array(0)
      this.takeLine(line, 0, line.length)
    }
    return next
  }

  /** Keeps the beginning of a line for the next piece, unless the line is too long already. */
  private carry(chunk: Uint8Array, start: number): void {
    const rest = chunk.subarray(start)
    // A line of the greatest length may be followed by CR.
    if (this.carried.length + rest.length <= MAX_BOOK_LINE_BYTES + 1) {
      this.carried = Buffer.concat([this.carried, rest])
      return
    }
    this.takeEmptyLine()
    if (this.failure !== undefined) return
    this.inLongLine = true
    this.badLine(LINE_TOO_LONG)
    this.reject(this.carried)
    this.reject(rest)
    this.carried = new Uint8Array(0)
  }

  /**
   * Takes the line at `start` if it is good and ordinary, and returns where the next one starts;
   * otherwise undefined: `takeLine` takes it.
   */
  private takeOrdinaryLine(bytes: Uint8Array, start: number): number | undefined {
    const { batchSize, check, maxBatchBytes, today } = this.options
    const { builder, spans } = this
    const numberEnd = ordinaryBetEnd(bytes, start, bytes.length, Row.COMMA, spans, today.year)
    if (numberEnd === -1) return undefined
    const end = bytes[numberEnd] === Row.CR ? numberEnd + 1 : numberEnd
    const atMost = numberEnd - start + 1
    if (bytes[end] !== Row.LF || atMost > maxBatchBytes) return undefined
    if (this.emptyLine !== undefined || check?.(bytes, spans) !== undefined) return undefined
    if (builder.byteLength + atMost > maxBatchBytes) this.flush()
    builder.addOrdinary(bytes, spans)
    if (builder.count >= batchSize) this.flush()
    this.line++
    return end + 1
  }

  /** Takes the line in `[start, next)`, line end included. */
  private takeLine(bytes: Uint8Array, start: number, next: number): void {
    let end = bytes[next - 1] === Row.LF ? next - 1 : next
    if (end > start && bytes[end - 1] === Row.CR) end--
    this.takeEmptyLine()
    if (this.failure !== undefined) return
    const first = this.line === 1 && hasBom(bytes, start, end) ? start + BOM.length : start
    if (first === end) {
      if (next > end) this.emptyLine = bytes.slice(start, next)
      this.line++
      return
    }
    const problem =
      end - first > MAX_BOOK_LINE_BYTES ? LINE_TOO_LONG : this.addLine(bytes.subarray(first, end))
    if (problem !== undefined) {
      this.badLine(problem, bytes[next - 1] !== Row.LF)
      this.reject(bytes.subarray(start, next))
    }
    this.line++
  }

  private addLine(line: Uint8Array): BetProblem | undefined {
    if (line.includes(Row.QUOTE)) return this.addQuoted(line)
    if (!Row.markFields(line, 0, line.length, Row.COMMA, this.spans)) {
      return wrongFieldCount(countFields(line))
    }
    return this.add(line)
  }

  private addQuoted(line: Uint8Array): BetProblem | undefined {
    const text = decodeUtf8(line)
    if (text === undefined) return { field: "line", message: "expected valid UTF-8" }
    const fields = Row.splitQuoted(text)
    if (fields === undefined) {
      return { field: "line", message: "expected a closed quote, and a comma after it" }
    }
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
      const message = `expected at most ${maxBatchBytes} bytes a bet, got ${size}`
      return { field: "line", message }
    }
    if (this.builder.byteLength + size > maxBatchBytes) this.flush()
    this.builder.add(bytes, this.spans)
    if (this.builder.count >= batchSize) this.flush()
    return undefined
  }

  private flush(): void {
    if (this.builder.count > 0) this.take(this.builder)
  }

  /** There is another line, so an empty one before it was not the last. */
  private takeEmptyLine(): void {
    const emptyLine = this.emptyLine
    if (emptyLine === undefined) return
    this.emptyLine = undefined
    this.line--
    this.badLine({ field: "line", message: "expected a bet, got an empty line" })
    this.line++
    this.reject(emptyLine)
  }

  private reject(bytes: Uint8Array): void {
    if (this.options.skipBadLines) this.rejected.push(bytes.slice())
  }

  /** One that lacks its line end is not skipped: the book may go on behind it. */
  private badLine({ field, message }: BetProblem, isUnended = false): void {
    const { line, name: file } = this
    const reason = isUnended ? `${message}; ${MAY_BE_CUT_OFF}` : message
    this.badLines++
    if (isUnended || !this.options.skipBadLines) {
      this.failure = new BadLine({ file, line, field, reason })
    } else if (this.badLines <= SHOWN_BAD_LINES) this.shownBadLines.push({ line, field, reason })
  }
}

const LINE_TOO_LONG: BetProblem = {
  field: "line",
  message: `expected at most ${MAX_BOOK_LINE_BYTES} bytes`
}

const MAY_BE_CUT_OFF = "it has no line end: the book may have been cut off here, and is not sent"

const wrongFieldCount = (count: number): BetProblem => ({
  field: "line",
  message: `expected ${Row.FIELD_COUNT} fields separated by commas, got ${count}`
})

const countFields = (line: Uint8Array): number => {
  let fields = 1
  for (const byte of line) if (byte === Row.COMMA) fields++
  return fields
}

const hasBom = (bytes: Uint8Array, start: number, end: number): boolean =>
  end - start >= BOM.length && BOM.every((byte, index) => bytes[start + index] === byte)

/** How many characters of a line are shown. */
const SHOWN_CHARACTERS = 80
const lenientUtf8 = new TextDecoder()

/** The end of a line, without a byte order mark and CR: where it was cut off, that is where. */
const shownEnd = (line: Uint8Array): string => {
  const text = lenientUtf8.decode(line).replace(/\r$/, "")
  return text.length > SHOWN_CHARACTERS ? `…${text.slice(-SHOWN_CHARACTERS)}` : text
}
