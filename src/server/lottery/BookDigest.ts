/**
 * The SHA-256 of an agency's stored book, kept rolling as bets are added, so that an agency that
 * comes back learns at once what is stored. What was added elsewhere is read from the store.
 */
import { createHash, type Hash } from "node:crypto"
import { Effect, type Semaphore, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import { type AgencyProgress, type BetStore, StoreUnavailable } from "../store/BetStore.ts"

export interface BookDigest {
  /**
   * The digest of the book with this progress, followed by `more`, as 64 hex digits. Reads from
   * the store what it does not know.
   */
  readonly of: (
    progress: AgencyProgress,
    more?: BetBatch
  ) => Effect.Effect<string, StoreUnavailable>
  /** Takes in bets that are stored at `position`; those that it knows already change nothing. */
  readonly add: (edition: number, position: number, batch: BetBatch) => void
}

/**
 * Makes the digest of an agency's book. `of` needs the agency's `commit` permit; `reading` bounds
 * the books that are read at the same time, each of which takes up to 1 MiB.
 */
export const make = (
  agency: Agency,
  store: BetStore["Service"],
  reading: Semaphore.Semaphore
): BookDigest => {
  let hash: Hash = createHash("sha256")
  let bets = 0
  let edition = 0

  const startAnew = (newEdition: number) => {
    hash = createHash("sha256")
    bets = 0
    edition = newEdition
  }

  const add = (of: number, position: number, batch: BetBatch) => {
    const end = position + batch.count
    if (of > edition) startAnew(of)
    // What lies between is read when the digest is next asked for.
    if (of !== edition || position > bets || end <= bets) return
    for (const run of batch.drop(bets - position).runs) hash.update(run)
    bets = end
  }

  /** Reads what was stored without its knowledge. */
  const catchUp = Effect.fnUntraced(function* (progress: AgencyProgress) {
    let position = bets
    yield* Stream.runForEach(store.book(agency, bets), (batch) =>
      Effect.sync(() => {
        add(progress.edition, position, batch)
        position += batch.count
      })
    )
  })

  return {
    of: Effect.fnUntraced(function* (progress, more = BetBatch.empty) {
      if (progress.edition !== edition || progress.bets < bets) startAnew(progress.edition)
      if (bets < progress.bets) yield* reading.withPermit(catchUp(progress))
      if (bets !== progress.bets) {
        startAnew(progress.edition)
        const reason = `the stored book of agency ${agency} changed while it was read`
        return yield* new StoreUnavailable({ reason })
      }
      const whole = hash.copy()
      for (const run of more.runs) whole.update(run)
      return whole.digest("hex")
    }),
    add
  }
}
