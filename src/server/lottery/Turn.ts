/**
 * One writer per agency (wire: "One writer per agency"): the turn to write an agency's book, which
 * one connection has at a time. A connection takes it with the first bets that it adds, or with the
 * end of the book; the one that had it must leave.
 */
import { Data, Deferred, Effect, type Scope, Semaphore } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { PeerConnection } from "../../protocol/PeerConnection.ts"
import { Discarded } from "../store/BetStore.ts"

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
  /** Failed when the connection must leave the book. */
  readonly onLeave: Deferred.Deferred<never, Superseded | Discarded>
  /** Fails once the connection is gone. */
  readonly lost: PeerConnection["lost"]
}

/** A connection's place at an agency's book; what it has is given back with its scope. */
export interface Turn {
  /** Takes the turn from the connection that has it, which fails with `Superseded`. */
  readonly take: Effect.Effect<void>
  readonly isHeld: () => boolean
  /** Gives the turn back: there is nothing left to write. */
  readonly release: Effect.Effect<void>
  /** Fails if the connection must leave the book. */
  readonly checkPresence: Effect.Effect<void, Superseded | Discarded>
  /** Held during a commit, so that a newcomer waits until it has settled. */
  readonly commit: Semaphore.Semaphore
}

/** The places at every agency's book. */
export interface Turns {
  /** Gives a connection its place. */
  readonly of: (agency: Agency, connection: AtBook) => Effect.Effect<Turn, never, Scope.Scope>
  /** Sends every connection away from a book that was discarded, with the turn or without. */
  readonly discarded: (agency: Agency) => Effect.Effect<void>
}

interface Places {
  /** All connections at the book. */
  readonly present: Set<AtBook>
  /** The one that has the turn. */
  current: AtBook | undefined
  readonly commit: Semaphore.Semaphore
}

export const makeTurns = (): Turns => {
  const books = new Map<Agency, Places>()

  const placesAt = (agency: Agency): Places => {
    const known = books.get(agency)
    if (known !== undefined) return known
    const places = {
      present: new Set<AtBook>(),
      current: undefined,
      commit: Semaphore.makeUnsafe(1)
    }
    books.set(agency, places)
    return places
  }

  const of = Effect.fnUntraced(function* (agency: Agency, connection: AtBook) {
    const places = placesAt(agency)
    const isHeld = () => places.current === connection
    const release = Effect.sync(() => {
      if (isHeld()) places.current = undefined
    })
    const take = Effect.suspend(() => {
      const previous = places.current
      places.current = connection
      return previous === undefined || previous === connection
        ? Effect.void
        : Deferred.fail(previous.onLeave, new Superseded({ agency, by: connection.ip }))
    })
    places.present.add(connection)
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        release,
        Effect.sync(() => places.present.delete(connection))
      )
    )
    const checkPresence = Effect.suspend(() =>
      Deferred.isDoneUnsafe(connection.onLeave) ? Deferred.await(connection.onLeave) : Effect.void
    )
    return { take, isHeld, release, checkPresence, commit: places.commit } satisfies Turn
  })

  const discarded = (agency: Agency) =>
    Effect.suspend(() => {
      const places = placesAt(agency)
      places.current = undefined
      return Effect.forEach(
        places.present,
        ({ onLeave }) => Deferred.fail(onLeave, new Discarded({ agency })),
        { discard: true }
      )
    })

  return { of, discarded }
}
