/** How far an agency is, over all of its connections: shown to people, and used to reconnect. */
import { Effect } from "effect"

/** How many of the agencies that take part have finished; not every dialect says it. */
export interface Waiting {
  readonly finished: number
  readonly expected: number
}

/** Only the conversation that goes on changes it. */
export class UploadProgress {
  /** How many bets the book has. */
  readonly total: number
  /** How many of them are known to be stored; an upload that starts over does not lower it. */
  acknowledged = 0
  /** How many of those a server had before they were sent: they do not count for the speed. */
  resumed = 0
  /** Whether the server has finished the book. */
  isFinished = false
  waiting: Waiting | undefined
  /** Why there is no connection, if there is none. */
  interruption: string | undefined
  /** Failed attempts in a row without progress. */
  failures = 0
  /** Runs as part of `wait`, so that its log line comes before what the server says next. */
  onWait: Effect.Effect<void> = Effect.void

  constructor(total: number) {
    this.total = total
  }

  /** The first `bets` bets of the book are stored. */
  acknowledge(bets: number): Effect.Effect<void> {
    return Effect.sync(() => {
      this.interruption = undefined
      if (bets <= this.acknowledged) return
      this.acknowledged = bets
      this.failures = 0
    })
  }

  /** The server had the first `bets` bets before this connection. */
  resume(bets: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.resumed += Math.max(0, bets - this.acknowledged)
      return this.acknowledge(bets)
    })
  }

  /** The server has finished the book. */
  finish(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.isFinished = true
    })
  }

  /** The agency waits for the draw. */
  wait(waiting: Waiting): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.interruption = undefined
      this.failures = 0
      this.waiting = waiting
      return this.onWait
    })
  }

  /** The server could not be reached or went away, and is tried again. */
  interrupt(reason: string): Effect.Effect<void> {
    return Effect.sync(() => {
      this.interruption = reason
      this.failures++
    })
  }
}
