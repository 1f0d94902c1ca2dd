import { lstatSync } from "node:fs"
import { Effect, FileSystem, Stream } from "effect"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"
import { temporaryName } from "../../domain/TemporaryName.ts"

export const readText = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(fs.readFileString(file), fileUnavailable(file))
})

const PERMISSIONS = 0o777

/** Follows symbolic links, except those of other users; returns the file and its mode. */
const fileBehind = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(name))) return { file: name, mode: undefined }
  const link = lstatSync(name, { throwIfNoEntry: false })
  if (link?.isSymbolicLink() && link.uid !== 0 && link.uid !== process.geteuid?.()) {
    const reason = `is a symbolic link of user ${link.uid}; remove it`
    return yield* new FileUnavailable({ file: name, reason })
  }
  const { mode, type } = yield* fs.stat(name)
  if (type === "File") return { file: yield* fs.realPath(name), mode: mode & PERMISSIONS }
  return yield* new FileUnavailable({ file: name, reason: "already exists and is not a file" })
})

/**
 * Writes a file under a temporary name in the same folder, then renames it. A new file has `mode`,
 * by default the umask's, from the moment it is created; an existing file keeps its mode.
 */
export const writeWhole = Effect.fn("WholeFile.writeWhole")(
  function* (
    name: string,
    content: Stream.Stream<Uint8Array>,
    options: { readonly mode?: number } = {}
  ) {
    const fs = yield* FileSystem.FileSystem
    const { file, mode = options.mode } = yield* fileBehind(name)
    const temporary = yield* temporaryName(file)
    yield* Stream.run(content, fs.sink(temporary, { flag: "wx", mode })).pipe(
      Effect.andThen(fs.rename(temporary, file)),
      Effect.onError(() => Effect.ignore(fs.remove(temporary)))
    )
  },
  (effect, name) =>
    Effect.catchTag(effect, "PlatformError", (error) => Effect.fail(fileUnavailable(name)(error)))
)
