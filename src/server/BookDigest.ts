/**
 * The SHA-256 of an agency's held book, kept rolling as bets are added, so that an agency that
 * comes back learns at once what is held. What was added elsewhere is read from the store.
 */
import { createHash, type Hash } from "node:crypto"
import { Effect, Stream } from "effect"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import { type AgencyProgress, type BetStore, StoreUnavailable } from "./BetStore.ts"

export interface BookDigest {
  /** The digest of the book with this progress, as 64 hex digits; reads what it does not know. */
  readonly of: (progress: AgencyProgress) => Effect.Effect<string, StoreUnavailable>
  /** Takes in bets that were stored at `position`. */
  readonly add: (position: number, batch: BetBatch) => void
}

/** Makes the digest of an agency's book; whoever uses it has the agency's `commit` permit. */
export const make = (agency: Agency, store: BetStore["Service"]): BookDigest => {
  let hash: Hash = createHash("sha256")
  let bets = 0
  let edition = 0

  const add = (position: number, batch: BetBatch) => {
    // What lies between is read when the digest is next asked for.
    if (position !== bets) return
    for (const run of batch.runs) hash.update(run)
    bets += batch.count
  }

  const startAnew = (now: AgencyProgress) => {
    hash = createHash("sha256")
    bets = 0
    edition = now.edition
  }

  return {
    of: Effect.fnUntraced(function* (progress) {
      if (progress.edition !== edition || progress.bets < bets) startAnew(progress)
      if (bets < progress.bets) {
        yield* Stream.runForEach(store.book(agency, bets), (batch) =>
          Effect.sync(() => add(bets, batch))
        )
      }
      if (bets !== progress.bets) {
        startAnew(progress)
        const reason = `the held book of agency ${agency} changed while it was read`
        return yield* new StoreUnavailable({ reason })
      }
      return hash.copy().digest("hex")
    }),
    add
  }
}
