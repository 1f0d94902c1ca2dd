/** A file that is written whole or not at all: nobody ever reads half of it. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { FileUnavailable, fileUnavailable } from "../client/FileUnavailable.ts"

/** The file that a name stands for, links followed. What is there and no file is not replaced. */
const fileBehind = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(name))) return name
  if ((yield* fs.stat(name)).type === "File") return yield* fs.realPath(name)
  return yield* new FileUnavailable({ file: name, reason: "is there already, and not a file" })
})

/** Writes a file under a temporary name beside it, and gives it its own once it is whole. */
export const writeWhole = Effect.fn("WholeFile.write")(
  function* (name: string, content: Stream.Stream<Uint8Array>) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = yield* fileBehind(name)
    const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`)
    yield* Stream.run(content, fs.sink(temporary)).pipe(
      Effect.andThen(fs.rename(temporary, file)),
      Effect.onError(() => Effect.ignore(fs.remove(temporary)))
    )
  },
  (effect, name) =>
    Effect.catchTag(effect, "PlatformError", (error) => Effect.fail(fileUnavailable(name)(error)))
)
