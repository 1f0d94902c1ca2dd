/** Says what a file is that is not a book, and how to make a book of it. */
import { basename, dirname, join } from "node:path"
import { Data, Effect } from "effect"
import * as BookSample from "./BookSample.ts"
import * as ByteForms from "./ByteForms.ts"
import * as TextForms from "./TextForms.ts"

export class NotABook extends Data.TaggedError("NotABook")<{
  /** The forms of the file, after its name. */
  readonly what: string
  readonly cure: string
  /** The file as a word of a command. */
  readonly word: string
}> {
  /** For the log, whose text format escapes the `|` between two commands. */
  override get message(): string {
    const { cure, text, what, word } = this
    return cure.includes("|") ? `${what}; lottery check ${word} names the command` : text
  }

  /** The forms and the cure. */
  get text(): string {
    return `${this.what}; ${this.cure}`
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
  return /^[\w./@%+,:-][\w./@%+,:=-]*$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

const cureOf = (forms: ReadonlyArray<ByteForms.Form>, file: string): string => {
  const [first, ...others] = forms.map(({ filter }) => filter)
  if (first === undefined) return forms.flatMap(({ advice }) => advice ?? []).join()
  const word = shellWord(file)
  const reading = first === ByteForms.UNZIP ? `${first} ${word}` : `${first} < ${word}`
  const command = [reading, ...others].join(" | ")
  return `convert it with: ${command} > ${shellWord(bookFileOf(file))}`
}

const formsOf = (sample: BookSample.BookSample, today: string): ReadonlyArray<ByteForms.Form> => {
  const form = ByteForms.formOf(sample)
  if (form !== undefined && form.text === undefined) return [form]
  const text = form?.text ?? new TextDecoder().decode(sample.bytes)
  const { hasCommaOrQuote } = sample
  return [
    ...(form === undefined ? [] : [form]),
    ...TextForms.formsOf(text, { today, hasCommaOrQuote })
  ]
}

/** A name that the output would escape, or a stream that is not a file's own name. */
const UNUSABLE_NAME = /\p{Cc}|^\/(?:dev|proc)\//u

export interface Options {
  readonly name: string
  readonly today: string
  readonly isStandardInput: boolean
}

/** Returns what a file is instead of a book, from its first bad line; undefined if unknown. */
export const recognise = Effect.fnUntraced(function* (
  given: string,
  { isStandardInput, name, today }: Options,
  line: number
) {
  const forms = yield* BookSample.read(given, name, line).pipe(
    Effect.map((sample) => formsOf(sample, today)),
    // The form is a detail of another error, which matters more than this one.
    Effect.orElseSucceed(() => [])
  )
  if (forms.length === 0) return undefined
  const file = isStandardInput || UNUSABLE_NAME.test(given) ? "FILE" : given
  const clauses = new Intl.ListFormat("en").format(forms.map(({ clause }) => clause))
  const what = `${line === 1 ? name : `${name}:${line}`}: ${clauses}`
  return new NotABook({ what, cure: cureOf(forms, file), word: shellWord(file) })
})
