/**
 * A running digest of an agency's stored book. Stored bets are added to it as they arrive, so a
 * reconnecting agency gets the digest at once. Bets from other processes are read from the store.
 */
import { Effect, type Semaphore, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import { MarkedHash } from "../../domain/seal/MarkedDigest.ts"
import { type AgencyProgress, type BetStore, StoreUnavailable } from "../store/BetStore.ts"

export class RunningDigest {
  private readonly agency: Agency
  private readonly store: Pick<BetStore["Service"], "book">
  private readonly reading: Semaphore.Semaphore
  private hash = new MarkedHash()
  /** `hash` covers this many bets of this edition. */
  private bets = 0
  private edition = 0

  /** `reading` limits how many books are read at once; each read takes up to 1 MiB. */
  constructor(agency: Agency, store: BetStore["Service"], reading: Semaphore.Semaphore) {
    this.agency = agency
    this.store = store
    this.reading = reading
  }

  /** Adds the bets stored at `position`, without those that the digest already covers. */
  add(edition: number, position: number, batch: BetBatch): void {
    const end = position + batch.count
    if (edition > this.edition) this.restart(edition)
    // `of` reads the bets of a gap from the store.
    if (edition !== this.edition || position > this.bets || end <= this.bets) return
    for (const run of batch.drop(this.bets - position).runs) this.hash.update(run)
    this.bets = end
  }

  /**
   * Returns the digest of the stored book, as `progress` describes it, followed by `more`. The
   * caller holds the book's `commit` permit.
   */
  of(progress: AgencyProgress, more: BetBatch = BetBatch.empty) {
    return Effect.gen({ self: this }, function* () {
      if (progress.edition !== this.edition || progress.bets < this.bets) {
        this.restart(progress.edition)
      }
      if (this.bets < progress.bets) yield* this.reading.withPermit(this.catchUp())
      if (this.bets !== progress.bets) {
        this.restart(progress.edition)
        const reason = `the stored book of agency ${this.agency} changed while it was read`
        return yield* new StoreUnavailable({ reason })
      }
      if (more.count === 0) return this.hash.digest()
      const whole = this.hash.copy()
      for (const run of more.runs) whole.update(run)
      return whole.digest()
    })
  }

  private catchUp(): Effect.Effect<void, StoreUnavailable> {
    const { edition } = this
    let position = this.bets
    return Stream.runForEach(this.store.book(this.agency, position), (batch) =>
      Effect.sync(() => {
        this.add(edition, position, batch)
        position += batch.count
      })
    )
  }

  private restart(edition: number): void {
    this.hash = new MarkedHash()
    this.bets = 0
    this.edition = edition
  }
}
