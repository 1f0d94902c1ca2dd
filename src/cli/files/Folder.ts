import { Effect, FileSystem, Path, type PlatformError } from "effect"
import { FileUnavailable, fileUnavailable } from "../../domain/FileUnavailable.ts"

const isAlreadyThere = ({ reason }: PlatformError.PlatformError): boolean =>
  reason._tag === "AlreadyExists"

/**
 * Creates a folder and its parents. (Node's own `recursive` option never returns in a folder that
 * cannot contain others, such as `/proc`.)
 */
export const makeFolder: (
  folder: string
) => Effect.Effect<void, FileUnavailable, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function* (folder) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const parent = path.dirname(folder)
    const hasParent = yield* Effect.mapError(fs.exists(parent), fileUnavailable(folder))
    if (!hasParent) yield* makeFolder(parent)
    yield* fs.makeDirectory(folder).pipe(
      Effect.catchIf(isAlreadyThere, (error) =>
        fs.stat(folder).pipe(
          Effect.filterOrFail(({ type }) => type === "Directory"),
          Effect.mapError(() => error)
        )
      ),
      Effect.mapError((error) =>
        error.reason._tag === "NotFound"
          ? new FileUnavailable({ file: folder, reason: `cannot create a folder in ${parent}` })
          : fileUnavailable(folder)(error)
      )
    )
  }
)
