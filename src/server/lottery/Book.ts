/**
 * An agency's book in this process: its connections and its writer (docs/wire.md, "One writer per
 * agency"). A connection becomes the writer when it adds its first bets or finishes the book. The
 * previous writer is superseded and disconnected.
 */
import { Data, Deferred, Effect, Scope, Semaphore } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { PeerConnection } from "../../protocol/PeerConnection.ts"
import type { BetStore, Discarded, Excluded } from "../store/BetStore.ts"
import { BookActivity } from "./BookActivity.ts"
import { RunningDigest } from "./RunningDigest.ts"

export class Superseded extends Data.TaggedError("Superseded")<{
  readonly agency: Agency
  /** The new writer's address, which is logged but not sent to the peer. */
  readonly by: string
}> {
  override get message(): string {
    return `another connection took over agency ${this.agency}`
  }
}

/** Acknowledged bets: newly stored ones, and ones that equal those already stored. */
export interface BetCounts {
  stored: number
  repeated: number
}

export interface BookConnection {
  readonly ip: string
  /** Fails when the server must disconnect the peer. */
  readonly mustLeave: Deferred.Deferred<never, Superseded | Discarded | Excluded>
  readonly lost: PeerConnection["lost"]
}

/** Limits on concurrent reads, shared by all books. */
export interface Reading {
  /** One permit per page that is compared with arriving bets. */
  readonly comparing: Semaphore.Semaphore
  /** One permit per book that is read for its digest. */
  readonly digesting: Semaphore.Semaphore
}

export class Book {
  readonly agency: Agency
  readonly store: BetStore["Service"]
  readonly comparing: Semaphore.Semaphore
  readonly digest: RunningDigest
  activity = new BookActivity()
  /** Since the server started, whatever was discarded. */
  readonly counts: BetCounts = { stored: 0, repeated: 0 }
  /** Held during a commit, so that a resuming connection waits for the result. */
  readonly commit = Semaphore.makeUnsafe(1)
  private readonly connections = new Set<BookConnection>()
  private writer: BookConnection | undefined

  constructor(agency: Agency, store: BetStore["Service"], { comparing, digesting }: Reading) {
    this.agency = agency
    this.store = store
    this.comparing = comparing
    this.digest = new RunningDigest(agency, store, digesting)
  }

  get connectionCount(): number {
    return this.connections.size
  }

  /** Notes an acknowledgement; runs once a commit. */
  note(monotonicMillis: number, stored: number, repeated: number): void {
    this.activity.note(monotonicMillis, stored)
    this.counts.stored += stored
    this.counts.repeated += repeated
  }

  /** Adds a connection until the scope closes. */
  enter(connection: BookConnection): Effect.Effect<unknown, never, Scope.Scope> {
    const leave = () =>
      Effect.sync(() => {
        this.releaseWriter(connection)
        this.connections.delete(connection)
      })
    return Effect.flatMap(Effect.scope, (scope) =>
      Effect.map(Scope.addFinalizerExit(scope, leave), () => this.connections.add(connection))
    )
  }

  isWrittenBy(connection: BookConnection): boolean {
    return this.writer === connection
  }

  /** Makes a connection the writer and supersedes the previous one. */
  makeWriter(connection: BookConnection): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      const { agency, writer } = this
      this.writer = connection
      return writer === undefined || writer === connection
        ? Effect.void
        : Deferred.fail(writer.mustLeave, new Superseded({ agency, by: connection.ip }))
    })
  }

  releaseWriter(connection: BookConnection): void {
    if (this.isWrittenBy(connection)) this.writer = undefined
  }

  /** Disconnects every connection because the book was discarded or its agency excluded. */
  disconnectAll(reason: Discarded | Excluded): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.writer = undefined
      if (reason._tag === "Discarded") this.activity = new BookActivity()
      return Effect.forEach(this.connections, ({ mustLeave }) => Deferred.fail(mustLeave, reason), {
        discard: true
      })
    })
  }
}

export const sumOfCounts = (books: Iterable<Book>): BetCounts => {
  const sum = { stored: 0, repeated: 0 }
  for (const { counts } of books) {
    sum.stored += counts.stored
    sum.repeated += counts.repeated
  }
  return sum
}
