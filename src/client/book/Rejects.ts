/** Writes a book's bad lines to a file, unchanged, and logs them. */
import { fstatSync } from "node:fs"
import { Effect, FileSystem, Option } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { NotSent } from "./Book.ts"
import { type BookParser, SHOWN_BAD_LINES } from "./BookParser.ts"

export interface Options {
  readonly file: string
  /** Maximum bad lines. A higher number suggests the wrong file or format. */
  readonly maxRejects: number
  /** The book's agency, for the log. */
  readonly agency: Agency
}

/** The process's standard streams, by file descriptor. */
const STREAMS = ["standard input", "standard output", "standard error"] as const

/** Returns a value that is equal for two names of the same file. */
const identityOf = (dev: bigint, ino: bigint | undefined): string => `${dev}:${ino}`

const identityOfStream = (fd: number): string => {
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return identityOf(dev, ino)
}

const NULL_DEVICE = "/dev/null"
/** Bad lines may contain personal data, as bets do. */
const OWNER_ONLY = 0o600

/** Returns why a file cannot be used for the book's bad lines; undefined if it can. */
const refusal = Effect.fnUntraced(function* (rejects: string, book: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  if (rejects === "-") return "expected a file for the bad lines"
  if (rejects === NULL_DEVICE) return undefined
  // Another user may have created it.
  if (yield* Effect.isSuccess(fs.readLink(rejects))) return "is a symbolic link, expected a file"
  if (!(yield* fs.exists(rejects))) return undefined
  const found = yield* fs.stat(rejects)
  if (found.type === "Directory") return "is a folder, expected a file"
  if (found.type !== "File") return "is not a regular file"
  const user = Option.getOrUndefined(found.uid)
  if (process.geteuid !== undefined && user !== process.geteuid()) {
    return `belongs to user ${user}, who could read the bad lines; remove it`
  }
  const identity = identityOf(found.dev, Option.getOrUndefined(found.ino))
  if (book !== undefined) {
    const { dev, ino } = yield* fs.stat(book)
    if (identityOf(dev, Option.getOrUndefined(ino)) === identity) {
      return "is the book itself, expected another file"
    }
  }
  if (yield* fs.exists(`${rejects}.lock`)) return "is a bet store, expected another file"
  const stream = STREAMS.find((_, fd) => identityOfStream(fd) === identity)
  return stream === undefined ? undefined : `is ${stream} of this process, expected another file`
})

/** Fails if `rejects` cannot be used for the bad lines of `book`, or of standard input. */
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

/** Opens and truncates the file for a book's bad lines; closes it with the scope. */
export const open = Effect.fnUntraced(function* (book: string, name: string, options: Options) {
  const { agency: agencia, file, maxRejects } = options
  const fs = yield* FileSystem.FileSystem
  yield* check(file, book)
  const how = { flag: "w", mode: OWNER_ONLY, noFollow: true } as const
  const opened = yield* Effect.mapError(fs.open(file, how), fileUnavailable(file))

  /** Logs how many lines were rejected and, as `more`, how many were not logged one by one. */
  const finish = Effect.fnUntraced(function* ({ badLines }: BookParser) {
    if (badLines === 0) return
    const more = badLines > SHOWN_BAD_LINES ? badLines - SHOWN_BAD_LINES : undefined
    yield* logAction("rejected_lines", "fail", { agencia, cantidad: badLines, more, file })
  })

  /** Writes and logs the newly rejected lines. Fails if there are too many. */
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
    const found = `${badLines} of the first ${line - 1} lines are bad`
    const reason = `${found}, but --max-rejects allows ${maxRejects}`
    return yield* new NotSent({ book: name, reason })
  })

  return { take, finish }
})
