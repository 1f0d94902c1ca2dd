/** What a store knows of a draw and its agencies. */
import { Effect, Option } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import type { DrawId } from "../../domain/Draw.ts"
import type { Stored } from "../../server/operator/DrawStanding.ts"
import {
  type AgencyProgress,
  type BetStoreReader,
  NO_PROGRESS
} from "../../server/store/BetStore.ts"
import { NoSuchAgency } from "../../server/store/StoredDraw.ts"

export type StoredState = Stored

export const read = (books: BetStoreReader["Service"], id: DrawId) =>
  Effect.map(
    Effect.all({ draw: books.draw, progress: books.progress }),
    ({ draw, progress }): StoredState => ({ id, draw: Option.getOrUndefined(draw), progress })
  )

/** Returns the progress of an agency that takes part or has something stored. */
export const progressOf = (
  { draw, id, progress }: StoredState,
  agency: Agency
): Effect.Effect<AgencyProgress, NoSuchAgency> => {
  const found = progress.get(agency)
  if (found !== undefined) return Effect.succeed(found)
  if (draw?.agencies.includes(agency)) return Effect.succeed(NO_PROGRESS)
  return Effect.fail(new NoSuchAgency({ agency, drawId: id, draw }))
}
