/** An agency's book in a file: checked as a whole before any of it is sent, then read again. */
import { createHash } from "node:crypto"
import { Effect, FileSystem, Stream } from "effect"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import type { Book } from "./Book.ts"
import { type BookOptions, BookParser } from "./BookParser.ts"
import * as Rejects from "./Rejects.ts"

/** How much is read from the file at a time, in bytes. */
const CHUNK_BYTES = 256 * 1024

/** A book of at most this many bytes stays in memory from the check to the sending. */
const KEPT_BYTES = 4 * 1024 * 1024

/** The bytes of a file piece by piece; each is good until the next is asked for. */
const piecesOf = (file: string, name: string) =>
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

/** Puts a book through a parser; an element says that another piece, or the end, was parsed. */
const parsing = (file: string, name: string, parser: BookParser) =>
  Stream.concat(piecesOf(file, name), Stream.succeed(undefined)).pipe(
    Stream.mapEffect((piece) => {
      if (piece === undefined) parser.finish()
      else parser.push(piece)
      return parser.failure === undefined ? Effect.void : Effect.fail(parser.failure)
    })
  )

/** The bets of a book in batches, none of them empty. */
const read = (file: string, options: BookOptions) =>
  Stream.suspend(() => {
    const batches: Array<BetBatch> = []
    const parser = new BookParser(options, (builder) => batches.push(builder.build()))
    return parsing(file, options.name, parser).pipe(
      Stream.map(() => batches.splice(0)),
      Stream.flattenIterable,
      // Batches that were complete before a bad line come first.
      Stream.catch((failure) =>
        Stream.concat(Stream.fromIterable(batches.splice(0)), Stream.fail(failure))
      )
    )
  })

/** What tells a file from the same one after a write. Fails if it cannot be read twice. */
const versionOf = Effect.fnUntraced(function* (file: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const { dev, ino, mtime, size, type } = yield* Effect.mapError(
    fs.stat(file),
    fileUnavailable(name)
  )
  if (type === "File") return [dev, ino, mtime, size].join()
  const reason =
    type === "Directory"
      ? "is a folder, expected a file"
      : "is not a file that can be read twice; give it on standard input, as -"
  return yield* new FileUnavailable({ file: name, reason })
})

/** The place of the bet at a position; undefined if there is none. */
const placeOf = Effect.fnUntraced(function* (file: string, options: BookOptions, position: number) {
  let bets = 0
  let place: string | undefined
  // One bet a batch: each is taken while the parser is at its line.
  const parser = new BookParser({ ...options, batchSize: 1 }, (builder) => {
    if (bets++ === position) place = `${options.name}:${parser.line}`
    builder.clear()
  })
  yield* parsing(file, options.name, parser).pipe(
    Stream.takeUntil(() => place !== undefined),
    Stream.runDrain,
    // The place goes into another error, which says more than this one.
    Effect.ignore
  )
  return place
})

/** Where bad lines go, if they are to be left out. */
export interface FileOptions extends Omit<BookOptions, "skipBadLines"> {
  readonly rejects?: Rejects.Options | undefined
}

/**
 * Goes over a whole book before any of it is sent. Fails at its first bad line; with `rejects` it
 * writes each bad line to that file as it is in the book and goes on, as long as they are not too
 * many.
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
    if (bytes > KEPT_BYTES) kept = undefined
    if (kept === undefined) builder.clear()
    else kept.push(builder.build())
  })
  yield* Stream.runForEach(parsing(file, name, parser), () => rejects?.take(parser) ?? Effect.void)
  if (rejects !== undefined) yield* rejects.finish(parser)

  const book: Book = {
    total,
    sha256: hash.digest("hex"),
    batches: Stream.unwrap(
      Effect.map(versionOf(file, name), (now) =>
        kept !== undefined && now === version ? Stream.fromIterable(kept) : read(file, options)
      )
    ),
    placeOf: (position) => placeOf(file, options, position)
  }
  const { badLines, unended } = parser
  return { book, badLines, unended }
}, Effect.scoped)
