/** The agencies of the draw that have finished, and a way to wait for a change. */
import { Effect, Latch } from "effect"
import type { Agency } from "../../domain/Agency.ts"

/** How many agencies have finished, of those the draw waits for. Each change makes a new object. */
export interface Standing {
  readonly finished: number
  readonly expected: number
}

export class Standings {
  private readonly agencies: Set<Agency>
  private readonly unfinished: Set<Agency>
  /** Opened and replaced at each change. */
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

  /** Whether the draw waits for the agency. */
  isAwaited(agency: Agency): boolean {
    return this.unfinished.has(agency)
  }

  /** The agencies that the draw waits for. */
  awaited(): ReadonlyArray<Agency> {
    return [...this.unfinished]
  }

  readonly finish = (agency: Agency): Effect.Effect<unknown> =>
    Effect.suspend(() => (this.unfinished.delete(agency) ? this.announce : Effect.void))

  /** Marks an agency as unfinished because its book was discarded. */
  readonly discard = (agency: Agency): Effect.Effect<unknown> =>
    Effect.suspend(() => {
      if (!this.hasFinished(agency)) return Effect.void
      this.unfinished.add(agency)
      return this.announce
    })

  /** Leaves out an agency that the draw goes without. */
  readonly exclude = (agency: Agency): Effect.Effect<unknown> =>
    Effect.suspend(() => {
      this.unfinished.delete(agency)
      return this.agencies.delete(agency) ? this.announce : Effect.void
    })

  /** Waits until `known` is no longer the current standing. */
  readonly changedFrom = (known: Standing): Effect.Effect<void> =>
    Effect.suspend(() => (this.current === known ? this.changed.await : Effect.void))

  private count(): Standing {
    const expected = this.agencies.size
    return { finished: expected - this.unfinished.size, expected }
  }

  private readonly announce = Effect.suspend(() => {
    this.current = this.count()
    const { changed } = this
    this.changed = Latch.makeUnsafe()
    return changed.open
  })
}
