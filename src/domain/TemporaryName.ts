/** Temporary names of files, which are renamed once they are complete. */
import { Effect, Random } from "effect"

/** The smallest number of 16 digits; users' own file names rarely have that many. */
const MIN_SUFFIX = 1e15

/** Matches the names that `temporaryName` returns. */
export const TEMPORARY_END = /\.\d{16}\.tmp$/

/**
 * Returns a random name in the folder of `file`. Open it with `wx`: that always creates a new file,
 * even if another user has put a link there.
 */
export const temporaryName = (file: string): Effect.Effect<string> =>
  Effect.map(
    Random.nextIntBetween(MIN_SUFFIX, Number.MAX_SAFE_INTEGER),
    (unique) => `${file}.${unique}.tmp`
  )
