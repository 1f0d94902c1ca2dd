/**
 * Compares what an agency sends with what is stored of its book, row by row, byte for byte in
 * canonical form (wire: "Exactly once, in every dialect").
 */
import { Data, Effect } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { LF } from "../../domain/BetRow.ts"
import { Discarded, ifAnotherBook, StoreUnavailable } from "../store/BetStore.ts"
import type { Book } from "./Book.ts"

/** What arrives is not the agency's stored book. */
export class BookDiffers extends Data.TaggedError("BookDiffers")<{
  readonly agency: Agency
  /** The first bet that differs, counted from 0. */
  readonly position: number
}> {
  override get message(): string {
    const { agency, position } = this
    const differs = `agency ${agency}: the bet at position ${position} is not the stored one`
    return `${differs}; ${ifAnotherBook(agency)}`
  }
}

/** How many stored rows a comparison reads at a time: 217 KiB of the longest. */
export const PAGE_ROWS = 512
/**
 * How many comparisons read at the same time, over all connections. Each takes a page of rows,
 * twice while a store makes it; `MessageMemory` sets that apart.
 */
export const MAX_COMPARISONS = 16

/**
 * Compares a batch with the stored rows from `position` on, all of which must be stored. Costs what
 * the batch costs, whatever the size of the book; nothing is kept from one batch to the next.
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
      const reason = `agency ${agency}: the stored bet at position ${from} is not there`
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

/** How many bytes of `page` are the same as those of `rows` from `start` on. */
const commonLength = (page: Uint8Array, rows: Uint8Array, start: number): number => {
  const other = rows.subarray(start, start + page.length)
  if (Buffer.compare(page, other) === 0) return page.length
  let at = 0
  while (at < page.length && page[at] === other[at]) at++
  return at
}

/** How many whole rows end before `end`. */
const rowsIn = (rows: Uint8Array, end: number): number => {
  let count = 0
  for (let at = 0; at < end; at++) if (rows[at] === LF) count++
  return count
}
