/**
 * Who has finished, of the agencies that take part in the draw, and waiting until that changes.
 */
import { Deferred, Effect, Exit } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { AgencyProgress } from "../store/BetStore.ts"

/** How many have finished; another object after each change. */
export interface Standing {
  readonly finished: number
  readonly expected: number
}

type ProgressOfAll = ReadonlyMap<Agency, AgencyProgress>

export class Standings {
  private readonly agencies: ReadonlySet<Agency>
  private readonly unfinished = new Set<Agency>()
  private changed = Deferred.makeUnsafe<void>()
  private current: Standing
  /** How often an agency has finished here, and which of these times each did last. */
  private version = 0
  private readonly finishedAt = new Map<Agency, number>()

  constructor(agencies: ReadonlyArray<Agency>, progress: ProgressOfAll) {
    this.agencies = new Set(agencies)
    for (const agency of agencies) if (!progress.get(agency)?.finished) this.unfinished.add(agency)
    this.current = this.count()
  }

  now(): Standing {
    return this.current
  }

  allFinished(): boolean {
    return this.unfinished.size === 0
  }

  hasFinished(agency: Agency): boolean {
    return !this.unfinished.has(agency)
  }

  /** Notes that an agency has finished. */
  finish(agency: Agency): void {
    this.finishedAt.set(agency, ++this.version)
    if (this.unfinished.delete(agency)) this.tell()
  }

  /** Notes that the book of an agency is gone, whether it had finished or not. */
  discard(agency: Agency): void {
    if (!this.agencies.has(agency) || this.unfinished.has(agency)) return
    this.unfinished.add(agency)
    this.tell()
  }

  /**
   * Takes over what the store says, which others may have changed; gives the agencies that had
   * finished and have not any more.
   */
  readonly refresh = <E>(
    read: Effect.Effect<ProgressOfAll, E>
  ): Effect.Effect<ReadonlyArray<Agency>, E> =>
    Effect.suspend(() => {
      const before = this.version
      return Effect.flatMap(read, (progress) => {
        const undone: Array<Agency> = []
        let isAnother = false
        for (const agency of this.agencies) {
          if (progress.get(agency)?.finished) {
            isAnother = this.unfinished.delete(agency) || isAnother
          } else if (
            !this.unfinished.has(agency) &&
            // Who finished meanwhile may have been read before.
            (this.finishedAt.get(agency) ?? 0) <= before
          ) {
            this.unfinished.add(agency)
            undone.push(agency)
          }
        }
        if (isAnother || undone.length > 0) this.tell()
        return Effect.succeed(undone)
      })
    })

  /** Waits until the standing is another than `known`. */
  readonly changedFrom = (known: Standing): Effect.Effect<void> =>
    Effect.suspend(() => (this.current === known ? Deferred.await(this.changed) : Effect.void))

  private count(): Standing {
    const expected = this.agencies.size
    return { finished: expected - this.unfinished.size, expected }
  }

  private tell(): void {
    const { changed } = this
    this.current = this.count()
    this.changed = Deferred.makeUnsafe<void>()
    Deferred.doneUnsafe(changed, Exit.void)
  }
}
