/** What proves a sealed draw, as a store has it: the seal and the signed result. */
import { Clock, Data, Effect, Option, Stdio, Stream } from "effect"
import type { DrawId } from "../../domain/Draw.ts"
import { BetStoreReader } from "../../server/store/BetStore.ts"
import { missedBecause } from "../../server/store/DrawPhase.ts"
import { NotAllFinished } from "../../server/store/StoredDraw.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"
import type { Target } from "./ActPreview.ts"
import { writeWhole } from "./WholeFile.ts"

/** The draw has no seal or no signed result, or not yet. */
export class NoEvidence extends Data.TaggedError("NoEvidence")<{
  readonly drawId: DrawId
  readonly why: "keyless" | "unsealed" | "unsigned"
}> {
  override get message(): string {
    const draw = `the draw ${this.drawId}`
    const reasons = {
      keyless: `${draw} is not a sealed one: its server was started without --seal-key`,
      unsealed: `${draw} is not sealed yet`,
      unsigned: `${draw} has no signed result yet`
    }
    return reasons[this.why]
  }
}

/** Reads what is recorded of a sealed draw; fails if the draw has no key or was missed. */
export const read = Effect.fnUntraced(function* ({ draw, store }: Target) {
  const books = BetStoreReader.use(({ draw, evidence }) => Effect.all({ stored: draw, evidence }))
  const found = yield* Effect.provide(books, StoreUrl.layerReader(store, draw))
  const stored = Option.getOrUndefined(found.stored)
  if (stored === undefined) return yield* new NotAllFinished({ missing: [] })
  if (stored.sealKey === undefined) return yield* new NoEvidence({ drawId: draw, why: "keyless" })
  const missed = missedBecause(draw, stored, yield* Clock.currentTimeMillis)
  if (missed !== undefined) return yield* missed
  return found.evidence
})

/** Writes a text to a file, or to standard output, and waits until it is taken. */
export const write = Effect.fnUntraced(function* (text: string, out: Option.Option<string>) {
  const bytes = Stream.encodeText(Stream.succeed(text))
  if (Option.isSome(out)) return yield* writeWhole(out.value, bytes)
  const { stdout } = yield* Stdio.Stdio
  yield* Stream.run(bytes, stdout({ endOnDone: false }))
})
