/** The file that takes a book's bad lines as they are in the book; the log names each of them. */
import { fstatSync } from "node:fs"
import { Effect, FileSystem, Option } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { NotSent } from "./Book.ts"
import { type BookParser, SHOWN_BAD_LINES } from "./BookParser.ts"

export interface Options {
  readonly file: string
  /** The most lines that may go there; more mean another file than was meant, or format. */
  readonly maxRejects: number
  /** Whose book it is, for the log. */
  readonly agency: Agency
}

/** The streams of this process by their file descriptors. */
const STREAMS = ["standard input", "standard output", "standard error"] as const

/** What tells a file from every other, whatever its names. */
const identityOf = (dev: bigint, ino: bigint | undefined): string => `${dev}:${ino}`

const identityOfStream = (fd: number): string => {
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return identityOf(dev, ino)
}

const NULL_DEVICE = "/dev/null"
/** Bad lines are bets too. */
const OWNER_ONLY = 0o600

/** Returns why a file cannot take the bad lines of the book, if it cannot. */
const refusal = Effect.fnUntraced(function* (rejects: string, book: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  if (rejects === "-") return "expected a file for the bad lines"
  if (rejects === NULL_DEVICE) return undefined
  // Another user may have put it there.
  if (yield* Effect.isSuccess(fs.readLink(rejects))) return "is a symbolic link, expected a file"
  if (!(yield* fs.exists(rejects))) return undefined
  const found = yield* fs.stat(rejects)
  if (found.type === "Directory") return "is a folder, expected a file"
  if (found.type !== "File") return "is not a regular file"
  const user = Option.getOrUndefined(found.uid)
  if (process.geteuid !== undefined && user !== process.geteuid()) {
    return `belongs to user ${user}, who could read what is written there; remove it`
  }
  const identity = identityOf(found.dev, Option.getOrUndefined(found.ino))
  if (book !== undefined) {
    const { dev, ino } = yield* fs.stat(book)
    if (identityOf(dev, Option.getOrUndefined(ino)) === identity) {
      return "is the book itself, and cannot take its bad lines"
    }
  }
  if (yield* fs.exists(`${rejects}.lock`)) return "is a store of bets, expected another file"
  const stream = STREAMS.find((_, fd) => identityOfStream(fd) === identity)
  return stream === undefined ? undefined : `is ${stream} of this process, expected another file`
})

/** Refuses a file that cannot take the bad lines of the file `book`, or of standard input. */
export const check = Effect.fnUntraced(
  function* (rejects: string, book: string | undefined) {
    const reason = yield* refusal(rejects, book)
    if (reason !== undefined) return yield* new FileUnavailable({ file: rejects, reason })
  },
  (effect, rejects) =>
    Effect.catchTag(effect, "PlatformError", (error) =>
      Effect.fail(fileUnavailable(rejects)(error))
    )
)

/** Opens the file for the bad lines of a book, emptied; it closes with the scope. */
export const open = Effect.fnUntraced(function* (book: string, name: string, options: Options) {
  const { agency: agencia, file, maxRejects } = options
  const fs = yield* FileSystem.FileSystem
  yield* check(file, book)
  const how = { flag: "w", mode: OWNER_ONLY, noFollow: true } as const
  const opened = yield* Effect.mapError(fs.open(file, how), fileUnavailable(file))

  /** Logs how many lines were rejected, and how many of them have no log line of their own. */
  const finish = Effect.fnUntraced(function* ({ badLines }: BookParser) {
    if (badLines === 0) return
    const more = badLines > SHOWN_BAD_LINES ? badLines - SHOWN_BAD_LINES : undefined
    yield* logAction("rejected_lines", "fail", { agencia, cantidad: badLines, more, file })
  })

  /** Writes and logs what a parser has rejected since the last time; fails with too many. */
  const take = Effect.fnUntraced(function* (parser: BookParser) {
    for (const bytes of parser.rejected.splice(0)) {
      yield* Effect.mapError(opened.writeAll(bytes), fileUnavailable(file))
    }
    for (const { field, line, reason } of parser.shownBadLines.splice(0)) {
      yield* logAction("rejected_line", "fail", { agencia, line, field, error: reason })
    }
    const { badLines, line } = parser
    if (badLines <= maxRejects) return
    yield* finish(parser)
    const reason =
      `${badLines} of the first ${line - 1} lines are bad, at most ${maxRejects} may be ` +
      "rejected (--max-rejects)"
    return yield* new NotSent({ book: name, reason })
  })

  return { take, finish }
})
