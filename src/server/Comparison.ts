/**
 * Compares what an agency sends with what is held of its book, row by row, byte for byte in
 * canonical form (wire: "Exactly once, in every dialect").
 */
import { Data, Effect, Pull, type Scope, Stream } from "effect"
import type { Agency } from "../domain/Agency.ts"
import type { BetBatch } from "../domain/BetBatch.ts"
import { LF } from "../domain/BetRow.ts"
import { ifAnotherBook, StoreUnavailable } from "./BetStore.ts"

/** What arrives is not the book that is held of the agency. */
export class BookDiffers extends Data.TaggedError("BookDiffers")<{
  readonly agency: Agency
  /** The first bet that differs, counted from 0. */
  readonly position: number
}> {
  override get message(): string {
    const { agency, position } = this
    const differs = `agency ${agency}: the bet at position ${position} is not the one that is held`
    return `${differs}; ${ifAnotherBook(agency)}`
  }
}

/**
 * Compares whole rows with the held ones, each call going on where the last one ended. `position`
 * is that of the first row, for the error.
 */
export type Comparison = (
  rows: Uint8Array,
  position: number
) => Effect.Effect<void, BookDiffers | StoreUnavailable>

/** Begins to compare with a held book; what it reads is given back when the scope closes. */
export const compareWith = Effect.fnUntraced(function* (
  agency: Agency,
  book: Stream.Stream<BetBatch, StoreUnavailable>
): Effect.fn.Return<Comparison, never, Scope.Scope> {
  // What is held is looked at with the first comparison: until then others may store more.
  const pull = yield* Stream.toPull(Stream.unwrap(Effect.succeed(book)))
  let ahead: ReadonlyArray<BetBatch> = []
  let held: Uint8Array = new Uint8Array(0)

  const more: Effect.Effect<void, StoreUnavailable | EndOfBook> = Effect.suspend(() => {
    const [next, ...rest] = ahead
    ahead = rest
    if (next !== undefined) {
      held = next.bytes
      return Effect.void
    }
    return Pull.catchDone(pull, () => Effect.fail(new EndOfBook())).pipe(
      Effect.map((batches) => {
        ahead = batches
      }),
      Effect.andThen(more)
    )
  })
  return Effect.fnUntraced(function* (rows: Uint8Array, position: number) {
    let at = 0
    while (at < rows.length) {
      if (held.length === 0) {
        // While nobody else can commit the held book does not shrink, unless it is discarded.
        yield* Effect.catchTag(more, "EndOfBook", () =>
          Effect.fail(new StoreUnavailable({ reason: `agency ${agency}: the held book is gone` }))
        )
        continue
      }
      const length = Math.min(held.length, rows.length - at)
      const same = commonLength(rows.subarray(at, at + length), held)
      if (same < length) {
        const differs = position + rowsBefore(rows, at + same)
        return yield* new BookDiffers({ agency, position: differs })
      }
      held = held.subarray(length)
      at += length
    }
  })
})

class EndOfBook extends Data.TaggedError("EndOfBook") {}

/** How many bytes are the same from the start on; `a` is not longer than `b`. */
const commonLength = (a: Uint8Array, b: Uint8Array): number => {
  if (Buffer.compare(a, b.subarray(0, a.length)) === 0) return a.length
  let at = 0
  while (a[at] === b[at]) at++
  return at
}

/** How many whole rows end before `at`. */
const rowsBefore = (rows: Uint8Array, at: number): number => {
  let count = 0
  for (let index = 0; index < at; index++) if (rows[index] === LF) count++
  return count
}
