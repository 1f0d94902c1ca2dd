/** Skips costly optimizations for a book that is sent before they pay off. */
import { setFlagsFromString } from "node:v8"
import { ByteSize, Effect, FileSystem } from "effect"

/** About 87,000 bets. From 350,000 on, a client is faster with all of V8's compilers. */
const SHORT = ByteSize.mebibytes(4)

/**
 * Turns off TurboFan, the last of V8's compilers, if the book is short. TurboFan takes 10 to 20 %
 * of such a client's processor time, on a thread of its own, and the client ends before the faster
 * code has saved as much. The faster compilers before it stay on.
 *
 * Node warns that V8 may not expect a changed flag. V8 reads this one when it is about to optimize
 * a function, so the change affects later decisions only; finished code stays valid.
 */
export const optimizeLess = Effect.fn("ShortBook.optimizeLess")(function* (file: string) {
  const { size } = yield* (yield* FileSystem.FileSystem).stat(file)
  if (ByteSize.isLessThanOrEqualTo(size, SHORT)) setFlagsFromString("--no-turbofan")
})
