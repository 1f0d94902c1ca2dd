/**
 * Reads an agency's book: UTF-8 CSV with LF or CRLF line ends, five fields a line, quoted as RFC
 * 4180 where need be; a field never holds a line end. A book of any size, and a line of any length,
 * takes bounded memory. No string and no object is made per bet; only a line that is out of the
 * ordinary goes the slow way.
 */
import { createHash } from "node:crypto"
import { Data, Effect, FileSystem, Stream } from "effect"
import { type BetBatch, BetBatchBuilder } from "../domain/BetBatch.ts"
import { type BetProblem, decodeUtf8, ordinaryBetEnd } from "../domain/BetCheck.ts"
import * as Row from "../domain/BetRow.ts"
import { FileUnavailable, fileUnavailable } from "./FileUnavailable.ts"

/** The longest line in bytes, without its line end; a bet takes at most 433. */
export const MAX_BOOK_LINE_BYTES = 1024

/** How much is read from the file at a time, in bytes. */
const CHUNK_BYTES = 256 * 1024

/** A line of a book that is not a bet. */
export class BadLine extends Data.TaggedError("BadLine")<{
  readonly file: string
  /** From 1 on. */
  readonly line: number
  /** The field, or "line" where the line as a whole is wrong. */
  readonly field: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}:${this.line}: ${this.field}: ${this.reason}`
  }
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
  /** A rule beside those of a bet. */
  readonly check?: BetCheck | undefined
  /** Whether bad lines are left out; otherwise the first one ends the reading. */
  readonly skipBadLines: boolean
}

/** What a first pass over a book found. */
export interface BookSummary {
  readonly bets: number
  /** Of the canonical rows. */
  readonly bytes: number
  /** Of the canonical rows, as 64 lower-case hex digits. */
  readonly sha256: string
  readonly badLines: number
  /** Its batches, unless they are more than `KEPT_BYTES` together. */
  readonly kept: ReadonlyArray<BetBatch> | undefined
}

/** A book of so many bytes is kept from the first pass to the second. */
const KEPT_BYTES = 4 * 1024 * 1024

const BOM = [0xef, 0xbb, 0xbf] as const

/**
 * Turns the bytes of a book, in pieces of any size, into batches and bad lines. Knows no file:
 * bytes in, data out.
 */
export class BookParser {
  /** The batches that were completed since somebody took them from here. */
  readonly batches: Array<BetBatch> = []
  /** Bad lines as they are in the book, line ends included; to be taken from here too. */
  readonly rejected: Array<Uint8Array> = []
  badLines = 0
  /** The first bad line, where bad lines are not skipped; nothing is parsed after it. */
  failure: BadLine | undefined

  /** What errors call the book. */
  readonly name: string
  private readonly options: BookOptions
  private readonly builder: BetBatchBuilder
  private readonly single = new BetBatchBuilder(512)
  private readonly spans = Row.makeFieldSpans()
  private line = 1
  /** The beginning of a line whose end has not come yet. */
  private carried = new Uint8Array(0)
  /** In a line that is too long, and known to be bad. */
  private inLongLine = false
  /** An empty line, which is bad unless it is the last. */
  private emptyLine: Uint8Array | undefined

  /** Takes what is in the builder, and leaves it empty. */
  private readonly take: (builder: BetBatchBuilder) => void

  /** `take` is for who needs no batch: it takes what is in a full builder, and empties that. */
  constructor(file: string, options: BookOptions, take?: (builder: BetBatchBuilder) => void) {
    this.name = options.name ?? file
    this.options = options
    this.builder = new BetBatchBuilder(Math.min(options.maxBatchBytes, CHUNK_BYTES))
    this.take = take ?? ((builder) => this.batches.push(builder.build()))
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
    if (this.inLongLine) {
      this.line++
      this.inLongLine = false
    }
    const last = this.carried
    if (last.length > 0) this.takeLine(last, 0, last.length)
    if (this.failure === undefined) this.flush()
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
   * Takes the line at `start` where it is a good one and nothing about it out of the ordinary;
   * gives where the next one starts, or undefined: then `takeLine` takes it.
   */
  private takeOrdinaryLine(bytes: Uint8Array, start: number): number | undefined {
    const { batchSize, check, maxBatchBytes } = this.options
    const { builder, spans } = this
    const numberEnd = ordinaryBetEnd(bytes, start, bytes.length, Row.COMMA, spans)
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
      this.badLine(problem)
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
    const { batchSize, check, maxBatchBytes } = this.options
    const refused = check?.(bytes, this.spans)
    if (refused !== undefined) return refused
    // Its size is not known without writing it.
    const problem = this.single.add(bytes, this.spans)
    if (problem !== undefined) return problem
    const size = this.single.byteLength
    this.single.clear()
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

  private badLine(problem: BetProblem): void {
    this.badLines++
    if (this.options.skipBadLines) return
    const { field, message } = problem
    this.failure = new BadLine({ file: this.name, line: this.line, field, reason: message })
  }
}

const LINE_TOO_LONG: BetProblem = {
  field: "line",
  message: `expected at most ${MAX_BOOK_LINE_BYTES} bytes`
}

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

/** The bytes of a file piece by piece; each is good until the next is asked for. */
const bytesOf = (file: string, name: string) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const opened = yield* fs.open(file)
      const buffer = new Uint8Array(CHUNK_BYTES)
      const read = Effect.map(opened.read(buffer), (count) =>
        count === 0 ? undefined : ([buffer.subarray(0, count), undefined] as const)
      )
      return Stream.unfold(undefined, () => read)
    })
  ).pipe(Stream.mapError(fileUnavailable(name)))

/** What a parser made of one piece of a book. */
interface ParsedPiece {
  readonly batches: ReadonlyArray<BetBatch>
  readonly rejected: ReadonlyArray<Uint8Array>
  readonly failure: BadLine | undefined
}

/** The book piece by piece through a parser; `undefined` stands for the book's end. */
const parsed = (file: string, parser: BookParser) =>
  Stream.concat(bytesOf(file, parser.name), Stream.succeed(undefined)).pipe(
    Stream.map((chunk): ParsedPiece => {
      if (chunk === undefined) parser.finish()
      else parser.push(chunk)
      return {
        batches: parser.batches.splice(0),
        rejected: parser.rejected.splice(0),
        failure: parser.failure
      }
    })
  )

/**
 * The bets of a book in batches, none of them empty. Ends at the first bad line, after the batches
 * before it, unless bad lines are skipped.
 */
export const read = (
  file: string,
  options: BookOptions
): Stream.Stream<BetBatch, BadLine | FileUnavailable, FileSystem.FileSystem> =>
  Stream.suspend(() => {
    const parser = new BookParser(file, options)
    return parsed(file, parser).pipe(
      Stream.flatMap(({ batches, failure }) => {
        const complete = Stream.fromArray(batches)
        return failure === undefined ? complete : Stream.concat(complete, Stream.fail(failure))
      })
    )
  })

/** A book is read twice, which only a file can be. */
const checkIsFile = Effect.fnUntraced(function* (file: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const { type } = yield* Effect.mapError(fs.stat(file), fileUnavailable(name))
  if (type === "File") return
  const reason =
    type === "Directory"
      ? "is a folder, expected a file"
      : "is not a file that can be read twice; give it on standard input, as -"
  return yield* new FileUnavailable({ file: name, reason })
})

/** Opens the file for bad lines, emptied; never the book itself. */
const openRejects = Effect.fnUntraced(
  function* (book: string, rejects: string) {
    const fs = yield* FileSystem.FileSystem
    if (
      (yield* fs.exists(rejects)) &&
      (yield* fs.realPath(rejects)) === (yield* fs.realPath(book))
    ) {
      return yield* new FileUnavailable({
        file: rejects,
        reason: "is the book itself, and cannot take its bad lines"
      })
    }
    const opened = yield* fs.open(rejects, { flag: "w" })
    return (bytes: Uint8Array) =>
      opened.writeAll(bytes).pipe(Effect.mapError(fileUnavailable(rejects)))
  },
  (effect, _book, rejects) =>
    Effect.catchTag(effect, "PlatformError", (error) =>
      Effect.fail(fileUnavailable(rejects)(error))
    )
)

/**
 * Goes over a whole book before anything of it is sent: fails at its first bad line, or, with
 * `rejects`, writes each bad line to that file as it is in the book and goes on.
 */
export const inspect = Effect.fn("BookReader.inspect")(function* (
  file: string,
  options: Omit<BookOptions, "skipBadLines"> & { readonly rejects?: string | undefined }
) {
  const { rejects, ...others } = options
  yield* checkIsFile(file, options.name ?? file)
  const write = rejects === undefined ? undefined : yield* openRejects(file, rejects)
  const hash = createHash("sha256")
  let bets = 0
  let bytes = 0
  let kept: Array<BetBatch> | undefined = []
  const take = (builder: BetBatchBuilder) => {
    bets += builder.count
    bytes += builder.byteLength
    hash.update(builder.bytes)
    if (bytes > KEPT_BYTES) kept = undefined
    if (kept === undefined) builder.clear()
    else kept.push(builder.build())
  }
  const skipBadLines = rejects !== undefined
  const parser = new BookParser(file, { ...others, skipBadLines }, take)
  yield* parsed(file, parser).pipe(
    Stream.runForEach(
      Effect.fnUntraced(function* ({ failure, rejected }) {
        if (failure !== undefined) return yield* failure
        if (write === undefined) return
        for (const line of rejected) yield* write(line)
      })
    )
  )
  const sha256 = hash.digest("hex")
  return { bets, bytes, sha256, badLines: parser.badLines, kept } satisfies BookSummary
}, Effect.scoped)
