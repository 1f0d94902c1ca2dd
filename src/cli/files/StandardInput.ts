/** A book on standard input, which `-` names. */
import { fstatSync } from "node:fs"
import { Effect, FileSystem, Stdio, Stream } from "effect"
import { FileUnavailable, fileUnavailable, TEMPORARY_FILES } from "../../domain/FileUnavailable.ts"

export const NAME = "-"
export const SHOWN_NAME = "standard input"

/** Copies standard input to a file, because a book is read more than once. */
export const spool = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const name = SHOWN_NAME
  const { stdin } = yield* Stdio.Stdio
  // Node would read either of these as empty input.
  const found = fstatSync(0)
  if (found.isDirectory() || found.isBlockDevice()) {
    return yield* new FileUnavailable({ file: name, reason: "is neither a file nor a stream" })
  }
  const file = yield* fs.makeTempFileScoped({ prefix: "lottery-book-" })
  yield* Stream.run(Stream.mapError(stdin, fileUnavailable(name)), fs.sink(file))
  return file
}).pipe(
  Effect.catchTag("PlatformError", (error) => Effect.fail(fileUnavailable(TEMPORARY_FILES)(error)))
)
