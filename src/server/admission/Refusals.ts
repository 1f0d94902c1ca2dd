/**
 * Counts what the server refuses, and keeps the latest refusals, for the people who watch it. They
 * learn who was refused and why, never what was sent.
 */
import { Clock, Context, Effect, Layer } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { REJECTION_CODES } from "../../protocol/native/NativeMessages.ts"

/** Why a connection is closed on its arrival: the tag of the error, or an eviction. */
const ARRIVAL_REASONS = ["NoPlace", "HandshakeFailed", "HandshakeEvicted", "NotTls", "Evicted"]

export interface Refused {
  /** A rejection code of the native dialect, or one of `ARRIVAL_REASONS`. */
  readonly reason: string
  readonly agency?: Agency | undefined
  /** Position in the book of the bet that was refused. */
  readonly position?: number | undefined
}

export interface NotedRefusal extends Refused {
  /** Counts up from 1. */
  readonly id: number
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** How many refusals are kept. */
const MAX_LATEST = 50

export class Refusals extends Context.Service<
  Refusals,
  {
    readonly note: (refused: Refused) => Effect.Effect<void>
    /** The number of refusals for each reason, also of those that have not occurred. */
    readonly counts: ReadonlyMap<string, number>
    /** The latest refusals, oldest first. */
    readonly latest: () => ReadonlyArray<NotedRefusal>
  }
>()("lottery/server/Refusals") {
  static readonly layer = Layer.sync(Refusals, () => {
    const reasons = [...REJECTION_CODES, ...ARRIVAL_REASONS]
    const counts = new Map(reasons.map((reason): [string, number] => [reason, 0]))
    const latest: Array<NotedRefusal> = []
    let id = 0
    return Refusals.of({
      counts,
      latest: () => latest,
      note: (refused) =>
        Effect.map(Clock.currentTimeMillis, (at) => {
          const { reason } = refused
          counts.set(reason, (counts.get(reason) ?? 0) + 1)
          latest.push({ ...refused, id: ++id, at })
          if (latest.length > MAX_LATEST) latest.shift()
        })
    })
  })
}
