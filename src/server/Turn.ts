/**
 * One writer per agency (wire: "One writer per agency"): the turn to write an agency's book, which
 * one connection has at a time, and which a newcomer takes from it.
 */
import { Data, Deferred, Effect, type Scope, Semaphore } from "effect"
import type { Agency } from "../domain/Agency.ts"
import { Discarded } from "./BetStore.ts"

/** Another connection took over the agency. */
export class Superseded extends Data.TaggedError("Superseded")<{ readonly agency: Agency }> {
  override get message(): string {
    return `another connection took over agency ${this.agency}`
  }
}

/** Failed when a connection must leave an agency's book. */
export type OnLeave = Deferred.Deferred<never, Superseded | Discarded>

/** A connection's place at an agency's book; what it holds is given back with its scope. */
export interface Turn {
  /** Takes the turn from whoever has it, who fails with `Superseded`. */
  readonly take: Effect.Effect<void>
  readonly isHeld: () => boolean
  /** Gives the turn back: there is nothing left to write. */
  readonly release: Effect.Effect<void>
  /** Held by whoever commits, so that a newcomer waits until a commit has settled. */
  readonly commit: Semaphore.Semaphore
}

/** The places at every agency's book. */
export interface Turns {
  /** Gives a connection its place. */
  readonly of: (agency: Agency, onLeave: OnLeave) => Effect.Effect<Turn, never, Scope.Scope>
  /** Sends everybody away from a book that was discarded, with a turn or without. */
  readonly discarded: (agency: Agency) => Effect.Effect<void>
}

interface Places {
  /** Everybody who is at the book. */
  readonly present: Set<OnLeave>
  /** Who has the turn. */
  current: OnLeave | undefined
  readonly commit: Semaphore.Semaphore
}

export const makeTurns = (): Turns => {
  const books = new Map<Agency, Places>()

  const placesAt = (agency: Agency): Places => {
    const known = books.get(agency)
    if (known !== undefined) return known
    const places = { present: new Set<OnLeave>(), current: undefined, commit: makePermit() }
    books.set(agency, places)
    return places
  }

  const of = Effect.fnUntraced(function* (agency: Agency, onLeave: OnLeave) {
    const places = placesAt(agency)
    const isHeld = () => places.current === onLeave
    const release = Effect.sync(() => {
      if (isHeld()) places.current = undefined
    })
    const take = Effect.suspend(() => {
      const previous = places.current
      places.current = onLeave
      return previous === undefined || previous === onLeave
        ? Effect.void
        : Deferred.fail(previous, new Superseded({ agency }))
    })
    places.present.add(onLeave)
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        release,
        Effect.sync(() => places.present.delete(onLeave))
      )
    )
    return { take, isHeld, release, commit: places.commit } satisfies Turn
  })

  const discarded = (agency: Agency) =>
    Effect.suspend(() => {
      const places = placesAt(agency)
      places.current = undefined
      return Effect.forEach(
        places.present,
        (onLeave) => Deferred.fail(onLeave, new Discarded({ agency })),
        { discard: true }
      )
    })

  return { of, discarded }
}

const makePermit = () => Semaphore.makeUnsafe(1)
