/**
 * Compares the bets that an agency sends with its stored book, byte by byte in canonical form
 * (docs/wire.md, "Exactly once").
 */
import { Data, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { LF } from "../../domain/BetRow.ts"
import { Discarded, StoreUnavailable, wrongBookHint } from "../store/BetStore.ts"
import type { Book } from "./Book.ts"

export class BookDiffers extends Data.TaggedError("BookDiffers")<{
  readonly agency: Agency
  /** The position of the first bet that differs, from 0. */
  readonly position: number
}> {
  override get message(): string {
    const { agency, position } = this
    const differs = `agency ${agency}: the book differs from the stored one at position ${position}`
    return `${differs}; ${wrongBookHint(agency)}`
  }
}

/** Stored rows in one read of a comparison: at most 217 KiB. */
export const PAGE_ROWS = 512
/**
 * Maximum comparisons that read at the same time, on all connections together. Each holds one page
 * of rows, or two while a store builds the page; `MessageMemory` reserves that much.
 */
export const MAX_COMPARISONS = 16

/**
 * Compares a batch with the stored rows starting at `position`; the store must have a row for each
 * of its bets. The cost depends on the size of the batch and not on the size of the book.
 */
export const compare = Effect.fnUntraced(function* (
  { agency, comparing, store }: Book,
  edition: number,
  position: number,
  { bytes, count }: BetBatch
): Effect.fn.Return<void, BookDiffers | Discarded | StoreUnavailable> {
  const end = position + count
  let from = position
  let at = 0
  const comparePage = Effect.gen(function* () {
    const until = Math.min(end, from + PAGE_ROWS)
    const page = yield* store.page(agency, { from, until, edition })
    if (page.count === 0) {
      const now = yield* store.progressOf(agency)
      if (now.edition !== edition) return yield* new Discarded({ agency })
      const reason = `agency ${agency}: the stored bet at position ${from} is missing`
      return yield* new StoreUnavailable({ reason })
    }
    const same = commonLength(page.bytes, bytes, at)
    if (same < page.bytes.length) {
      return yield* new BookDiffers({ agency, position: from + rowsIn(page.bytes, same) })
    }
    from += page.count
    at += same
  })
  while (from < end) yield* comparing.withPermit(comparePage)
})

/** Returns how many leading bytes of `page` equal the bytes of `rows` from `start` on. */
const commonLength = (page: Uint8Array, rows: Uint8Array, start: number): number => {
  const other = rows.subarray(start, start + page.length)
  if (Buffer.compare(page, other) === 0) return page.length
  let at = 0
  while (at < page.length && page[at] === other[at]) at++
  return at
}

/** Counts the whole rows before byte `end`. */
const rowsIn = (rows: Uint8Array, end: number): number => {
  let count = 0
  for (let at = 0; at < end; at++) if (rows[at] === LF) count++
  return count
}
