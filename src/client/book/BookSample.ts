/** A sample of a file that is not a book, and what is in the whole file. */
import { Effect, Stream } from "effect"
import { LF } from "../../domain/BetRow.ts"
import { piecesOf } from "./BookFile.ts"

const SAMPLE_BYTES = 64 * 1024

/** Returns a sample with the bytes that it has room for. */
const add = (sample: Uint8Array, bytes: Uint8Array): Uint8Array =>
  sample.length < SAMPLE_BYTES
    ? Buffer.concat([sample, bytes.subarray(0, SAMPLE_BYTES - sample.length)])
    : sample

/** Removes the line that a full sample cuts off. */
const wholeLines = (sample: Uint8Array): Uint8Array =>
  sample.length < SAMPLE_BYTES ? sample : sample.subarray(0, sample.lastIndexOf(LF) + 1)

/** Returns a text with one character for each byte. */
export const latin1 = ({ buffer, byteLength, byteOffset }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString("latin1")

const NOTHING: Uint8Array = new Uint8Array(0)
const UTF_8 = /[\xc3-\xf4][\x80-\xbf]/
/** Neither ASCII nor a character of a name in Windows-1252, such as á, Š, ’ or º. */
const NO_WINDOWS_1252 =
  /[^\0-\x7f\x8a\x8c\x8e\x91\x92\x96\x9a\x9c\x9e\x9f\xaa\xb4\xb7\xba\xc0-\xff]/
/** The size of the record at the end of a zip archive. */
const END_BYTES = 22

/** Looks at every byte of a file, and keeps whole lines from its start and from its bad line. */
export class BookSample {
  hasCommaOrQuote = false
  /** Whether it has a character of several bytes in UTF-8. */
  hasUtf8 = false
  /** Whether its bytes above 127 may all be characters of names in Windows-1252. */
  isWindows1252 = true
  /** The last bytes of the file. */
  end = NOTHING
  private before = NOTHING
  private fromLine = NOTHING
  private linesBefore: number

  /** The first bad line is number `line`. */
  constructor(line: number) {
    this.linesBefore = line - 1
  }

  get bytes(): Uint8Array {
    return Buffer.concat([wholeLines(this.before), wholeLines(this.fromLine)])
  }

  take(piece: Uint8Array): void {
    const text = latin1(piece)
    this.hasCommaOrQuote ||= /[,"]/.test(text)
    this.hasUtf8 ||= UTF_8.test(text)
    this.isWindows1252 &&= !NO_WINDOWS_1252.test(text)
    this.end = Buffer.concat([this.end, piece.subarray(-END_BYTES)]).subarray(-END_BYTES)
    const start = this.skipLines(piece)
    this.before = add(this.before, piece.subarray(0, start))
    this.fromLine = add(this.fromLine, piece.subarray(start))
  }

  /** Returns where the bad line, or more of it, starts in a piece. */
  private skipLines(piece: Uint8Array): number {
    let start = 0
    for (; this.linesBefore > 0; this.linesBefore--) {
      start = piece.indexOf(LF, start) + 1
      if (start === 0) return piece.length
    }
    return start
  }
}

/** Reads the whole file, whose first bad line is `line`. */
export const read = Effect.fnUntraced(function* (file: string, name: string, line: number) {
  const sample = new BookSample(line)
  yield* Stream.runForEach(piecesOf(file, name), (piece) => Effect.sync(() => sample.take(piece)))
  return sample
})
