/** What an upload tells of itself while it goes on, for whoever shows it. */
import type { Effect } from "effect"

export interface UploadProgress {
  /**
   * The first `bets` bets of the book are known to be durable. Where an upload starts over the
   * count may go back; the bets stay durable all the same.
   */
  readonly acknowledged: (bets: number) => Effect.Effect<void>
  /**
   * As `acknowledged`, of bets that the server had before this connection: they say nothing of how
   * fast it is.
   */
  readonly resumed: (bets: number) => Effect.Effect<void>
  /** The server has finished the book: all of its bets are stored. */
  readonly finished: Effect.Effect<void>
  /** The book is up, and so many of the expected agencies have finished theirs. */
  readonly waiting: (finished: number, expected: number) => Effect.Effect<void>
  /** The server could not be reached or went away, and is tried again. */
  readonly interrupted: (reason: string) => Effect.Effect<void>
}
