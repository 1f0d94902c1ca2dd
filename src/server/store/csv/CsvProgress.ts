/** What the writer and a reader of a CSV store answer alike. */
import { Option } from "effect"
import type { Agency } from "../../../domain/Agency.ts"
import { type AgencyProgress, StoreOpenError, StoreUnavailable } from "../BetStore.ts"
import { drawFromTerms } from "../DrawTerms.ts"
import type { DiskError } from "../embedded/Disk.ts"
import type { CsvIndex } from "./CsvIndex.ts"
import type { FoundState } from "./CsvState.ts"

/** What is known of the books. */
export interface Known {
  readonly csv: { readonly index: CsvIndex }
  readonly state: FoundState
  readonly editions: ReadonlyMap<Agency, number>
}

export const progressOf = ({ csv, editions, state }: Known, agency: Agency): AgencyProgress => ({
  bets: csv.index.bets(agency),
  finished: state.finished.has(agency),
  told: state.told.has(agency),
  edition: editions.get(agency) ?? 0
})

export const progressOfAll = (known: Known): ReadonlyMap<Agency, AgencyProgress> => {
  const { csv, editions, state } = known
  // Also of an agency whose book is gone it is known that it is another one now.
  const agencies = new Set([
    ...csv.index.keys(),
    ...state.finished.keys(),
    ...state.told,
    ...editions.keys()
  ])
  return new Map(
    [...agencies]
      .sort((one, other) => one - other)
      .map((agency) => [agency, progressOf(known, agency)])
  )
}

export const storedDraw = ({ draw, opened, recorded }: FoundState) =>
  opened === undefined
    ? Option.none()
    : Option.some({ draw: drawFromTerms(draw, opened), recorded })

export const toUnavailable = (error: DiskError) => new StoreUnavailable({ reason: error.reason })

export const toOpenError = (store: string) => (error: DiskError) =>
  new StoreOpenError({
    store,
    reason: error.code === "ENOENT" ? "there is no such file or folder" : error.reason
  })
