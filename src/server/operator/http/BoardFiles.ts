/** The files of the live board, which build.ts puts next to the scripts of the command. */
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, FileSystem, Path } from "effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { fileUnavailable } from "../../../domain/FileUnavailable.ts"

const FILES = [
  { path: "/", file: "board.html", contentType: "text/html; charset=utf-8" },
  { path: "/board.css", file: "board.css", contentType: "text/css; charset=utf-8" },
  { path: "/board.svg", file: "board.svg", contentType: "image/svg+xml" },
  { path: "/board.js", file: "board.js", contentType: "text/javascript; charset=utf-8" }
] as const

/** In the bundle `import.meta.url` is always that of a file in the folder of the command. */
export const COMMAND_FOLDER = dirname(fileURLToPath(import.meta.url))

/** Reads the files of a folder, as the answers to requests for them. */
export const read = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  return yield* Effect.forEach(FILES, ({ contentType, file, path }) => {
    const from = join(folder, file)
    return Effect.map(Effect.mapError(fs.readFile(from), fileUnavailable(from)), (bytes) => ({
      path,
      response: HttpServerResponse.uint8Array(bytes, { contentType })
    }))
  })
})
