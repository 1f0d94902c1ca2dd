/** Reads parts of a book's file. */
import { Effect, FileSystem } from "effect"
import { fileUnavailable } from "../../domain/FileUnavailable.ts"

export interface BookBytes {
  readonly size: number
  /** Returns `length` bytes from `at` on, or fewer at the end of the file. */
  readonly read: ReturnType<typeof reader>
}

const reader = (file: FileSystem.File, name: string) =>
  Effect.fnUntraced(
    function* (at: number, length: number) {
      yield* file.seek(BigInt(at), "start")
      const bytes = Buffer.alloc(length)
      let filled = 0
      while (filled < length) {
        const count = yield* file.read(bytes.subarray(filled))
        if (count === 0) break
        filled += count
      }
      return bytes.subarray(0, filled)
    },
    Effect.mapError(fileUnavailable(name))
  )

export const open = Effect.fnUntraced(
  function* (name: string) {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.open(name)
    const { size } = yield* file.stat
    return { size: Number(size), read: reader(file, name) } satisfies BookBytes
  },
  (effect, name) => Effect.mapError(effect, fileUnavailable(name))
)
