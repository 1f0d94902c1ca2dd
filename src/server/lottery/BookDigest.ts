/**
 * The SHA-256 of an agency's stored book, kept rolling as bets are added, so that an agency that
 * comes back learns at once what is stored. What was added elsewhere is read from the store.
 */
import { createHash } from "node:crypto"
import { Effect, type Semaphore, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { BetBatch } from "../../domain/BetBatch.ts"
import { type AgencyProgress, type BetStore, StoreUnavailable } from "../store/BetStore.ts"

export class BookDigest {
  private readonly agency: Agency
  private readonly store: Pick<BetStore["Service"], "book">
  private readonly reading: Semaphore.Semaphore
  private hash = createHash("sha256")
  /** How many bets `hash` covers, and of which edition of the book. */
  private bets = 0
  private edition = 0

  /** `reading` bounds the books that are read at the same time, each of which takes up to 1 MiB. */
  constructor(agency: Agency, store: BetStore["Service"], reading: Semaphore.Semaphore) {
    this.agency = agency
    this.store = store
    this.reading = reading
  }

  /** Adds bets that are stored at `position`; those that it has already change nothing. */
  add(edition: number, position: number, batch: BetBatch): void {
    const end = position + batch.count
    if (edition > this.edition) this.startAnew(edition)
    // A gap is filled from the store when the digest is next asked for.
    if (edition !== this.edition || position > this.bets || end <= this.bets) return
    for (const run of batch.drop(this.bets - position).runs) this.hash.update(run)
    this.bets = end
  }

  /**
   * Gives the digest of the book with this progress, followed by `more`, as 64 hex digits. Needs
   * the book's `commit` permit.
   */
  readonly of = Effect.fnUntraced(
    { self: this },
    function* (progress: AgencyProgress, more: BetBatch = BetBatch.empty) {
      if (progress.edition !== this.edition || progress.bets < this.bets) {
        this.startAnew(progress.edition)
      }
      if (this.bets < progress.bets) yield* this.reading.withPermit(this.catchUp())
      if (this.bets !== progress.bets) {
        this.startAnew(progress.edition)
        const reason = `the stored book of agency ${this.agency} changed while it was read`
        return yield* new StoreUnavailable({ reason })
      }
      const whole = this.hash.copy()
      for (const run of more.runs) whole.update(run)
      return whole.digest("hex")
    }
  )

  /** Reads from the store what was added elsewhere. */
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

  private startAnew(edition: number): void {
    this.hash = createHash("sha256")
    this.bets = 0
    this.edition = edition
  }
}
