/** The entries of a seal: what was stored when the books were closed for good. */
import { Result } from "effect"
import type { Agency } from "../Agency.ts"
import { type BookDigest, MARK_BYTES, marksOf } from "./MarkedDigest.ts"
import { parseSource, type SealedSource, showSource } from "./NumberRule.ts"
import {
  AGENCY,
  atLine,
  BETS,
  DRAW,
  type Field,
  hex,
  int,
  line,
  linesOf,
  mismatch,
  parseLine,
  SHA256
} from "./TextFields.ts"

/** A book in the seal. */
export interface SealedBook extends BookDigest {
  readonly agency: Agency
  readonly bets: number
  /** 32 lowercase hex digits. */
  readonly salt: string
}

/** An agency that the draw goes without. */
export interface SealedExclusion {
  readonly agency: Agency
}

export interface Seal {
  readonly draw: string
  /** POSIX seconds, by the operator's clock. */
  readonly sealedAt: number
  readonly source: SealedSource
  /** Every expected agency, in ascending order. */
  readonly agencies: ReadonlyArray<SealedBook | SealedExclusion>
}

export const isBook = (of: SealedBook | SealedExclusion): of is SealedBook => "sha256" in of

const VERSION = "lottery-seal/v1"

const BYTES = int("BYTES")
const SALT = hex("SALT", 32)
const SOURCE: Field<SealedSource> = { name: "SOURCE", parse: parseSource }

const firstLine = line(VERSION, [DRAW, int("AGENCIES"), BETS, int("SEALED-AT"), SOURCE])
const bookLine = line("book", [AGENCY, BETS, BYTES, SHA256, SALT])
const markLine = line("mark", [AGENCY, BYTES, SHA256])
const excludedLine = line("excluded", [AGENCY])

/** The `book` entry, with its LF. */
export const bookEntry = (book: Omit<SealedBook, "marks">): string => {
  const { agency, bets, bytes, salt, sha256 } = book
  return `book ${agency} ${bets} ${bytes} ${sha256} ${salt}\n`
}

const agencyEntries = (of: SealedBook | SealedExclusion): ReadonlyArray<string> => {
  if (!isBook(of)) return [`excluded ${of.agency}\n`]
  const marks = marksOf(of).map(
    (mark, index) => `mark ${of.agency} ${MARK_BYTES * (index + 1)} ${mark}\n`
  )
  return [...marks, bookEntry(of)]
}

/** The entries, each with its LF, in the order of the tree's leaves. */
export const entriesOf = ({ agencies, draw, sealedAt, source }: Seal): ReadonlyArray<string> => {
  const bets = agencies.reduce((sum, of) => sum + (isBook(of) ? of.bets : 0), 0)
  const first = `${VERSION} ${draw} ${agencies.length} ${bets} ${sealedAt} ${showSource(source)}\n`
  return [first, ...agencies.flatMap(agencyEntries)]
}

/** The marks of the book whose entry comes next. */
interface PendingMarks {
  readonly agency: Agency
  readonly marks: Array<string>
}

/** Reads the entries after the first, one by one, in order. */
class EntryReader {
  readonly agencies: Array<SealedBook | SealedExclusion> = []
  bets = 0
  private pending: PendingMarks | undefined

  /** Returns what is wrong with the entry; undefined if nothing is. */
  problemOf(text: string): string | undefined {
    if (text.startsWith("mark ")) return this.problemOfMark(text)
    if (text.startsWith("book ")) return this.problemOfBook(text)
    if (text.startsWith("excluded ")) return this.problemOfExclusion(text)
    return mismatch("a mark, book or excluded entry", text)
  }

  /** Returns what is missing at the end. */
  get missing(): string | undefined {
    return this.pending && `expected the book of agency ${this.pending.agency} after its marks`
  }

  private problemOfMark(text: string): string | undefined {
    const mark = markLine(text)
    if (Result.isFailure(mark)) return mark.failure
    const [agency, bytes, sha256] = mark.success
    if (this.pending === undefined) {
      const problem = this.problemOfOrder(agency)
      if (problem !== undefined) return problem
      this.pending = { agency, marks: [] }
    }
    const { pending } = this
    if (agency !== pending.agency) {
      return `expected a mark or the book of agency ${pending.agency}, got a mark of ${agency}`
    }
    const expected = MARK_BYTES * (pending.marks.length + 1)
    if (bytes !== expected) return `expected the mark at ${expected} bytes, got ${bytes}`
    pending.marks.push(sha256)
    return undefined
  }

  private problemOfBook(text: string): string | undefined {
    const book = bookLine(text)
    if (Result.isFailure(book)) return book.failure
    const [agency, bets, bytes, sha256, salt] = book.success
    const problem = this.problemOfOrder(agency)
    if (problem !== undefined) return problem
    const { marks } = this.pending ?? { marks: [] }
    const expected = Math.floor(bytes / MARK_BYTES)
    if (marks.length !== expected) {
      return `expected ${expected} marks before a book of ${bytes} bytes, got ${marks.length}`
    }
    this.bets += bets
    this.agencies.push({
      agency,
      bets,
      bytes,
      sha256,
      salt,
      marks: new Uint8Array(Buffer.from(marks.join(""), "hex"))
    })
    this.pending = undefined
    return undefined
  }

  private problemOfExclusion(text: string): string | undefined {
    const excluded = excludedLine(text)
    if (Result.isFailure(excluded)) return excluded.failure
    const [agency] = excluded.success
    if (this.pending !== undefined) return this.missing
    const problem = this.problemOfOrder(agency)
    if (problem === undefined) this.agencies.push({ agency })
    return problem
  }

  private problemOfOrder(agency: Agency): string | undefined {
    if (this.pending !== undefined) return agency === this.pending.agency ? undefined : this.missing
    const before = this.agencies.at(-1)?.agency ?? 0
    return agency > before ? undefined : `expected an agency after ${before}, got ${agency}`
  }
}

interface FirstEntry {
  readonly draw: string
  readonly agencies: number
  readonly bets: number
  readonly sealedAt: number
  readonly source: SealedSource
}

const parseFirstLine = (text: string): Result.Result<FirstEntry, string> =>
  Result.map(firstLine(text), ([draw, agencies, bets, sealedAt, source]) => ({
    draw,
    agencies,
    bets,
    sealedAt,
    source
  }))

/** Compares what the first entry counts with what the others say. */
const problemOfTotals = (
  { agencies, bets }: FirstEntry,
  read: Pick<EntryReader, "agencies" | "bets">
): string | undefined => {
  const { length } = read.agencies
  if (agencies !== length) {
    return `AGENCIES: expected ${length}, the agencies that follow, got ${agencies}`
  }
  return bets === read.bets
    ? undefined
    : `BETS: expected ${read.bets}, the sum of the books, got ${bets}`
}

/** Decodes the concatenated entries; fails with the line and what was expected there. */
export const parseEntries = (text: string): Result.Result<Seal, string> =>
  Result.gen(function* () {
    const lines = yield* linesOf(text)
    const first = yield* parseLine(lines, 1, parseFirstLine)
    const reader = new EntryReader()
    for (let index = 1; index < lines.length; index++) {
      const problem = reader.problemOf(lines[index]!)
      if (problem !== undefined) return yield* Result.fail(atLine(index + 1, problem))
    }
    if (reader.missing !== undefined) {
      return yield* Result.fail(atLine(lines.length + 1, reader.missing))
    }
    const problem = problemOfTotals(first, reader)
    if (problem !== undefined) return yield* Result.fail(atLine(1, problem))
    const { draw, sealedAt, source } = first
    return { draw, sealedAt, source, agencies: reader.agencies }
  })

/** Decodes one entry with its LF. */
const parseEntry = <T>(
  entry: string,
  parse: (line: string) => Result.Result<T, string>
): Result.Result<T, string> =>
  Result.flatMap(linesOf(entry), (lines) =>
    lines.length === 1 ? parse(lines[0]!) : Result.fail(`expected one line, got ${lines.length}`)
  )

/** Decodes one `book` entry with its LF, as a proof shows it: without marks. */
export const parseBookEntry = (entry: string): Result.Result<Omit<SealedBook, "marks">, string> =>
  Result.map(parseEntry(entry, bookLine), ([agency, bets, bytes, sha256, salt]) => ({
    agency,
    bets,
    bytes,
    sha256,
    salt
  }))

/** Decodes entry 0 with its LF. */
export const parseFirstEntry = (entry: string): Result.Result<FirstEntry, string> =>
  parseEntry(entry, parseFirstLine)
