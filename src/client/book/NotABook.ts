/** Says what a file is that is not a book, and how to make a book of it. */
import { basename, dirname, join } from "node:path"
import { Data, Effect } from "effect"
import { BookParser } from "./BookParser.ts"
import * as BookSample from "./BookSample.ts"
import { BYTE_FORMS } from "./ByteForms.ts"
import { TEXT_FORMS } from "./TextForms.ts"

export class NotABook extends Data.TaggedError("NotABook")<{
  readonly book: string
  /** The first bad line. */
  readonly line: number
  readonly forms: ReadonlyArray<BookSample.Found>
  /** The file, unless it is standard input. */
  readonly file: string | undefined
}> {
  /** For the log, whose text format escapes the `|` between two commands. */
  override get message(): string {
    const { command } = this
    const isWhole = command === undefined || !command.includes("|")
    return isWhole ? this.text : this.textWith(`lottery check ${this.from} names the command`)
  }

  /** The forms and the cure. */
  get text(): string {
    const { command, forms } = this
    const advice = forms.flatMap((form) => form.advice ?? []).join(", ")
    return this.textWith(command === undefined ? advice : `make a book of it: ${command}`)
  }

  private textWith(cure: string): string {
    const { book, forms, line } = this
    const place = line === 1 ? book : `${book}:${line}`
    const clauses = new Intl.ListFormat("en").format(forms.map(({ clause }) => clause))
    return `${place}: ${clauses}; ${cure}`
  }

  private get from(): string {
    return this.file === undefined ? "FILE" : shellWord(this.file)
  }

  /** The shell command that makes a book; undefined if there is none. */
  private get command(): string | undefined {
    const { file, forms, from } = this
    if (forms.some(({ filter }) => filter === undefined)) return undefined
    const [first = "", ...others] = forms.flatMap(({ filter }) => filter ?? [])
    const to = file === undefined ? "FILE.book.csv" : shellWord(bookFileOf(file))
    const reading = first === BookSample.UNZIP ? `${first} ${from}` : `${first} < ${from}`
    return `${[reading, ...others].join(" | ")} > ${to}`
  }
}

/** `folder/agency-3.book.csv` for `folder/agency-3.csv.gz`: it must not be the file itself. */
const bookFileOf = (file: string): string => {
  const name = basename(file).replace(/(?:\.(?:csv|txt|tsv|gz|zip))+$/i, "")
  return join(dirname(file), `${name}.book.csv`)
}

/** Quotes a file name for a shell if it needs quotes. */
const shellWord = (file: string): string => {
  const path = file.startsWith("-") ? `./${file}` : file
  return /^[\w./@%+,:=-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

const BATCH = { batchSize: 1000, maxBatchBytes: 64 * 1024 }

const firstBadLine = (bytes: Uint8Array, today: string): BookSample.Bad | undefined => {
  const options = { ...BATCH, name: "", skipBadLines: false, today }
  const parser = new BookParser(options, (builder) => builder.clear())
  parser.push(bytes)
  parser.finish()
  if (parser.failure === undefined) return undefined
  const { field, line } = parser.failure
  const text = new TextDecoder().decode(bytes)
  const start = line === 1 ? 0 : text.split("\n", line - 1).join("\n").length + 1
  return { field, line, text: text.slice(start) }
}

const FORMS = [...BYTE_FORMS, ...TEXT_FORMS]

/** Recognises the forms of a file one after the other, in the order of their filters. */
export const formsOf = (
  given: BookSample.Sample,
  today: string
): ReadonlyArray<BookSample.Found> => {
  const found: Array<BookSample.Found> = []
  const unseen = new Set(FORMS)
  let sample = given
  for (;;) {
    const bad = firstBadLine(sample.bytes, today)
    if (bad === undefined) return found
    const next = findFirst(unseen, (form) => form(sample, bad))
    if (next === undefined) return found
    found.push(next)
    sample = next.sample
  }
}

/** Removes the first form that is found, because no form is found twice. */
const findFirst = (
  forms: Set<BookSample.Form>,
  look: (form: BookSample.Form) => BookSample.Found | undefined
): BookSample.Found | undefined => {
  for (const form of forms) {
    const found = look(form)
    if (found === undefined) continue
    forms.delete(form)
    return found
  }
  return undefined
}

export interface Options {
  readonly name: string
  readonly today: string
  readonly isStandardInput: boolean
}

/** Returns what a file is instead of a book, from its first bad line; undefined if unknown. */
export const recognise = Effect.fnUntraced(function* (
  file: string,
  { isStandardInput, name, today }: Options,
  line: number
) {
  const forms = yield* BookSample.read(file, name, line).pipe(
    Effect.map((sample) => formsOf(sample, today)),
    // The form is a detail of another error, which matters more than this one.
    Effect.orElseSucceed(() => [])
  )
  if (forms.length === 0) return undefined
  return new NotABook({ book: name, line, forms, file: isStandardInput ? undefined : file })
})
