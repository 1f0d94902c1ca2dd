/** The file that takes a book's bad lines, as they are in the book; each is told in the log too. */
import { fstatSync } from "node:fs"
import { Data, Effect, FileSystem, Option } from "effect"
import { logAction } from "../../domain/ActionLog.ts"
import type { Agency } from "../../domain/Agency.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { type BookParser, SHOWN_BAD_LINES } from "./BookParser.ts"

export interface Options {
  readonly file: string
  /** The most lines that may go there. */
  readonly maxRejects: number
  /** Whose book it is, for the log. */
  readonly agency: Agency
}

/** More lines are bad than may be: it is another file than was meant, or another format. */
export class TooManyRejects extends Data.TaggedError("TooManyRejects")<{
  readonly book: string
  readonly maxRejects: number
  readonly badLines: number
  /** How many lines were read, the bad ones among them. */
  readonly lines: number
}> {
  override get message(): string {
    const { badLines, book, lines, maxRejects } = this
    return (
      `${book}: ${badLines} of the first ${lines} lines are bad, at most ${maxRejects} may be ` +
      "rejected (--max-rejects); nothing was sent"
    )
  }
}

/** What tells a file from every other, whatever its names. */
interface Identity {
  readonly dev: bigint
  readonly ino: bigint | undefined
}

const STREAMS = [
  [0, "standard input"],
  [1, "standard output"],
  [2, "standard error"]
] as const

/** What an open stream of this process is; reads nothing of it. */
const streamIdentity = (fd: number): Identity => fstatSync(fd, { bigint: true })

const pathIdentity = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const { dev, ino, type, uid } = yield* fs.stat(path)
  return { dev, ino: Option.getOrUndefined(ino), type, user: Option.getOrUndefined(uid) }
})

const isSame = (one: Identity, other: Identity): boolean =>
  one.ino !== undefined && one.dev === other.dev && one.ino === other.ino

const NULL_DEVICE = "/dev/null"
/** Bad lines are bets too. */
const OWNER_ONLY = 0o600
const IS_BOOK = "is the book itself, and cannot take its bad lines"

/**
 * Why a file that is there cannot take the bad lines of the book; undefined: it can. The book may
 * also come on standard input.
 */
const refusal = Effect.fnUntraced(function* (rejects: string, book: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  if (rejects === "-") return "expected a file for the bad lines"
  if (rejects === NULL_DEVICE) return undefined
  // Another user may have put it there.
  const isLink = Effect.match(fs.readLink(rejects), {
    onSuccess: () => true,
    onFailure: () => false
  })
  if (yield* isLink) return "is a symbolic link, expected a file"
  if (!(yield* fs.exists(rejects))) return undefined
  const found = yield* pathIdentity(rejects)
  if (found.type === "Directory") return "is a folder, expected a file"
  if (found.type !== "File") return "is not a regular file"
  if (process.geteuid !== undefined && found.user !== process.geteuid()) {
    return `belongs to user ${found.user}, who could read what is written there; remove it`
  }
  if (book !== undefined && isSame(found, yield* pathIdentity(book))) return IS_BOOK
  if (yield* fs.exists(`${rejects}.lock`)) return "is a store of bets, expected another file"
  const stream = STREAMS.find(([fd]) => isSame(found, streamIdentity(fd)))
  return stream === undefined ? undefined : `is ${stream[1]} of this process, expected another file`
})

/**
 * Refuses a file that cannot take the bad lines of the book in the file `book`, or on standard
 * input where there is none; writes nothing.
 */
export const check = Effect.fnUntraced(
  function* (rejects: string, book: string | undefined) {
    const reason = yield* refusal(rejects, book)
    if (reason !== undefined) return yield* new FileUnavailable({ file: rejects, reason })
  },
  (effect, rejects, _book) =>
    Effect.catchTag(effect, "PlatformError", (error) =>
      Effect.fail(fileUnavailable(rejects)(error))
    )
)

/** Logs the bad lines found since the last time. */
const logShown = ({ shownBadLines }: BookParser, agencia: Agency) =>
  Effect.forEach(
    shownBadLines.splice(0),
    ({ field, line, reason }) =>
      logAction("rejected_line", "fail", { agencia, line, field, error: reason }),
    { discard: true }
  )

/** Logs how many lines were rejected, and how many of them were not told one by one. */
const logCount = ({ badLines }: BookParser, { agency, file }: Options) =>
  badLines === 0
    ? Effect.void
    : logAction("rejected_lines", "fail", {
        agencia: agency,
        cantidad: badLines,
        more: badLines > SHOWN_BAD_LINES ? badLines - SHOWN_BAD_LINES : undefined,
        file
      })

/** Opens the file for the bad lines of a book, emptied; it closes with the scope. */
export const open = Effect.fnUntraced(function* (book: string, name: string, options: Options) {
  const { agency, file, maxRejects } = options
  const fs = yield* FileSystem.FileSystem
  yield* check(file, book)
  const how = { flag: "w", mode: OWNER_ONLY, noFollow: true } as const
  const opened = yield* Effect.mapError(fs.open(file, how), fileUnavailable(file))
  return {
    /** Writes and logs what a parser has found since the last time; fails with too many. */
    take: Effect.fnUntraced(function* (parser: BookParser, rejected: ReadonlyArray<Uint8Array>) {
      for (const bytes of rejected) {
        yield* Effect.mapError(opened.writeAll(bytes), fileUnavailable(file))
      }
      yield* logShown(parser, agency)
      const { badLines, line } = parser
      if (badLines <= maxRejects) return
      yield* logCount(parser, options)
      return yield* new TooManyRejects({ book: name, maxRejects, badLines, lines: line - 1 })
    }),
    /** Logs how many there were. */
    finish: (parser: BookParser) => logCount(parser, options)
  }
})
