/** Reads a book page by page, each a separate read, so that a slow reader blocks nothing. */
import { Effect, Stream } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { BetBatch } from "../../domain/BetBatch.ts"
import { type AgencyProgress, StoreUnavailable } from "./BetStore.ts"
import type { PageRange } from "./BookOptions.ts"

/**
 * Streams the book of an agency from a position to the last bet that is stored when the stream
 * begins. Fails on an earlier empty page: the book was discarded, or some of its rows are lost.
 */
export const pagedBook = (
  agency: Agency,
  from: number,
  progress: Effect.Effect<AgencyProgress, StoreUnavailable>,
  page: (agency: Agency, of: PageRange) => Effect.Effect<BetBatch, StoreUnavailable>
): Stream.Stream<BetBatch, StoreUnavailable> =>
  Stream.unwrap(
    Effect.map(progress, ({ bets: until, edition }) =>
      Stream.unfold(from, (position) =>
        position >= until
          ? Effect.succeed(undefined)
          : Effect.flatMap(page(agency, { from: position, until, edition }), (batch) =>
              batch.count === 0
                ? new StoreUnavailable({
                    reason:
                      `bet ${position} of agency ${agency} is missing: ` +
                      "the book was discarded while it was read, or the store is damaged"
                  })
                : Effect.succeed([batch, position + batch.count] as const)
            )
      )
    )
  )
