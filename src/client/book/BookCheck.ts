/** Checks a whole book and counts what is in it; nothing is sent. */
import { Effect, FileSystem, Stream } from "effect"
import { MAX_ROW_BYTES } from "../../domain/BetRow.ts"
import { fileUnavailable, TEMPORARY_FILES } from "../../domain/FileUnavailable.ts"
import * as BookFile from "./BookFile.ts"
import { type BadLine, BookParser } from "./BookParser.ts"
import * as NotABook from "./NotABook.ts"
import { CHUNK_BYTES, PARTITIONS, Repeated, RepeatedBets } from "./RepeatedBets.ts"

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

/** Bets whose full chunks go to a file, which is created for the first of them. */
const makeBets = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const unusable = Effect.mapError(fileUnavailable(TEMPORARY_FILES))
  const bets = new RepeatedBets(0)
  const opened = yield* Effect.cached(
    Effect.flatMap(fs.makeTempFileScoped({ prefix: "lottery-check-" }), (file) =>
      fs.open(file, { flag: "w+" })
    )
  )

  const moveFull = Effect.gen(function* () {
    for (const { buffer } of bets.full.splice(0)) {
      const file = yield* opened
      yield* file.writeAll(new Uint8Array(buffer))
    }
  }).pipe(unusable)

  const read = Effect.fnUntraced(function* (chunk: number, into: Uint8Array) {
    const file = yield* opened
    yield* file.seek(BigInt(chunk * CHUNK_BYTES), "start")
    for (let at = 0; at < into.length; ) at += yield* file.read(into.subarray(at))
  })

  const repeated = Effect.gen(function* () {
    const counted = new Repeated()
    for (let index = 0; index < PARTITIONS; index++) {
      const { full, rest } = bets.partition(index)
      const bytes = new Uint8Array(full.length * CHUNK_BYTES + rest.byteLength)
      for (const [at, chunk] of full.entries()) {
        yield* read(chunk, bytes.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES))
      }
      const records = new Uint32Array(bytes.buffer)
      records.set(rest, records.length - rest.length)
      counted.take(records)
    }
    return counted
  }).pipe(unusable)

  return { bets, moveFull, repeated }
})

/** Fails only if the file, or a temporary one, cannot be used. */
export const check = Effect.fn("BookCheck.check")(function* (file: string, options: Options) {
  const { maxErrors, name, today } = options
  yield* BookFile.versionOf(file, name)
  const { bets, moveFull, repeated } = yield* makeBets
  const parser = new BookParser(
    { ...WHOLE, name, skipBadLines: true, shownBadLines: Math.max(1, maxErrors), today },
    () => {},
    bets
  )
  yield* Stream.runForEach(BookFile.piecesOf(file, name), (piece) => {
    parser.push(piece)
    parser.rejected.length = 0
    return moveFull
  })
  parser.finish()
  yield* moveFull
  const { badLines: errors, failure, shownBadLines, unended } = parser
  const found = failure === undefined ? shownBadLines : [...shownBadLines, failure]
  const [first] = found
  return {
    bets: bets.count,
    errors,
    firstErrors: found.slice(0, maxErrors),
    form: first && (yield* NotABook.recognise(file, options, first.line)),
    unended: failure === undefined ? unended : undefined,
    repeated: yield* repeated
  } satisfies Checked
}, Effect.scoped)
