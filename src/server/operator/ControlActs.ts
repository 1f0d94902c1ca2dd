/** Executes the acts of the control channel on an open store, in a server or in a command. */
import { Effect } from "effect"
import { type ActionFields, ActionLine } from "../../domain/ActionLog.ts"
import type { DrawId } from "../../domain/Draw.ts"
import type { StoreBroken, StoreUnavailable } from "../store/BetStore.ts"
import type { OperatorWrites } from "../store/StoreUrl.ts"
import { type ActFailure, Control, Refused, StoreFailed, type To, WrongDraw } from "./Control.ts"

export interface Place {
  readonly draw: DrawId
  readonly store: OperatorWrites
  /** Runs after each act, and before its answer, with the line for the server's log. */
  readonly acted: (line: ActionLine) => Effect.Effect<void>
}

/** What the store may answer besides success. */
type Failure =
  | StoreUnavailable
  | StoreBroken
  | { readonly _tag: "DrawAlreadyHeld"; readonly message: string }

interface Act<A> {
  readonly action: string
  readonly fields: ActionFields
  readonly run: Effect.Effect<A, Failure>
  /** What changed, for the log. */
  readonly changed: (result: A) => ActionFields
}

/** The number of acts whose outcome is kept for a command that asks again. */
const KEPT_OUTCOMES = 64

const toActFailure = ({ _tag: code, message: reason }: Failure): ActFailure =>
  code === "StoreUnavailable" || code === "StoreBroken"
    ? new StoreFailed({ code, reason })
    : new Refused({ code, reason })

/** The handlers of the control channel. Provide them with `Control.toLayer`. */
export const make = ({ acted, draw, store }: Place) => {
  const outcomes = new Map<string, Effect.Effect<unknown, ActFailure>>()

  /** Runs an act once. A request that repeats its id gets the same outcome. */
  const once = <A>(id: string, act: Effect.Effect<A, ActFailure>) =>
    Effect.suspend(() => {
      const known = outcomes.get(id)
      // The id belongs to this act, and so the result has its type.
      if (known !== undefined) return known as Effect.Effect<A, ActFailure>
      return Effect.flatMap(Effect.cached(act), (outcome) => {
        outcomes.set(id, outcome)
        for (const [oldest] of outcomes) if (outcomes.size > KEPT_OUTCOMES) outcomes.delete(oldest)
        return outcome
      })
    })

  const execute = <A>({ draw: asked, id }: To, { action, changed, fields, run }: Act<A>) => {
    const act: Effect.Effect<A, ActFailure> =
      asked === draw
        ? Effect.mapError(run, toActFailure)
        : Effect.fail(new WrongDraw({ served: draw, asked }))
    const log = (result: "success" | "fail", more: ActionFields) =>
      acted(new ActionLine(action, result, { ...fields, ...more }))
    const logged = Effect.tapError(
      Effect.tap(act, (result) => log("success", changed(result))),
      ({ message }) => log("fail", { error: message })
    )
    // A command that goes away must not leave an act without its log line.
    return once(id, Effect.uninterruptible(logged))
  }

  return Control.of({
    Ready: () => Effect.void,
    Discard: ({ agency, ...to }) =>
      execute(to, {
        action: "book_discarded",
        fields: { agencia: agency },
        run: store.discard(agency),
        changed: (bets) => ({ cantidad: bets })
      })
  })
}
