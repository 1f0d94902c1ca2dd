/** Which of the agencies in the draw have finished, and how to wait until that changes. */
import { Effect, Latch } from "effect"
import type { Agency } from "../../domain/Agency.ts"

/** How many have finished; another object after each change. */
export interface Standing {
  readonly finished: number
  readonly expected: number
}

export class Standings {
  private readonly agencies: ReadonlySet<Agency>
  private readonly unfinished: Set<Agency>
  /** Opened at the next change, and then replaced. */
  private changed = Latch.makeUnsafe()
  private current: Standing

  constructor(agencies: ReadonlyArray<Agency>) {
    this.agencies = new Set(agencies)
    this.unfinished = new Set(agencies)
    this.current = this.count()
  }

  now(): Standing {
    return this.current
  }

  allFinished(): boolean {
    return this.unfinished.size === 0
  }

  hasFinished(agency: Agency): boolean {
    return this.agencies.has(agency) && !this.unfinished.has(agency)
  }

  /** Notes that an agency has finished. */
  readonly finish = (agency: Agency): Effect.Effect<unknown> =>
    Effect.suspend(() => (this.unfinished.delete(agency) ? this.tell : Effect.void))

  /** Notes that an agency's book is gone, whether it had finished or not. */
  readonly discard = (agency: Agency): Effect.Effect<unknown> =>
    Effect.suspend(() => {
      if (!this.hasFinished(agency)) return Effect.void
      this.unfinished.add(agency)
      return this.tell
    })

  /** Waits until the standing differs from `known`. */
  readonly changedFrom = (known: Standing): Effect.Effect<void> =>
    Effect.suspend(() => (this.current === known ? this.changed.await : Effect.void))

  private count(): Standing {
    const expected = this.agencies.size
    return { finished: expected - this.unfinished.size, expected }
  }

  private readonly tell = Effect.suspend(() => {
    this.current = this.count()
    const { changed } = this
    this.changed = Latch.makeUnsafe()
    return changed.open
  })
}
