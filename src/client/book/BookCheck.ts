/** Checks a whole book and counts what is in it; nothing is sent. */
import { Effect, FileSystem, Stream } from "effect"
import { MAX_ROW_BYTES } from "../../domain/BetRow.ts"
import { fileUnavailable, TEMPORARY_FILES } from "../../domain/FileUnavailable.ts"
import * as BookFile from "./BookFile.ts"
import { type BadLine, BookParser } from "./BookParser.ts"
import * as NotABook from "./NotABook.ts"
import { CHUNK_BYTES, type Repeated, RepeatedBets, RepeatedCount } from "./RepeatedBets.ts"

export interface Options extends NotABook.Options {
  /** The number of errors to return; all are counted. */
  readonly maxErrors: number
}

export interface Checked {
  readonly bets: number
  readonly errors: number
  /** The first errors, in the order of their lines. */
  readonly firstErrors: ReadonlyArray<BadLine>
  /** What the file is if it is not a book. */
  readonly form: NotABook.NotABook | undefined
  /** The last line if it is a bet without a line ending. */
  readonly unended: BookParser["unended"]
  readonly repeated: Repeated
}

/** There are no batches: the bets are only counted. */
const WHOLE = { batchSize: Number.POSITIVE_INFINITY, maxBatchBytes: MAX_ROW_BYTES }

/** The file for the chunks of `RepeatedBets`, which is created for the first of them. */
const makeChunkFile = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const opened = yield* Effect.cached(
    Effect.flatMap(fs.makeTempFileScoped({ prefix: "lottery-check-" }), (file) =>
      fs.open(file, { flag: "w+" })
    )
  )
  const append = Effect.fnUntraced(function* (bets: RepeatedBets) {
    const file = yield* opened
    for (const { buffer } of bets.full) yield* file.writeAll(new Uint8Array(buffer))
    bets.reuse()
  })
  const read = Effect.fnUntraced(function* (chunk: number, into: Uint8Array) {
    const file = yield* opened
    yield* file.seek(BigInt(chunk * CHUNK_BYTES), "start")
    for (let at = 0; at < CHUNK_BYTES; ) at += yield* file.read(into.subarray(at))
  })
  return { append, read }
})

const count = Effect.fnUntraced(function* (
  bets: RepeatedBets,
  readChunk: Effect.Success<typeof makeChunkFile>["read"]
) {
  const counted = new RepeatedCount()
  const chunk = new Uint32Array(CHUNK_BYTES / 4)
  for (const { chunks, rest } of bets.partitions()) {
    counted.startPartition()
    for (const index of chunks) {
      yield* readChunk(index, new Uint8Array(chunk.buffer))
      counted.take(chunk)
    }
    counted.take(rest)
  }
  return counted
})

/** Fails only if the file, or a temporary one, cannot be used. */
export const check = Effect.fn("BookCheck.check")(function* (file: string, options: Options) {
  const { maxErrors, name, today } = options
  yield* BookFile.versionOf(file, name)
  const unusable = Effect.mapError(fileUnavailable(TEMPORARY_FILES))
  const chunkFile = yield* makeChunkFile
  const bets = new RepeatedBets(0)
  const parser = new BookParser(
    { ...WHOLE, name, skipBadLines: true, shownBadLines: Math.max(1, maxErrors), today },
    () => {},
    bets
  )
  const appendFull = Effect.suspend(() =>
    bets.full.length === 0 ? Effect.void : unusable(chunkFile.append(bets))
  )
  yield* Stream.runForEach(BookFile.piecesOf(file, name), (piece) => {
    parser.push(piece)
    parser.rejected.length = 0
    return appendFull
  })
  parser.finish()
  yield* appendFull
  const { badLines: errors, failure, shownBadLines, unended } = parser
  const found = failure === undefined ? shownBadLines : [...shownBadLines, failure]
  const [first] = found
  const form = first && (yield* NotABook.recognise(file, options, first.line))
  return {
    bets: bets.count,
    errors,
    firstErrors: found.slice(0, maxErrors),
    form,
    unended: failure === undefined ? unended : undefined,
    repeated: yield* unusable(count(bets, chunkFile.read))
  } satisfies Checked
}, Effect.scoped)
