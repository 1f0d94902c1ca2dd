/** `lottery check`: checks whole books without sending them. */
import { Console, Data, Effect, Runtime } from "effect"
import { Argument, CliError, Command } from "effect/cli"
import * as BookCheck from "../../client/book/BookCheck.ts"
import { today } from "../../client/book/Today.ts"
import * as StandardInput from "../files/StandardInput.ts"
import { escapeControls } from "../log/LogFormat.ts"
import * as Setting from "../settings/Setting.ts"
import * as SettingText from "../settings/SettingText.ts"
import * as TextFlag from "../settings/TextFlag.ts"

const MAX_ERRORS = 10_000

export const settings = {
  maxErrors: Setting.withDefault("max-errors", "<number>", {
    description: "Maximum errors to print per book; all are counted",
    schema: SettingText.intBetween(0, MAX_ERRORS),
    default: 20
  })
}

class BadBooks extends Data.TaggedError("BadBooks")<{ readonly books: number }> {
  // Standard output has the errors.
  override readonly [Runtime.errorReported] = false

  override get message(): string {
    return `bad books: ${this.books}`
  }
}

/** Prints lines that may contain text of a book. */
const print = (text: string) => Console.log(escapeControls(text))

const report = Effect.fnUntraced(function* (name: string, checked: BookCheck.Checked) {
  const { bets, errors, firstErrors, form, repeated, unended } = checked
  if (form !== undefined) yield* print(form.text)
  // If no line is a bet, the form explains all errors.
  if (form === undefined || bets > 0) {
    for (const { message } of firstErrors) yield* print(message)
    const more = errors - firstErrors.length
    if (more > 0) yield* print(`${name}: and ${more} more ${more === 1 ? "error" : "errors"}`)
  }
  if (unended !== undefined) {
    const { line, text } = unended
    yield* print(`${name}:${line}: no line ending; the file may have been cut off after: ${text}`)
  }
  if (bets === 0 && errors === 0) {
    yield* print(`${name}: no bets; the client sends it only with --allow-empty`)
  }
  const { documents, rows } = repeated
  const repeatedText = `equal rows: ${rows}; same document and number: ${documents}`
  yield* print(`${name}: bets: ${bets}; errors: ${errors}; ${repeatedText}`)
})

/** Checks a book, prints what was found, and returns whether it is good. */
const checkOne = Effect.fnUntraced(
  function* (book: string, maxErrors: number) {
    const isStandardInput = book === StandardInput.NAME
    const name = isStandardInput ? StandardInput.SHOWN_NAME : book
    const file = isStandardInput ? yield* StandardInput.spool : book
    const options = { name, isStandardInput, maxErrors, today: yield* today }
    const checked = yield* BookCheck.check(file, options)
    yield* report(name, checked)
    return checked.errors === 0
  },
  // The other books are checked all the same.
  Effect.catchTag("FileUnavailable", ({ message }) => Effect.as(print(message), false)),
  Effect.scoped
)

export const check = Command.make(
  "check",
  {
    books: TextFlag.fileArgument("book").pipe(
      Argument.withDescription("Book to check; - means standard input"),
      Argument.atLeast(1)
    ),
    ...settings
  },
  Effect.fnUntraced(function* ({ books, maxErrors }) {
    if (books.filter((book) => book === StandardInput.NAME).length > 1) {
      const message = "expected - once, because standard input can be read only once"
      return yield* new CliError.ValidationError({ message })
    }
    let bad = 0
    for (const book of books) if (!(yield* checkOne(book, maxErrors))) bad++
    if (bad > 0) return yield* new BadBooks({ books: bad })
  })
).pipe(
  Command.withExamples([
    {
      command: "lottery check agency-3.csv",
      description: "Check the book of agency 3 before it is sent"
    }
  ])
)
