/** The book that `lottery client` sends: a file, standard input, or a single bet. */
import { fstatSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Book from "../../client/book/Book.ts"
import type { UnendedLine } from "../../client/book/BookParser.ts"
import * as BookTotal from "../../client/book/BookTotal.ts"
import * as Rejects from "../../client/book/Rejects.ts"
import { today } from "../../client/book/Today.ts"
import type { Conversation } from "../../client/conversation/Conversation.ts"
import { ActionLine } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { FileUnavailable, fileUnavailable, TEMPORARY_FILES } from "../../domain/FileUnavailable.ts"
import { bookName } from "../files/GeneratedBook.ts"
import type * as Setting from "./Setting.ts"
import * as SingleBet from "./SingleBet.ts"

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

/** A few bad lines are slips; many mean that the file is not a book, or in another format. */
export const DEFAULT_MAX_REJECTS = 50

const STANDARD_INPUT = "-"

/** Standard input as a file, which is needed twice: to check the book, and to send it. */
const spoolStandardInput = Effect.fnUntraced(
  function* (name: string) {
    const fs = yield* FileSystem.FileSystem
    const { stdin } = yield* Stdio.Stdio
    // Node takes these for an input without content.
    const found = fstatSync(0)
    if (found.isDirectory() || found.isBlockDevice()) {
      return yield* new FileUnavailable({ file: name, reason: "is not a file or a stream" })
    }
    const file = yield* fs.makeTempFileScoped({ prefix: "lottery-book-" })
    yield* Stream.run(Stream.mapError(stdin, fileUnavailable(name)), fs.sink(file))
    return file
  },
  Effect.catchTag("PlatformError", (error) => Effect.fail(fileUnavailable(TEMPORARY_FILES)(error)))
)

const defaultBook = (agency: Agency): string => `.data/${bookName(agency)}`

const rejectsOf = Effect.fnUntraced(function* ({ agency, maxRejects, rejects }: Settings) {
  if (Option.isNone(rejects)) return undefined
  const options = { agency, file: rejects.value }
  return { ...options, maxRejects: yield* maxRejects.orElse(DEFAULT_MAX_REJECTS) }
})

const warnOfUnended = (agencia: Agency, file: string, { line, text }: UnendedLine) =>
  Effect.logWarning(
    new ActionLine("last_line", "success", {
      agencia,
      file,
      line,
      warning: "it has no line end and may have been cut off",
      text
    })
  )

const openFile = Effect.fnUntraced(function* (
  settings: Settings,
  { check, maxBatchBytes }: Conversation
) {
  const { agency, batchSize, bets } = settings
  const given = Option.getOrElse(bets, () => defaultBook(agency))
  const isSpooled = given === STANDARD_INPUT
  const name = isSpooled ? "standard input" : given
  const rejects = yield* rejectsOf(settings)
  if (isSpooled && rejects !== undefined) yield* Rejects.check(rejects.file, undefined)
  const file = isSpooled ? yield* spoolStandardInput(name) : given
  const { badLines, book, unended } = yield* Book.fromFile(file, {
    ...{ name, batchSize, maxBatchBytes, check, rejects },
    today: yield* today
  })
  if (unended !== undefined) yield* warnOfUnended(agency, name, unended)
  return { book, name, badLines }
})

/** A bet that no flag gives may be left in the environment from another exercise. */
const warnOfBook = Effect.fnUntraced(function* ({ agency, bet }: Settings) {
  const fs = yield* FileSystem.FileSystem
  const book = defaultBook(agency)
  const isThere = Effect.orElseSucceed(fs.exists(book), () => false)
  if (SingleBet.hasFlag(bet) || !(yield* isThere)) return
  yield* Effect.logWarning(
    `the single bet of the environment is the agency's book, and not ${book}; ` +
      "to send that one, give --bets"
  )
})

const openSingle = Effect.fnUntraced(function* (settings: Settings, { check }: Conversation) {
  const bet = yield* SingleBet.fromSettings(settings.bet)
  if (Option.isNone(bet)) return undefined
  yield* warnOfBook(settings)
  const book = yield* Book.fromBet(bet.value, check, yield* today)
  return { book, name: "the single bet", badLines: 0 }
})

/** Checks the whole book before any of it is sent; fails if it must not be sent. */
export const open = Effect.fnUntraced(function* (settings: Settings, conversation: Conversation) {
  // A book that is asked for wins over a bet that may only happen to be in the environment.
  const single = Option.isSome(settings.bets)
    ? undefined
    : yield* openSingle(settings, conversation)
  const { badLines, book, name } = single ?? (yield* openFile(settings, conversation))
  const { total } = book
  yield* BookTotal.check(
    { book: name, total, badLines },
    { allowEmpty: settings.allowEmpty, bets: Option.getOrUndefined(settings.expect) }
  )
  if (total === 0) yield* Effect.logWarning(`${name}: no bets; the agency has none`)
  return book
})
