/** The winning rows of an SQL store, in whose tables other programs can write. */
import { Schema } from "effect"
import type { Agency } from "../../domain/Agency.ts"
import { Document } from "../../domain/Bet.ts"
import { DamagedBet, type Winners } from "./BetStore.ts"

export interface WinningRow {
  readonly agency: Agency
  readonly position: number
  readonly document: string
}

const isDocument = Schema.is(Document)

/** The documents of each agency in the order of the rows, or its last row that has none. */
export const winnersOf = (rows: Iterable<WinningRow>): ReadonlyMap<Agency, Winners> => {
  const winners = new Map<Agency, Array<string> | DamagedBet>()
  for (const { agency, document, position } of rows) {
    const known = winners.get(agency)
    if (!isDocument(document)) {
      const reason = `expected a document of 1 to 10 digits, got ${JSON.stringify(document)}`
      winners.set(agency, new DamagedBet({ agency, position, reason }))
    } else if (known === undefined) winners.set(agency, [document])
    else if (!(known instanceof DamagedBet)) known.push(document)
  }
  return winners
}
