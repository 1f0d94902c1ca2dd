/**
 * Stops all reading while there is no room for what would be read: of connections that wait for a
 * next message too, each of which could bring as much as the system has of it at once.
 */
import type * as Net from "node:net"
import { Effect } from "effect"

/** What Node reads of a connection by itself, before anybody asks for it. */
export interface Inlet {
  readonly start: () => void
  readonly stop: () => void
}

/** The part of a socket on which reading is started and stopped. */
interface Handle {
  reading: boolean
  readonly readStart: () => number
  readonly readStop: () => number
}

/**
 * The inlet of a socket. Node has no public way to stop a read that has begun; it does so itself
 * with these three members of the handle.
 */
export const inletOf = (socket: Net.Socket): Inlet => {
  let isStopped = false
  const handle = () => (socket as unknown as { readonly _handle: Handle | null })._handle
  return {
    start: () => {
      const current = handle()
      if (!isStopped || current === null) return
      isStopped = false
      current.reading = true
      current.readStart()
    },
    stop: () => {
      const current = handle()
      // One that is full has stopped by itself, and goes on by itself.
      if (current === null || !current.reading) return
      isStopped = true
      current.reading = false
      current.readStop()
    }
  }
}

export class Gate {
  private readonly inlets = new Set<Inlet>()
  private readonly waiters = new Set<() => void>()
  private closed = false

  get isClosed(): boolean {
    return this.closed
  }

  add(inlet: Inlet): void {
    this.inlets.add(inlet)
    if (this.closed) inlet.stop()
  }

  remove(inlet: Inlet): void {
    this.inlets.delete(inlet)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    for (const inlet of this.inlets) inlet.stop()
  }

  open(): void {
    if (!this.closed) return
    this.closed = false
    for (const inlet of this.inlets) inlet.start()
    // Whoever is woken may fill the room again, for which the next ones then wait anew.
    const waiters = [...this.waiters]
    this.waiters.clear()
    for (const wake of waiters) wake()
  }

  /** Waits until it is open. */
  readonly passage: Effect.Effect<void> = Effect.callback((resume) => {
    if (!this.closed) return resume(Effect.void)
    const wake = () => resume(this.passage)
    this.waiters.add(wake)
    return Effect.sync(() => this.waiters.delete(wake))
  })
}
