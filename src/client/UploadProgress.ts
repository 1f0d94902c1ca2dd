/** An agency's progress over all its connections, for display and for reconnection. */
import { Effect } from "effect"
import { monotonicMillis } from "../domain/MonotonicTime.ts"

/** How many of the draw's agencies have finished. Not every dialect reports it. */
export interface Waiting {
  readonly finished: number
  readonly expected: number
}

/** Only the current conversation changes it. */
export class UploadProgress {
  readonly total: number
  /** How many bets are known to be stored. An upload that starts over does not lower it. */
  acknowledged = 0
  /** How many of those were stored before this run sent them; they do not count for the speed. */
  resumed = 0
  /** How many were stored before this run, if the dialect reports it. */
  before: number | undefined
  /** Whether the server has answered, so that `acknowledged` is known. */
  isKnown = false
  /** When the book was finished, or found to be. */
  finishedMillis: number | undefined
  /** Whether a person sees the progress; the log of each batch is then only for debugging. */
  isShown = false
  waiting: Waiting | undefined
  /** Why there is no connection; undefined while there is one. */
  interruption: string | undefined
  /** Failed attempts in a row without progress. */
  failures = 0
  /** Runs as part of `wait`, so that its log line precedes the server's next message. */
  onWait: Effect.Effect<void> = Effect.void

  constructor(total: number) {
    this.total = total
  }

  get isFinished(): boolean {
    return this.finishedMillis !== undefined
  }

  /** Records that the server has answered again. */
  reconnect(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.interruption = undefined
    })
  }

  /** Records that the first `bets` bets of the book are stored. */
  acknowledge(bets: number): Effect.Effect<void> {
    return Effect.sync(() => {
      this.interruption = undefined
      this.isKnown = true
      if (bets <= this.acknowledged) return
      this.acknowledged = bets
      this.failures = 0
    })
  }

  /** Records that the first `bets` bets were stored before this connection. */
  resume(bets: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.before ??= bets
      this.resumed += Math.max(0, bets - this.acknowledged)
      return this.acknowledge(bets)
    })
  }

  finish(): Effect.Effect<void> {
    return Effect.map(monotonicMillis, (now) => {
      this.finishedMillis ??= now
    })
  }

  wait(waiting: Waiting): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.interruption = undefined
      this.failures = 0
      this.waiting = waiting
      return this.onWait
    })
  }

  interrupt(reason: string): Effect.Effect<void> {
    return Effect.sync(() => {
      this.interruption = reason
      this.failures++
    })
  }
}
