/**
 * A sample of a file that is not a book: whole lines from its beginning and from its first bad line
 * on, with what a look at every byte shows.
 */
import { Effect, Stream } from "effect"
import { COMMA, LF, QUOTE } from "../../domain/BetRow.ts"
import { piecesOf } from "./BookFile.ts"
import type { BadLine } from "./BookParser.ts"

/** What a whole file contains. */
export interface Contents {
  readonly hasCommaOrQuote: boolean
  /** Whether it has a character of several bytes in UTF-8. */
  readonly hasUtf8: boolean
  /** Whether its bytes above 127 are all letters, or other characters of names, in Windows-1252. */
  readonly isWindows1252: boolean
  /** The last bytes: `END_BYTES`, or all if there are fewer. */
  readonly end: Uint8Array
}

/** The size of the record at the end of a zip archive. */
const END_BYTES = 22

export interface Sample {
  readonly bytes: Uint8Array
  readonly contents: Contents
}

/** The first bad line of a sample; `text` is the sample from there on. */
export interface Bad extends Pick<BadLine, "field" | "line"> {
  readonly text: string
}

/** A form that a file has instead of that of a book. */
export interface Found {
  /** The form as a clause, such as "it is compressed with gzip". */
  readonly clause: string
  /** A shell command that changes the form; it reads standard input, except `UNZIP`. */
  readonly filter?: string
  /** What a person must do if there is no such command. */
  readonly advice?: string
  /** The sample after the filter: the file may have other forms as well. */
  readonly sample: Sample
}

export type Form = (sample: Sample, bad: Bad) => Found | undefined

/** The only filter that cannot read standard input. */
export const UNZIP = "unzip -p"

const SAMPLE_BYTES = 64 * 1024

/** Returns the lines that are complete; everything if none is. */
export const wholeLines = (bytes: Uint8Array): Uint8Array =>
  bytes.subarray(0, bytes.lastIndexOf(LF) + 1 || bytes.length)

const ASCII = 0
const COMMA_OR_QUOTE = 1
/** The second and further bytes of a character in UTF-8. */
const CONTINUATION = 2
/** The same, and a letter in Windows-1252. */
const CONTINUATION_OR_LETTER = 3
/** The first byte of a character in UTF-8, and a letter in Windows-1252. */
const LEAD = 4
/** A letter in Windows-1252 that is never in UTF-8. */
const LETTER = 5

const KINDS = new Uint8Array(256)
  .fill(CONTINUATION, 0x80, 0xc0)
  .fill(LEAD, 0xc0, 0xf8)
  .fill(LETTER, 0xf8)
// Š Œ Ž ‘ ’ – š œ ž Ÿ ª ´ · º
const LETTERS = [0x8a, 0x8c, 0x8e, 0x91, 0x92, 0x96, 0x9a, 0x9c, 0x9e, 0x9f, 0xaa, 0xb4, 0xb7, 0xba]
for (const byte of LETTERS) KINDS[byte] = CONTINUATION_OR_LETTER
for (const byte of [COMMA, QUOTE]) KINDS[byte] = COMMA_OR_QUOTE

/** Looks at the bytes of a file, piece by piece. */
class Look {
  hasCommaOrQuote = false
  hasUtf8 = false
  isWindows1252 = true
  end: Uint8Array = new Uint8Array(0)

  take(bytes: Uint8Array): void {
    this.end = Buffer.concat([this.end, bytes.subarray(-END_BYTES)]).subarray(-END_BYTES)
    let previous = ASCII
    for (let at = 0; at < bytes.length; at++) {
      const kind = KINDS[bytes[at]!]!
      if (kind === COMMA_OR_QUOTE) this.hasCommaOrQuote = true
      else if (kind === CONTINUATION || kind === CONTINUATION_OR_LETTER) {
        if (previous === LEAD) this.hasUtf8 = true
        if (kind === CONTINUATION) this.isWindows1252 = false
      }
      previous = kind
    }
  }
}

export const contentsOf = (bytes: Uint8Array): Contents => {
  const look = new Look()
  look.take(bytes)
  return look
}

/** Bytes from the start of a line within which it ends, even in UTF-16. */
const LINE_BYTES = 4096

/** Collects a sample from the pieces of a file. */
class Sampler {
  private readonly look = new Look()
  private readonly head: Array<Uint8Array> = []
  private readonly fromLine: Array<Uint8Array> = []
  private bytes = 0
  private linesBefore: number
  /** Where the line starts. */
  private lineAt: number | undefined

  constructor(line: number) {
    this.linesBefore = line - 1
  }

  take(piece: Uint8Array): void {
    this.look.take(piece)
    if (this.bytes < SAMPLE_BYTES) this.head.push(piece.slice(0, SAMPLE_BYTES - this.bytes))
    this.lineAt ??= this.findLine(piece)
    if (this.lineAt !== undefined) {
      const start = Math.max(0, this.lineAt - this.bytes)
      const end = this.lineAt + SAMPLE_BYTES - this.bytes
      if (end > start) this.fromLine.push(piece.slice(start, end))
    }
    this.bytes += piece.length
  }

  private findLine(piece: Uint8Array): number | undefined {
    let start = 0
    while (this.linesBefore > 0) {
      start = piece.indexOf(LF, start) + 1
      if (start === 0) return undefined
      this.linesBefore--
    }
    return this.bytes + start
  }

  get sample(): Sample {
    const contents = this.look
    const head = Buffer.concat(this.head)
    if (this.bytes <= SAMPLE_BYTES) return { bytes: head, contents }
    const isInHead = (this.lineAt ?? 0) < SAMPLE_BYTES - LINE_BYTES
    const rest = isInHead ? [] : [wholeLines(Buffer.concat(this.fromLine))]
    return { bytes: Buffer.concat([wholeLines(head), ...rest]), contents }
  }
}

/** Reads the whole file, whose first bad line is `line`. */
export const read = Effect.fnUntraced(function* (file: string, name: string, line: number) {
  const sampler = new Sampler(line)
  yield* Stream.runForEach(piecesOf(file, name), (piece) => Effect.sync(() => sampler.take(piece)))
  return sampler.sample
})
