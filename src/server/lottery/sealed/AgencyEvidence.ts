/** What an agency gets to keep of a sealed draw, signed by the operator. */
import { Deferred, Effect } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import type { Draw } from "../../../domain/Draw.ts"
import type { Beacon } from "../../../domain/seal/Quicknet.ts"
import { signResult } from "../../../protocol/notes/DrawResult.ts"
import { signReceipt } from "../../../protocol/notes/Receipt.ts"
import type { SealKey } from "../../../protocol/notes/SignedNote.ts"
import { proveEntry } from "../../../protocol/notes/TlogProof.ts"
import { BetStore, Excluded } from "../../store/BetStore.ts"
import type { SignedEntries } from "./Sealing.ts"

export interface AgencyEvidence {
  /** The signed receipt of a finished book. */
  readonly receiptOf: (agency: Agency, book: { bets: number; sha256: string }) => string
  readonly sealed: Effect.Effect<void>
  readonly isSealed: () => boolean
  /** Waits for the seal, then returns the proofs of its first entry and of the agency's book. */
  readonly proofsOf: (agency: Agency) => Effect.Effect<readonly [string, string], Excluded>
}

export const make = (
  draw: Draw,
  key: SealKey,
  sealed: Deferred.Deferred<SignedEntries>
): AgencyEvidence => ({
  // The rule is promised before there is a seal.
  receiptOf: (agency, { bets, sha256 }) =>
    signReceipt({ draw: draw.id, agency, bets, sha256, source: draw.source }, key),
  sealed: Effect.asVoid(Deferred.await(sealed)),
  isSealed: () => Deferred.isDoneUnsafe(sealed),
  proofsOf: Effect.fnUntraced(function* (agency) {
    const { books, first, note, tree } = yield* Deferred.await(sealed)
    const book = books.get(agency)
    if (book === undefined) return yield* new Excluded({ agency })
    return [proveEntry({ ...first, tree, note }), proveEntry({ ...book, tree, note })] as const
  })
})

interface HeldDraw {
  readonly winningNumber: number
  readonly beacon: Beacon | undefined
  /** Undefined if the stored winners of an agency are damaged. */
  readonly countOf: (agency: Agency) => number | undefined
}

/**
 * Records the signed result, unless one is recorded already or the store is damaged. Returns what
 * signs the part of one agency.
 */
export const recordResult = Effect.fnUntraced(function* (
  draw: Draw,
  key: SealKey,
  { books, tree }: SignedEntries,
  { beacon, countOf, winningNumber }: HeldDraw
) {
  const store = yield* BetStore
  const signed = (agencies: ReadonlyArray<Agency>) => {
    const winners = agencies.flatMap((agency) => {
      const count = countOf(agency)
      return count === undefined ? [] : [{ agency, count }]
    })
    if (winners.length < agencies.length) return undefined
    return signResult(
      { draw: draw.id, number: winningNumber, root: tree.root, beacon, winners },
      key
    )
  }
  if ((yield* store.evidence).result === undefined) {
    const result = signed([...books.keys()])
    if (result !== undefined) yield* store.recordNote("result", result)
  }
  const own = new Map<Agency, string | undefined>()
  return (agency: Agency): string | undefined => {
    if (!own.has(agency)) own.set(agency, signed([agency]))
    return own.get(agency)
  }
})
