/** What a draw is opened with beside its name, as every store keeps it. */
import { Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { Draw, type ExpectedAgencies } from "../../domain/Draw.ts"
import { DrawMismatch } from "./BetStore.ts"

export interface DrawTerms {
  readonly agencies: ReadonlyArray<Agency>
  readonly winningNumber: number
}

/** The draw that these terms were checked for when they were stored. */
export const drawFromTerms = (id: string, terms: DrawTerms): Draw =>
  new Draw({
    id,
    // The constructor checks it, and a store that holds another thing is damaged.
    agencies: terms.agencies as ExpectedAgencies,
    winningNumber: terms.winningNumber
  })

/** Fails if a draw that was opened before is asked for with other terms. */
export const ensureSameTerms = (stored: Draw, asked: Draw): Effect.Effect<void, DrawMismatch> =>
  stored.winningNumber === asked.winningNumber && stored.agencies.join() === asked.agencies.join()
    ? Effect.void
    : Effect.fail(new DrawMismatch({ stored, asked }))
