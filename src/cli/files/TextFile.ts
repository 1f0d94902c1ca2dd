/** Reads a file of text that a setting names, whole. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { fileUnavailable } from "../../domain/FileUnavailable.ts"

export const readText = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(fs.readFileString(file), fileUnavailable(file))
})
