/**
 * The connections that wait for the draw. One fiber tells all of them how many agencies have
 * finished and wakes them when there is more to do. A connection that waits therefore needs no
 * fibers and timers of its own.
 */
import { Clock, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { monotonicMillisUnsafe } from "../../domain/MonotonicTime.ts"
import type { Standing, Standings } from "./Standing.ts"

/** Minimum time between two messages with the standing. */
const MIN_INTERVAL_MILLIS = 1000
/** Maximum time between two of them; it shows the peer that the server is there. */
const MAX_INTERVAL_MILLIS = 15_000
/** Connections that are served before other work gets its turn. */
const SLICE = 64

/** A connection that waits. */
export interface Waiting {
  readonly agency: Agency
  /** Sends the standing; returns false if that takes a wait. Undefined if no standing is sent. */
  readonly tell: ((standing: Standing) => boolean) | undefined
  /** Makes the connection look whether it can go on, must end, or has a standing to send. */
  readonly wake: () => void
}

/** What was sent last, and when (monotonic). */
interface Told {
  standing: Standing
  millis: number
}

export class WaitingRoom {
  private readonly standings: Pick<Standings, "now" | "changedFrom" | "hasFinished">
  private readonly silent = new Set<Waiting>()
  /** Ordered by `Told.millis`, and therefore by when the next standing is due. */
  private readonly told = new Map<Waiting, Told>()

  constructor(standings: WaitingRoom["standings"]) {
    this.standings = standings
  }

  /** Lets in a connection. Unless it is silent, its fiber sends it the current standing now. */
  readonly enter = (waiting: Waiting): Effect.Effect<void> =>
    Clock.clockWith((clock) => {
      const standing = this.standings.now()
      if (waiting.tell === undefined) this.silent.add(waiting)
      else this.told.set(waiting, { standing, millis: monotonicMillisUnsafe(clock) })
      return Effect.void
    })

  leave(waiting: Waiting): void {
    this.silent.delete(waiting)
    this.told.delete(waiting)
  }

  /** Wakes everyone, because the seal or the winners are there. */
  readonly wakeAll = Effect.suspend(() => this.wakeInSlices([...this.silent, ...this.told.keys()]))

  /** Wakes those of one agency, because it must leave. */
  wake(agency: Agency): void {
    for (const waiting of [...this.silent, ...this.told.keys()]) {
      if (waiting.agency === agency) waiting.wake()
    }
  }

  /** Sends the standings as they are due, forever. */
  readonly serve = Effect.gen({ self: this }, function* () {
    const clock = yield* Clock.Clock
    for (;;) {
      const standing = this.standings.now()
      const millis = this.tellSome(standing, monotonicMillisUnsafe(clock))
      yield* millis === 0
        ? Effect.yieldNow
        : Effect.timeoutOption(this.standings.changedFrom(standing), millis)
    }
  })

  /** Sends the standing to a slice of those for whom it is due; returns the time to the next. */
  private tellSome(standing: Standing, now: number): number {
    let slice = SLICE
    for (const [waiting, told] of this.told) {
      const interval = told.standing === standing ? MAX_INTERVAL_MILLIS : MIN_INTERVAL_MILLIS
      const millis = told.millis + interval - now
      if (millis > 0) return millis
      if (slice-- === 0) return 0
      this.told.delete(waiting)
      this.told.set(waiting, Object.assign(told, { standing, millis: now }))
      const isTold = this.standings.hasFinished(waiting.agency) && waiting.tell?.(standing)
      if (!isTold) waiting.wake()
    }
    return MAX_INTERVAL_MILLIS
  }

  private readonly wakeInSlices = Effect.fnUntraced(function* (all: ReadonlyArray<Waiting>) {
    for (const [index, waiting] of all.entries()) {
      if (index % SLICE === SLICE - 1) yield* Effect.yieldNow
      waiting.wake()
    }
  })
}
