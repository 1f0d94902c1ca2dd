/** A book in a file. The whole file is checked before any bet is sent, then read again. */
import { createHash } from "node:crypto"
import { Effect, FileSystem, Stream } from "effect"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import type { Book } from "./Book.ts"
import { type BookOptions, BookParser } from "./BookParser.ts"
import * as Rejects from "./Rejects.ts"

const CHUNK_BYTES = 256 * 1024

/**
 * A book up to this size stays in memory after the check, some 1.4 million bets. A second pass
 * would cost a fifth of the client's processor time.
 */
export const MAX_KEPT_BYTES = 64 * 1024 * 1024

/** Streams a file's bytes. Each piece is valid only until the next one is read. */
export const piecesOf = (file: string, name: string) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const opened = yield* fs.open(file)
      const buffer = new Uint8Array(CHUNK_BYTES)
      const read = Effect.map(opened.read(buffer), (count) =>
        count === 0 ? undefined : ([buffer.subarray(0, count), undefined] as const)
      )
      return Stream.unfold(undefined, () => read)
    })
  ).pipe(Stream.mapError(fileUnavailable(name)))

/** Parses a book. Emits an element after each piece and after the end of the file. */
const parsing = (file: string, name: string, parser: BookParser) =>
  Stream.concat(piecesOf(file, name), Stream.succeed(undefined)).pipe(
    Stream.mapEffect((piece) => {
      if (piece === undefined) parser.finish()
      else parser.push(piece)
      return parser.failure === undefined ? Effect.void : Effect.fail(parser.failure)
    })
  )

/** Streams the bets of a book in non-empty batches. */
const read = (file: string, options: BookOptions) =>
  Stream.suspend(() => {
    const batches: Array<BetBatch> = []
    const parser = new BookParser(options, (builder) => batches.push(builder.build()))
    return parsing(file, options.name, parser).pipe(
      Stream.map(() => batches.splice(0)),
      Stream.flattenIterable,
      // Emit the batches that were complete before the bad line.
      Stream.catch((failure) =>
        Stream.concat(Stream.fromIterable(batches.splice(0)), Stream.fail(failure))
      )
    )
  })

/** Returns a value that changes when the file is written. Fails if it cannot be read twice. */
export const versionOf = Effect.fnUntraced(function* (file: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const { dev, ino, mtime, size, type } = yield* Effect.mapError(
    fs.stat(file),
    fileUnavailable(name)
  )
  if (type === "File") return [dev, ino, mtime, size].join()
  const reason =
    type === "Directory"
      ? "is a folder, expected a file"
      : "cannot be read twice; use - and send it to standard input"
  return yield* new FileUnavailable({ file: name, reason })
})

/** Returns the place of the bet at a position, or undefined if there is none. */
const placeOf = Effect.fnUntraced(function* (file: string, options: BookOptions, position: number) {
  let bets = 0
  let place: string | undefined
  // With one bet per batch, the parser is still at the line of each batch.
  const parser = new BookParser({ ...options, batchSize: 1 }, (builder) => {
    if (bets++ === position) place = `${options.name}:${parser.line}`
    builder.clear()
  })
  yield* parsing(file, options.name, parser).pipe(
    Stream.takeUntil(() => place !== undefined),
    Stream.runDrain,
    // The place is a detail of another error, which matters more than this one.
    Effect.ignore
  )
  return place
})

export interface FileOptions extends Omit<BookOptions, "skipBadLines"> {
  /** The file for bad lines. Without it, the first bad line is an error. */
  readonly rejects?: Rejects.Options | undefined
}

/**
 * Checks a whole book. Fails at the first bad line; with `rejects` it copies bad lines to that file
 * unchanged, and fails only if there are too many.
 */
export const open = Effect.fn("BookFile.open")(function* (file: string, given: FileOptions) {
  const options = { ...given, skipBadLines: given.rejects !== undefined }
  const { name } = options
  const version = yield* versionOf(file, name)
  const rejects = given.rejects && (yield* Rejects.open(file, name, given.rejects))
  const hash = createHash("sha256")
  let total = 0
  let bytes = 0
  let kept: Array<BetBatch> | undefined = []
  const parser = new BookParser(options, (builder) => {
    total += builder.count
    bytes += builder.byteLength
    hash.update(builder.bytes)
    if (bytes > MAX_KEPT_BYTES) kept = undefined
    if (kept === undefined) builder.clear()
    else kept.push(builder.build())
  })
  yield* Stream.runForEach(parsing(file, name, parser), () => rejects?.take(parser) ?? Effect.void)
  if (rejects !== undefined) yield* rejects.finish(parser)

  const { badLines, unended } = parser
  const book: Book = {
    total,
    bytes,
    sha256: hash.digest("hex"),
    batches: Stream.unwrap(
      Effect.map(versionOf(file, name), (now) =>
        kept !== undefined && now === version ? Stream.fromIterable(kept) : read(file, options)
      )
    ),
    placeOf: (position) => placeOf(file, options, position)
  }
  return { book, badLines, unended }
}, Effect.scoped)
