import { Data, Effect, Option } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { describeAgencies } from "../../domain/Draw.ts"
import { BetStoreReader, NO_PROGRESS } from "../../server/store/BetStore.ts"
import * as StoreUrl from "../../server/store/StoreUrl.ts"

/** The agency is not in the draw and has nothing stored. */
class NoSuchAgency extends Data.TaggedError("NoSuchAgency")<{
  readonly agency: Agency
  readonly store: string
  /** The agencies in the draw; undefined before it has been opened. */
  readonly agencies: ReadonlyArray<Agency> | undefined
}> {
  override get message(): string {
    const { agencies, agency, store } = this
    const known = agencies === undefined ? "" : `; its agencies are ${describeAgencies(agencies)}`
    return `${store} has no agency ${agency}${known}`
  }
}

export const progressOf = Effect.fnUntraced(function* (store: StoreUrl.StoreUrl, agency: Agency) {
  const books = yield* BetStoreReader
  const progress = (yield* books.progress).get(agency)
  if (progress !== undefined) return progress
  const agencies = Option.getOrUndefined(yield* books.draw)?.agencies
  if (agencies?.includes(agency)) return NO_PROGRESS
  return yield* new NoSuchAgency({ agency, store: StoreUrl.show(store), agencies })
})
