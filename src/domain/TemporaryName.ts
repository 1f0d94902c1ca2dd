/** The name under which a file is written until it is whole, and takes its own. */
import { Effect, Random } from "effect"

/** The least of 16 digits: what people call their own files has fewer. */
const LEAST = 1e15

/** The end of a name that `temporaryName` gives. */
export const TEMPORARY_END = /\.\d{16}\.tmp$/

/**
 * Gives a random name in the folder of `file`. Opened with `wx` it is a new file, even if another
 * user has put a link there.
 */
export const temporaryName = (file: string): Effect.Effect<string> =>
  Effect.map(
    Random.nextIntBetween(LEAST, Number.MAX_SAFE_INTEGER),
    (unique) => `${file}.${unique}.tmp`
  )
