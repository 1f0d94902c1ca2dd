/**
 * An agency's book as this process knows it: the connections at it, and the one that may write it
 * (wire: "One writer per agency"). A connection takes the turn with the first bets that it adds, or
 * with the end of the book; the connection that had it must leave.
 */
import { Data, Deferred, Effect, type Scope, Semaphore } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { PeerConnection } from "../../protocol/PeerConnection.ts"
import { type BetStore, Discarded } from "../store/BetStore.ts"
import { BookDigest } from "./BookDigest.ts"

/** Another connection took over the agency. */
export class Superseded extends Data.TaggedError("Superseded")<{
  readonly agency: Agency
  /** Where the other connection comes from: for the log, not for the peer. */
  readonly by: string
}> {
  override get message(): string {
    return `another connection took over agency ${this.agency}`
  }
}

/** A connection at an agency's book. */
export interface AtBook {
  readonly ip: string
  /** Fails when the connection must leave the book. */
  readonly mustLeave: Deferred.Deferred<never, Superseded | Discarded>
  /** Fails once the connection is gone. */
  readonly lost: PeerConnection["lost"]
}

/** Bounds, which all books share, on how many are read at the same time. */
export interface Reading {
  /** Books that are compared with what arrives, a page at a time. */
  readonly comparing: Semaphore.Semaphore
  /** Books that are digested. */
  readonly digesting: Semaphore.Semaphore
}

export class Book {
  readonly agency: Agency
  readonly store: BetStore["Service"]
  readonly comparing: Semaphore.Semaphore
  readonly digest: BookDigest
  /** Held during a commit: a newcomer waits until it has settled. */
  readonly commit = Semaphore.makeUnsafe(1)
  private readonly connections = new Set<AtBook>()
  private writer: AtBook | undefined

  constructor(agency: Agency, store: BetStore["Service"], { comparing, digesting }: Reading) {
    this.agency = agency
    this.store = store
    this.comparing = comparing
    this.digest = new BookDigest(agency, store, digesting)
  }

  /** Adds a connection until the scope closes. */
  enter(connection: AtBook): Effect.Effect<unknown, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => this.connections.add(connection)),
      () =>
        Effect.sync(() => {
          this.giveTurnBack(connection)
          this.connections.delete(connection)
        })
    )
  }

  isWrittenBy(connection: AtBook): boolean {
    return this.writer === connection
  }

  /** Makes a connection the writer; the one that was fails with `Superseded`. */
  takeTurn(connection: AtBook): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      const { agency, writer } = this
      this.writer = connection
      return writer === undefined || writer === connection
        ? Effect.void
        : Deferred.fail(writer.mustLeave, new Superseded({ agency, by: connection.ip }))
    })
  }

  /** Ends a connection's turn: it has nothing left to write. */
  giveTurnBack(connection: AtBook): void {
    if (this.isWrittenBy(connection)) this.writer = undefined
  }

  /** Sends every connection away from a book that was discarded. */
  readonly sendAllAway: Effect.Effect<void> = Effect.suspend(() => {
    this.writer = undefined
    const discarded = new Discarded({ agency: this.agency })
    return Effect.forEach(
      this.connections,
      ({ mustLeave }) => Deferred.fail(mustLeave, discarded),
      {
        discard: true
      }
    )
  })
}
