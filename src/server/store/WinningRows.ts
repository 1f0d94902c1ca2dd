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
  const winners = new Map<Agency, Winners>()
  for (const [agency, own] of Map.groupBy(rows, (row) => row.agency)) {
    const documents = own.map(({ document }) => document)
    const damaged = own.findLast(({ document }) => !isDocument(document))
    winners.set(agency, damaged === undefined ? documents : damagedBet(damaged))
  }
  return winners
}

const damagedBet = ({ agency, document, position }: WinningRow) => {
  const reason = `expected a document of 1 to 10 digits, got ${JSON.stringify(document)}`
  return new DamagedBet({ agency, position, reason })
}
