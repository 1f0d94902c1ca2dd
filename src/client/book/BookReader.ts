/** Reads an agency's book from its file: what is in it, its bets in batches, the line of a bet. */
import { createHash } from "node:crypto"
import { Effect, FileSystem, Stream } from "effect"
import type { BetBatch, BetBatchBuilder } from "../../domain/BetBatch.ts"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { type BadLine, type BookOptions, BookParser, type UnendedLine } from "./BookParser.ts"
import * as Rejects from "./Rejects.ts"

/** How much is read from the file at a time, in bytes. */
const CHUNK_BYTES = 256 * 1024

/** What a first pass over a book found. */
export interface BookSummary {
  readonly bets: number
  /** Of the canonical rows. */
  readonly bytes: number
  /** Of the canonical rows, as 64 lower-case hex digits. */
  readonly sha256: string
  readonly badLines: number
  /** Its last line, if that has no line end. */
  readonly unended: UnendedLine | undefined
  /** Its batches, unless they are more than `KEPT_BYTES` together. */
  readonly kept: ReadonlyArray<BetBatch> | undefined
  /** What tells, once it is another, that its file was written since. */
  readonly version: string
}

/** A book of so many bytes is kept from the first pass to the second. */
const KEPT_BYTES = 4 * 1024 * 1024

/** The bytes of a file piece by piece; each is good until the next is asked for. */
const bytesOf = (file: string, name: string) =>
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

/** The book piece by piece through a parser; `undefined` stands for the book's end. */
const parsed = (file: string, parser: BookParser) =>
  Stream.concat(bytesOf(file, parser.name), Stream.succeed(undefined)).pipe(
    Stream.map((chunk) => {
      if (chunk === undefined) parser.finish()
      else parser.push(chunk)
      return { rejected: parser.rejected.splice(0), failure: parser.failure }
    })
  )

/**
 * The bets of a book in batches, none of them empty. Ends at the first bad line, after the batches
 * before it, unless bad lines are skipped.
 */
export const read = (
  file: string,
  options: BookOptions
): Stream.Stream<BetBatch, BadLine | FileUnavailable, FileSystem.FileSystem> =>
  Stream.suspend(() => {
    const batches: Array<BetBatch> = []
    const parser = new BookParser(file, options, (builder) => batches.push(builder.build()))
    return parsed(file, parser).pipe(
      Stream.flatMap(({ failure }) => {
        const complete = Stream.fromArray(batches.splice(0))
        return failure === undefined ? complete : Stream.concat(complete, Stream.fail(failure))
      })
    )
  })

/**
 * What tells a file from the same one once it was written. A book is read twice, which only a file
 * can be.
 */
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

/** The bets of a book that was kept, or those that its file has now where that was written. */
export const readKept = (
  file: string,
  options: BookOptions,
  { kept, version }: Pick<BookSummary, "kept" | "version">
) =>
  Stream.unwrap(
    Effect.map(versionOf(file, options.name ?? file), (now) =>
      kept !== undefined && now === version ? Stream.fromIterable(kept) : read(file, options)
    )
  )

/** Where bad lines go, and how many of them do. */
export interface InspectOptions extends Omit<BookOptions, "skipBadLines"> {
  readonly rejects?: Rejects.Options | undefined
}

/**
 * Goes over a whole book before anything of it is sent: fails at its first bad line, or, with
 * `rejects`, writes each bad line to that file as it is in the book and goes on, as long as they
 * are not too many.
 */
export const inspect = Effect.fn("BookReader.inspect")(function* (
  file: string,
  options: InspectOptions
) {
  const name = options.name ?? file
  const version = yield* versionOf(file, name)
  const rejects =
    options.rejects === undefined ? undefined : yield* Rejects.open(file, name, options.rejects)
  const hash = createHash("sha256")
  let bets = 0
  let bytes = 0
  let kept: Array<BetBatch> | undefined = []
  const take = (builder: BetBatchBuilder) => {
    bets += builder.count
    bytes += builder.byteLength
    hash.update(builder.bytes)
    if (bytes > KEPT_BYTES) kept = undefined
    if (kept === undefined) builder.clear()
    else kept.push(builder.build())
  }
  const parser = new BookParser(file, { ...options, skipBadLines: rejects !== undefined }, take)
  yield* parsed(file, parser).pipe(
    Stream.runForEach(
      Effect.fnUntraced(function* ({ failure, rejected }) {
        if (failure !== undefined) return yield* failure
        if (rejects !== undefined) yield* rejects.take(parser, rejected)
      })
    )
  )
  if (rejects !== undefined) yield* rejects.finish(parser)
  const sha256 = hash.digest("hex")
  const { badLines, unended } = parser
  return { bets, bytes, sha256, badLines, unended, kept, version } satisfies BookSummary
}, Effect.scoped)

/** The number of the line that holds the bet at a position; undefined if there is none. */
export const lineOf = Effect.fn("BookReader.lineOf")(function* (
  file: string,
  options: BookOptions,
  position: number
) {
  let bets = 0
  let line: number | undefined
  // One bet a batch: each is taken while the parser is at its line.
  const parser = new BookParser(file, { ...options, batchSize: 1 }, (builder) => {
    if (bets++ === position) line = parser.line
    builder.clear()
  })
  yield* parsed(file, parser).pipe(
    Stream.takeUntil(({ failure }) => failure !== undefined || line !== undefined),
    Stream.runDrain
  )
  return line
})
