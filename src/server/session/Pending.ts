/**
 * A session that waits for the draw without the stack of its fiber. The layers around a session
 * return before the wait and come back when it is woken: 10,000 waiting stacks take 150 MB.
 */
import { Effect, Exit, Scope } from "effect"

/** What is left of a session while it waits. */
export interface Pending<E, R> {
  /** Waits until there may be something to do. */
  readonly woken: Effect.Effect<void>
  /** Does it. */
  readonly proceed: Step<E, R>
}

/** A part of a session. Returns what is left then; undefined if the session is over. */
export type Step<E, R> = Effect.Effect<Pending<E, R> | undefined, E, R>

/** A layer around all further steps of a session that waits. */
class Layered<E, R, E2, R2> implements Pending<E2, R2> {
  private readonly inner: Pending<E, R>
  private readonly layer: Layer<E, R, E2, R2>

  constructor(inner: Pending<E, R>, layer: Layer<E, R, E2, R2>) {
    this.inner = inner
    this.layer = layer
  }

  get woken(): Effect.Effect<void> {
    return this.inner.woken
  }

  get proceed(): Step<E2, R2> {
    return around(this.inner.proceed, this.layer)
  }
}

type Layer<E, R, E2, R2> = <A>(
  step: Effect.Effect<A | undefined, E, R>
) => Effect.Effect<A | undefined, E2, R2>

/** Puts a layer around this step of a session and around all later ones. */
export const around = <E, R, E2, R2>(step: Step<E, R>, layer: Layer<E, R, E2, R2>): Step<E2, R2> =>
  Effect.map(layer(step), (pending) => pending && new Layered(pending, layer))

/** Gives a session a scope, which closes when the session is over or the outer scope closes. */
export const scoped = <E, R>(step: Step<E, R>): Step<E, R | Scope.Scope> =>
  Effect.flatMap(Effect.scope, (outer) => {
    const scope = Scope.forkUnsafe(outer)
    return around(step, (inner) =>
      Effect.onExit(Scope.provide(inner, scope), (exit) =>
        Exit.isSuccess(exit) && exit.value !== undefined ? Effect.void : Scope.close(scope, exit)
      )
    )
  })

/** Runs a session to its end. */
export const run = <E, R>(step: Step<E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(step, (pending) =>
    pending === undefined ? Effect.void : Effect.flatMap(pending.woken, () => run(pending.proceed))
  )
