/** The book that `lottery client` sends: a file, standard input, or a single bet. */
import { Effect, FileSystem, Option } from "effect"
import * as Book from "../../client/book/Book.ts"
import * as BookFile from "../../client/book/BookFile.ts"
import type * as NotABook from "../../client/book/NotABook.ts"
import * as Rejects from "../../client/book/Rejects.ts"
import { today } from "../../client/book/Today.ts"
import type { Conversation } from "../../client/conversation/Conversation.ts"
import { ActionLine } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import * as ShortBook from "../files/ShortBook.ts"
import * as StandardInput from "../files/StandardInput.ts"
import type * as Setting from "./Setting.ts"
import * as SingleBet from "./SingleBet.ts"
import { bookName } from "./sharedSettings.ts"

export interface Settings {
  readonly agency: Agency
  readonly bets: Option.Option<string>
  readonly bet: SingleBet.Settings
  readonly batchSize: number
  readonly rejects: Option.Option<string>
  readonly maxRejects: Setting.WhenUsed<number>
  readonly expect: Option.Option<number>
  readonly allowEmpty: boolean
}

const defaultBook = (agency: Agency): string => `.data/${bookName(agency)}`

interface Opened {
  readonly book: Book.Book
  readonly name: string
  readonly badLines: number
}

/** Loaded on demand: most files are books. */
const loadNotABook = Effect.promise(() => import("../../client/book/NotABook.ts"))

const warnOfForm = Effect.flatMap((form: NotABook.NotABook | undefined) =>
  form === undefined ? Effect.void : Effect.logWarning(form.message)
)

const openFile = Effect.fnUntraced(function* (
  { agency, batchSize, bets, ...settings }: Settings,
  { check, maxBatchBytes }: Conversation
) {
  const given = Option.getOrElse(bets, () => defaultBook(agency))
  const isSpooled = given === StandardInput.NAME
  const name = isSpooled ? StandardInput.SHOWN_NAME : given
  const rejects = Option.isNone(settings.rejects)
    ? undefined
    : { agency, file: settings.rejects.value, maxRejects: yield* settings.maxRejects.value }
  if (isSpooled && rejects !== undefined) yield* Rejects.check(rejects.file, undefined)
  const file = isSpooled ? yield* StandardInput.spool : given
  // If the file cannot be read, opening it reports that.
  yield* Effect.ignore(ShortBook.optimizeLess(file))
  const options = { name, batchSize, maxBatchBytes, check, rejects, today: yield* today }
  const look = (line: number) =>
    Effect.flatMap(loadNotABook, ({ recognise }) =>
      recognise(file, { ...options, isStandardInput: isSpooled }, line)
    )
  const { badLines, book, unended } = yield* BookFile.open(file, options).pipe(
    Effect.catchTag("BadLine", (bad) =>
      Effect.flatMap(look(bad.line), (form) => Effect.fail(form ?? bad))
    ),
    Effect.tapErrorTag("NotSent", () => warnOfForm(look(1)))
  )
  if (book.total === 0 && badLines > 0) yield* warnOfForm(look(1))
  if (unended !== undefined) {
    const warning = "no line ending; the file may have been cut off"
    const fields = { agencia: agency, file: name, line: unended.line, warning, text: unended.text }
    yield* Effect.logWarning(new ActionLine("last_line", "success", fields))
  }
  return { book, name, badLines } satisfies Opened
})

const openSingle = Effect.fnUntraced(function* (
  { agency, bet }: Settings,
  conversation: Conversation
) {
  const given = yield* SingleBet.fromSettings(bet)
  if (Option.isNone(given)) return undefined
  const fs = yield* FileSystem.FileSystem
  const file = defaultBook(agency)
  const isFileThere = Effect.orElseSucceed(fs.exists(file), () => false)
  // A bet in the environment may be left over from another exercise.
  if (!SingleBet.hasFlag(bet) && (yield* isFileThere)) {
    yield* Effect.logWarning(
      `sending the single bet from the environment, not ${file}; to send the file, use --bets`
    )
  }
  const book = yield* Book.fromBet(given.value, conversation.check, yield* today)
  return { book, name: "the single bet", badLines: 0 } satisfies Opened
})

/** Refuses a book with an unexpected number of bets. An empty book is usually a mistake. */
const checkTotal = Effect.fnUntraced(function* (
  { allowEmpty, expect }: Settings,
  { badLines, book: { total }, name: book }: Opened
) {
  const rejected = badLines === 0 ? "" : ` (rejected lines: ${badLines})`
  if (Option.isSome(expect) && expect.value !== total) {
    const reason = `expected ${expect.value} bets, got ${total}${rejected}`
    return yield* new Book.NotSent({ book, reason })
  }
  if (total > 0) return
  if (badLines > 0) {
    return yield* new Book.NotSent({ book, reason: `no bets${rejected}`, hint: ". Is it a book?" })
  }
  if (!allowEmpty && Option.isNone(expect)) {
    const hint = ". If the agency has none, use --allow-empty"
    return yield* new Book.NotSent({ book, reason: "no bets", hint })
  }
  yield* Effect.logWarning(`${book}: no bets; sending an empty book`)
})

/**
 * Opens the book. The whole book is checked before any of it is sent. `--bets` wins over a single
 * bet, which may be in the environment by accident.
 */
export const open = Effect.fnUntraced(function* (settings: Settings, conversation: Conversation) {
  const single = Option.isSome(settings.bets)
    ? undefined
    : yield* openSingle(settings, conversation)
  const opened = single ?? (yield* openFile(settings, conversation))
  yield* checkTotal(settings, opened)
  return opened.book
})
