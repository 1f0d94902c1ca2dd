/** The name under which a file is written until it is whole, and takes its own. */
import { Effect, Random } from "effect"

/**
 * Gives a random name in the folder of `file`. Opened with `wx` it is a new file, even if another
 * user has put a link there.
 */
export const temporaryName = (file: string): Effect.Effect<string> =>
  Effect.map(Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER), (unique) => `${file}.${unique}.tmp`)
